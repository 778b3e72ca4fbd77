"""MLflow's own client sends a folder to the server in MLFLOW_TRACKING_URI and reads it back; runs in its environment.

    python mlflow_artifacts.py FOLDER TARGET

Prints the seconds of both as JSON: what takes long to import was imported before.
"""

import json
import sys
import time
from pathlib import Path

from mlflow import MlflowClient, artifacts


def main() -> None:
    folder, target = sys.argv[1], Path(sys.argv[2])
    client = MlflowClient()
    run = client.create_run("0").info.run_id
    began = time.perf_counter()
    client.log_artifacts(run, folder)
    sent = time.perf_counter() - began
    target.mkdir()
    began = time.perf_counter()
    artifacts.download_artifacts(run_id=run, dst_path=str(target))
    print(json.dumps([sent, time.perf_counter() - began]))


if __name__ == "__main__":
    main()
