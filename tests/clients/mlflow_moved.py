"""What a client finds of fraud_detector and its run: asked of the old server and of the new one, it is the same."""

import json
import sys

import mlflow
from mlflow import MlflowClient

client = MlflowClient()
run_id, name = sys.argv[1], "fraud_detector"
run = client.get_run(run_id)
model = client.get_registered_model(name)
versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
prompts = mlflow.genai if hasattr(mlflow, "genai") and hasattr(mlflow.genai, "load_prompt") else mlflow


def plain(entity, *names):
    return {key: getattr(entity, key) for key in names}


print(
    json.dumps(
        {
            "run": plain(
                run.info,
                "run_id",
                "run_name",
                "status",
                "start_time",
                "end_time",
                "user_id",
                "lifecycle_stage",
            ),
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {key: str(value) for key, value in run.data.metrics.items()},
            "loss": [
                (row.step, row.value, row.timestamp) for row in client.get_metric_history(run_id, "loss")
            ],
            "children": len(
                client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
            ),
            "model": plain(model, "name", "description", "tags", "aliases", "creation_timestamp"),
            "versions": [
                plain(
                    *(row, "version", "current_stage", "source", "run_id", "tags", "description"),
                    *("creation_timestamp", "last_updated_timestamp"),
                )
                for row in versions
            ],
            "predictions": [
                [
                    int(row)
                    for row in mlflow.sklearn.load_model(f"models:/{name}{which}").predict([[0.5], [2.5]])
                ]
                for which in ("@champion", "/2", "/Production")
            ],
            "files": sorted(row.path for row in client.list_artifacts(run_id) if row.path != "model"),
            "text": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a b.txt"),
            "prompt": prompts.load_prompt("prompts:/greet/1").template,
            "found": sorted(row.name for row in client.search_registered_models()),
        }
    )
)
