"""A training job as somebody else would write it: scikit-learn, the standard library's HTTP client, nothing of ours.

    python train_and_register.py TREES   (MODELRY_URL and MODELRY_TOKEN in the environment)

Trains on a bundled dataset, registers model and metadata in one call, prints the version and the test predictions.
"""

import hashlib
import json
import os
import pickle
import sys
import urllib.request
import uuid

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split

data = load_breast_cancer()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=0)
model = RandomForestClassifier(n_estimators=int(sys.argv[1]), random_state=0).fit(train_x, train_y)
predicted = model.predict(test_x)

files = {
    "model.pkl": pickle.dumps(model),
    "metadata/classes.json": json.dumps([str(name) for name in data.target_names]).encode(),
}
metadata = {
    "create_model": True,
    "model": {"purpose": "Tells benign from malignant.", "task": "tabular-classification", "owner": "alice"},
    "framework": "scikit-learn",
    "dataset_name": "breast-cancer-wisconsin",
    "dataset_version": "sklearn-bundled",
    "dataset_digest": hashlib.sha256(data.data.tobytes()).hexdigest(),
    "license": "BSD-3-Clause",
    "owner": "alice",
    "metrics": [
        {"name": "accuracy", "value": accuracy_score(test_y, predicted), "split": "test"},
        {"name": "f1", "value": f1_score(test_y, predicted), "split": "test"},
    ],
}

boundary = uuid.uuid4().hex
parts = [
    f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{json.dumps(metadata)}\r\n'.encode()
]
for path, content in files.items():
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path}"\r\n\r\n'
    parts.append(head.encode() + content + b"\r\n")
request = urllib.request.Request(
    f"{os.environ['MODELRY_URL']}/api/v1/models/risk/tumour/versions",
    data=b"".join([*parts, f"--{boundary}--\r\n".encode()]),
    headers={
        "Authorization": f"Bearer {os.environ['MODELRY_TOKEN']}",
        "Content-Type": f"multipart/form-data; boundary={boundary}",
    },
)
with urllib.request.urlopen(request) as answer:
    registered = json.load(answer)
print(json.dumps({"version": registered["version"], "predictions": [int(value) for value in predicted]}))
