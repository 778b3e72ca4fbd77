"""What a team has on its own MLflow server: runs, models in stages, an alias, a prompt. Prints what to find again."""

import json
import math

import mlflow
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

client = MlflowClient()
experiment = mlflow.set_experiment("fraud experiments")
# Working out the requirements takes another process and seconds; here nobody asks what they are.
kept = {
    "artifact_path" if mlflow.__version__.startswith("2.") else "name": "model",
    "pip_requirements": ["scikit-learn"],
}


def train(depth):
    model = LogisticRegression(C=depth).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    return mlflow.sklearn.log_model(model, registered_model_name="fraud_detector", **kept)


with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"C": 1, "note": "größer"})
    for step in range(40):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd", math.nan, step=1)
    mlflow.log_text("größer\n", "notes/a b.txt")
    mlflow.log_text("", "empty.txt")
    for _ in range(2):
        train(1.0)
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("x", 1.0)
with mlflow.start_run(run_name="gone") as gone:
    mlflow.log_text("x", "x.txt")
client.delete_run(gone.info.run_id)

name = "fraud_detector"
mlflow.register_model(f"runs:/{parent.info.run_id}/model", name)
client.delete_model_version(name, "3")
client.update_registered_model(name, "# Card\nFinds fraud.")
client.set_registered_model_tag(name, "domain", "cards")
client.set_model_version_tag(name, "1", "k", "v")
client.transition_model_version_stage(name, "1", "Production")
client.transition_model_version_stage(name, "2", "Staging")
client.set_registered_model_alias(name, "champion", "1")
client.create_registered_model("search")
client.create_registered_model('it\'s "so"')
client.copy_model_version(f"models:/{name}/1", "copied")
prompts = mlflow.genai if hasattr(mlflow, "genai") and hasattr(mlflow.genai, "register_prompt") else mlflow
prompts.register_prompt(name="greet", template="Hello {{name}}")
version = client.get_model_version(name, "1")
print(
    json.dumps(
        {
            "run_id": parent.info.run_id,
            "predictions": [
                int(row)
                for row in mlflow.sklearn.load_model(f"models:/{name}@champion").predict([[0.5], [2.5]])
            ],
            "created": version.creation_timestamp,
            "updated": version.last_updated_timestamp,
            "start": parent.info.start_time,
        }
    )
)
