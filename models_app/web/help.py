"""How to set up clients."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .context import site_address

_AUTH = '-H "Authorization: Bearer $MODELRY_TOKEN"'
LINES = {
    "mlflow": """import mlflow, mlflow.sklearn
from sklearn.linear_model import LogisticRegression

with mlflow.start_run() as run:
    model = LogisticRegression().fit(X, y)
    mlflow.log_metric("f1", 0.91)
    mlflow.sklearn.log_model(model, "model")
mlflow.register_model(f"runs:/{run.info.run_id}/model", "fraud_detector")""",
    "register": f"""curl {_AUTH} "$MODELRY_URL/api/v1/models/risk/fraud-detector/versions" \\
  -F 'metadata={{"create_model": true, "dataset_name": "transactions", "dataset_version": "2026-05",
                "license": "Apache-2.0", "metrics": {{"f1": 0.91}}}};type=application/json' \\
  -F 'file=@model.safetensors;filename=model.safetensors'""",
    "push": """curl -fsSO "$MODELRY_URL/client.py"
python3 client.py push FOLDER --model risk/fraud-detector --metric f1=0.91
python3 client.py pull risk/fraud-detector@production FOLDER""",
    "production": f"""curl {_AUTH} "$MODELRY_URL/api/v1/stages/production?model=risk/fraud-detector" """.strip(),
    "download": f"""curl -L {_AUTH} -O \\
  "$MODELRY_URL/api/v1/models/risk/fraud-detector/versions/production/files/model.safetensors" """.strip(),
    "promote": f"""curl {_AUTH} -H 'Content-Type: application/json' \\
  -d '{{"to": "production", "reason": "Better on the May data."}}' \\
  "$MODELRY_URL/api/v1/models/risk/fraud-detector/versions/12/stage"

curl {_AUTH} -H 'Content-Type: application/json' \\
  -d '{{"reason": "Latency doubled."}}' \\
  "$MODELRY_URL/api/v1/models/risk/fraud-detector/rollback" """.strip(),
    "python": """import json, os, requests

api = requests.Session()
api.headers["Authorization"] = "Bearer " + os.environ["MODELRY_TOKEN"]
root = os.environ["MODELRY_URL"] + "/api/v1"

with open("model.safetensors", "rb") as file:
    answer = api.post(
        f"{root}/models/risk/fraud-detector/versions",
        data={"metadata": json.dumps({"metrics": {"f1": 0.91}})},
        files={"file": ("model.safetensors", file)},
    )
answer.raise_for_status()
print(answer.json()["version"])""",
}


def clients(request: HttpRequest) -> HttpResponse:
    """Addresses and lines to paste for REST and Python."""
    here = site_address(request)
    environments = {
        "environment": f"export MODELRY_URL={here}\nexport MODELRY_TOKEN=mdl_…",
        "mlflow_environment": f"export MLFLOW_TRACKING_URI={here}\nexport MLFLOW_TRACKING_TOKEN=$MODELRY_TOKEN",
    }
    return render(request, "help/clients.html", environments | LINES)
