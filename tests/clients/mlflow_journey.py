"""A training job that knows MLflow and nothing else, run by each client in its own environment.

    python mlflow_journey.py FOLDER [--infer]     (MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN in the environment)

Prints what it saw as JSON, for the test to judge. With --infer the client works out the model's requirements itself:
in another process, for seconds.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import mlflow
import mlflow.sklearn
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

FOLDER = sys.argv[1]
NEW = mlflow.__version__.startswith("3.")
# Today's skops refuses tree models unless told to trust them: the 3.x client's affair.
HOW = {"serialization_format": "cloudpickle"} if NEW else {}
if "--infer" not in sys.argv:
    HOW["pip_requirements"] = ["scikit-learn"]
seen = {"version": mlflow.__version__}

data = load_breast_cancer()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=0)
model = RandomForestClassifier(n_estimators=5, random_state=0).fit(train_x, train_y)
expected = model.predict(test_x).tolist()

mlflow.set_experiment("fraud")
with mlflow.start_run() as run:
    mlflow.log_params({"n_estimators": 5, "random_state": 0})
    mlflow.log_metric("f1", f1_score(test_y, expected))
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    frame = pd.DataFrame(train_x[:50], columns=data.feature_names)
    mlflow.log_input(mlflow.data.from_pandas(frame, name="breast-cancer"), context="training")
    mlflow.sklearn.log_model(model, artifact_path="model", **HOW)
run_id = run.info.run_id
registered = mlflow.register_model(f"runs:/{run_id}/model", "fraud_detector")
MlflowClient().transition_model_version_stage(
    name="fraud_detector", version=registered.version, stage="Staging"
)

client = MlflowClient()
seen |= {"run_id": run_id, "number": registered.version, "status": registered.status}
client.set_registered_model_alias("fraud_detector", "champion", registered.version)
client.set_model_version_tag("fraud_detector", registered.version, "reviewed", "yes")

# --- loaded in every way it can be named, with the same predictions ---
addresses = [
    "models:/fraud_detector/Staging",
    "models:/fraud_detector@champion",
    "models:/fraud_detector/latest",
]
addresses += [f"models:/fraud_detector/{registered.version}", f"runs:/{run_id}/model"]
if NEW:
    logged = mlflow.search_logged_models(filter_string=f"source_run_id = '{run_id}'", output_format="list")
    seen["logged"] = [one.model_id for one in logged]
    addresses.append(f"models:/{logged[0].model_id}")
seen["same"] = {
    address: mlflow.sklearn.load_model(address).predict(test_x).tolist() == expected for address in addresses
}

# --- production wants more than was given ---
try:
    client.transition_model_version_stage("fraud_detector", registered.version, "Production")
except MlflowException as error:
    seen["refused"] = {"code": error.error_code, "message": str(error)}

# --- what somebody else registered over REST ---
folder = mlflow.artifacts.download_artifacts(
    "models:/risk--by-rest/1", dst_path=os.path.join(FOLDER, "by-rest")
)
with open(os.path.join(folder, "weights/model.bin"), "rb") as file:
    seen["by_rest"] = file.read().decode()

# --- nested runs, and eight threads that log at once ---
with mlflow.start_run(run_name="parent") as parent:
    for depth in (2, 3):
        with mlflow.start_run(run_name=f"depth {depth}", nested=True):
            mlflow.log_param("depth", depth)
children = mlflow.search_runs(
    filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", output_format="list"
)
seen["children"] = sorted(child.data.params["depth"] for child in children)


def log(thread: int) -> None:
    for step in range(20):
        client.log_metric(
            parent.info.run_id, f"m{thread % 4}", thread + step / 100, step=step, timestamp=1 + thread
        )


with ThreadPoolExecutor(8) as pool:
    list(pool.map(log, range(8)))
seen["points"] = [len(client.get_metric_history(parent.info.run_id, f"m{index}")) for index in range(4)]
seen["last"] = client.get_run(parent.info.run_id).data.metrics

# --- autologging ---
mlflow.sklearn.autolog(log_models=False, silent=True)
with mlflow.start_run(run_name="automatic") as automatic:
    RandomForestClassifier(n_estimators=4, random_state=0).fit(train_x, train_y)
found = client.get_run(automatic.info.run_id)
seen["automatic"] = [
    found.info.status,
    found.data.params["n_estimators"],
    "training_f1_score" in found.data.metrics,
]
mlflow.sklearn.autolog(disable=True)

# --- files of a run, back and forth ---
with mlflow.start_run(run_id=parent.info.run_id):
    mlflow.log_text("größer", "notes/ä b.txt")
    mlflow.log_dict({"a": [1, 2]}, "config.json")
seen["files"] = sorted(one.path for one in client.list_artifacts(parent.info.run_id))
seen["text"] = mlflow.artifacts.load_text(f"runs:/{parent.info.run_id}/notes/ä b.txt")

# --- found again ---
seen["search"] = [one.name for one in client.search_registered_models("name LIKE 'fraud%'")]
seen["versions"] = [one.version for one in client.search_model_versions(f"run_id = '{run_id}'")]
seen["by_alias"] = client.get_model_version_by_alias("fraud_detector", "champion").version
copied = client.copy_model_version(f"models:/fraud_detector/{registered.version}", "fraud_copy")
seen["copy"] = (
    mlflow.sklearn.load_model(f"models:/fraud_copy/{copied.version}").predict(test_x).tolist() == expected
)

# --- the command line, in this process ---
from click.testing import CliRunner  # noqa: E402
from mlflow.cli import cli  # noqa: E402

experiment = client.get_experiment_by_name("fraud").experiment_id
COMMANDS = {
    "experiments": ["experiments", "search"],
    "runs": ["runs", "list", "--experiment-id", experiment],
    "describe": ["runs", "describe", "--run-id", run_id],
    "artifacts": ["artifacts", "list", "--run-id", parent.info.run_id],
    "download": [
        "artifacts",
        "download",
        "-u",
        "models:/fraud_detector/latest",
        "-d",
        os.path.join(FOLDER, "cli"),
    ],
}
if NEW:
    rows = os.path.join(FOLDER, "rows.json")
    with open(rows, "w") as file:
        json.dump({"inputs": test_x[:2].tolist()}, file)
    answers = os.path.join(FOLDER, "answers.json")
    named = ["-m", "models:/fraud_detector@champion", "-i", rows, "-o", answers]
    COMMANDS["models"] = ["models", "predict", *named, "--env-manager", "local"]
seen["cli"] = {}
for name, arguments in COMMANDS.items():
    done = CliRunner().invoke(cli, arguments)
    seen["cli"][name] = [done.exit_code, done.output[-2000:], repr(done.exception)]
seen["cli_files"] = sorted(os.listdir(os.path.join(FOLDER, "cli")))
if NEW:
    with open(answers) as file:
        seen["cli_predictions"] = json.load(file)["predictions"] == expected[:2]
print(json.dumps(seen))
