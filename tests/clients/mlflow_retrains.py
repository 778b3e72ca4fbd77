"""Versions that say in a tag because of which incident they were trained: one when it is made, one later.

python mlflow_retrains.py INCIDENT     (MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN in the environment)
"""

import json
import sys

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

NAME, TAG, INCIDENT = "risk--drifting", "modelry.retrains", sys.argv[1]
client = MlflowClient()
made = client.create_model_version(NAME, f"models:/{NAME}/1", tags={TAG: INCIDENT})
later = client.create_model_version(NAME, f"models:/{NAME}/1")
try:
    client.set_model_version_tag(NAME, later.version, TAG, "999999")
    refused = ""
except MlflowException as error:
    refused = error.message
client.set_model_version_tag(NAME, later.version, TAG, INCIDENT)
tags = client.get_model_version(NAME, later.version).tags[TAG]
print(json.dumps({"versions": [int(made.version), int(later.version)], "tags": tags, "refused": refused}))
