"""Another MLflow server, in process: answers as a real 3.17 server gave them, in pages of one, with faults at will."""

from __future__ import annotations

import base64
import copy
import json
from urllib.parse import unquote

import httpx

RUN = "cb4d928648b042bdb4f0f7939a3804fc"
CHILD = "e8024d7ccc2340f587c93127f16f9b1e"
GONE = "1dcd6e89779645bd80034e529df4b8e6"
LOGGED = "m-9338344272414d678afe585c9d5a9d5f"
MLMODEL = b"""flavors:
  python_function:
    loader_module: mlflow.sklearn
    python_version: 3.11.9
  sklearn:
    sklearn_version: 1.6.1
"""
T = 1_795_616_930_000


def run(uid, *, name, experiment="1", stage="active", metrics=(), tags=(), **more):
    uri = f"mlflow-artifacts:/{experiment}/{uid}/artifacts"
    info = {"run_id": uid, "run_uuid": uid, "experiment_id": experiment, "run_name": name, "user_id": "ann"}
    info |= {"status": "FINISHED", "start_time": T + 64, "end_time": T + 3166, "artifact_uri": uri}
    info["lifecycle_stage"] = stage
    data = {"metrics": list(metrics), "params": [{"key": "depth", "value": "3"}]}
    data["tags"] = [{"key": "mlflow.runName", "value": name}, *({"key": k, "value": v} for k, v in tags)]
    return {"info": info, "data": data, "inputs": {}, "outputs": {}, **more}


def point(key, value, step):
    return {"key": key, "value": value, "timestamp": T + 100 + step, "step": step}


def version(name, number, *, stage="None", source, run_id="", tags=(), **more):
    row = {"name": name, "version": str(number), "creation_timestamp": T + 2000 + number}
    row |= {"last_updated_timestamp": T + 4000 + number, "current_stage": stage, "description": ""}
    row |= {"source": source, "run_id": run_id, "status": "READY", "run_link": ""}
    return row | {"tags": [{"key": k, "value": v} for k, v in tags]} | more


class Recorded:
    """Change what it has between two moves; `fail` and `break_at` make it go wrong."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.budget: int | None = None
        self.old = False
        self.fail: dict[str, int] = {}
        self.break_at: dict[str, int] = {}
        self.experiments = [
            {"experiment_id": "0", "name": "Default", "creation_time": T, "last_update_time": T},
            {"experiment_id": "1", "name": "fraud", "creation_time": T + 1, "last_update_time": T + 2}
            | {"tags": [{"key": "owner", "value": "ann"}]},
            {"experiment_id": "2", "name": "old", "creation_time": T, "last_update_time": T + 9}
            | {"lifecycle_stage": "deleted"},
        ]
        self.histories = {
            (RUN, "loss"): [point("loss", 1 / (1 + step), step) for step in range(5)],
            (RUN, "odd"): [point("odd", "NaN", 1), point("odd", "Infinity", 2)],
            (CHILD, "x"): [point("x", 1.0, 0)],
        }
        dataset = {"name": "txs", "digest": "2981c147", "source_type": "code", "source": "{}"}
        context = {"key": "mlflow.data.context", "value": "training"}
        self.runs = [
            run(
                RUN,
                name="parent",
                metrics=[self.histories[RUN, "loss"][-1], self.histories[RUN, "odd"][-1]],
                tags=[("team", "risk"), ("mlflow.source.git.commit", "abc123")],
                inputs={"dataset_inputs": [{"tags": [context], "dataset": dataset}]},
                outputs={"model_outputs": [{"model_id": LOGGED, "step": 4}]},
            ),
            run(CHILD, name="child", metrics=[point("x", 1.0, 0)], tags=[("mlflow.parentRunId", RUN)]),
            run(GONE, name="gone", stage="deleted"),
            run("a" * 32, name="of old", experiment="2", stage="deleted"),
        ]
        versions = json.dumps([{"name": "fraud_detector", "version": n} for n in (1, 4)])
        self.logged = [
            {
                "info": {
                    "model_id": LOGGED,
                    "experiment_id": "1",
                    "name": "model",
                    "creation_timestamp_ms": T + 1521,
                    "last_updated_timestamp_ms": T + 2296,
                    "artifact_uri": f"mlflow-artifacts:/1/models/{LOGGED}/artifacts",
                    "status": "LOGGED_MODEL_READY",
                    "source_run_id": RUN,
                    "tags": [{"key": "mlflow.modelVersions", "value": versions}],
                },
                "data": {
                    "params": [{"key": "depth", "value": "3"}],
                    "metrics": [point("f1", 0.9, 0) | {"model_id": LOGGED, "run_id": RUN}],
                },
            }
        ]
        self.models = [
            {"name": "fraud_detector", "creation_timestamp": T + 1900, "last_updated_timestamp": T + 4319}
            | {"description": "# Card\nFinds fraud.", "tags": [{"key": "domain", "value": "cards"}]}
            | {"aliases": [{"alias": "champion", "version": "1"}]},
            {"name": "elsewhere", "creation_timestamp": T + 1901, "last_updated_timestamp": T + 4000},
            {"name": "greet", "creation_timestamp": T + 1902, "last_updated_timestamp": T + 4000}
            | {"tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]},
        ]
        prompt = [("mlflow.prompt.is_prompt", "true"), ("mlflow.prompt.text", "Hello {{name}}")]
        self.versions = [
            version("fraud_detector", 1, stage="Production", source=f"models:/{LOGGED}", run_id=RUN)
            | {"tags": [{"key": "k", "value": "v"}], "description": "first"},
            version(
                "fraud_detector",
                2,
                stage="Staging",
                source=f"mlflow-artifacts:/1/{RUN}/artifacts/model",
                run_id=RUN,
            ),
            version("elsewhere", 1, source="s3://bucket/model"),
            version("greet", 1, source="dummy-source", tags=prompt),
        ]
        self.locations: dict[tuple[str, str], str] = {
            ("fraud_detector", "1"): f"mlflow-artifacts:/1/models/{LOGGED}/artifacts"
        }
        self.files = {
            f"1/{RUN}/artifacts/notes/a b.txt": "größer\n".encode(),
            f"1/{RUN}/artifacts/empty.txt": b"",
            f"1/{RUN}/artifacts/model/MLmodel": MLMODEL,
            f"1/{RUN}/artifacts/model/model.pkl": b"weights" * 1000,
            f"1/{GONE}/artifacts/x.txt": b"x",
            f"1/models/{LOGGED}/artifacts/MLmodel": MLMODEL,
            f"1/models/{LOGGED}/artifacts/model.pkl": b"other weights" * 1000,
        }
        # What the listing says of a file's size when that is wrong.
        self.sizes: dict[str, int] = {}

    def hand_out_only(self) -> None:
        """Be a server of 2.x whose files are on its own disk: it has no proxy, and hands them out one by one."""
        self.old = True
        self.locations.clear()
        self.runs[0]["info"]["artifact_uri"] = f"/mlruns/1/{RUN}/artifacts"
        self.versions = [row for row in self.versions if row["source"] != f"models:/{LOGGED}"]
        self.versions[0] |= {"source": f"/mlruns/1/{RUN}/artifacts/model", "version": "1"}

    def clone(self) -> Recorded:
        return copy.deepcopy(self)

    @property
    def downloads(self) -> list[str]:
        paths = [unquote(request.url.path) for request in self.requests]
        return [path for path in paths if path.startswith("/api/2.0/mlflow-artifacts/artifacts/")]

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.budget is not None:
            self.budget -= 1
            if self.budget < 0:
                raise httpx.ConnectError("connection refused")
        path = unquote(request.url.path)
        for part, status in self.fail.items():
            if part in path:
                return httpx.Response(status, json={"error_code": "X", "message": "as told"})
        if path == "/version":
            return httpx.Response(200, text="3.17.2")
        if path in ("/get-artifact", "/model-versions/get-artifact"):
            below = "model/" if path.startswith("/model") else ""
            return self._file(request, f"1/{RUN}/artifacts/{below}{request.url.params['path']}")
        if path.startswith("/api/2.0/mlflow-artifacts/artifacts") and not self.old:
            return self._artifacts(request, path)
        query = json.loads(request.content) if request.content else dict(request.url.params)
        found = self._call(path.removeprefix("/api/2.0/mlflow/"), query)
        if found is None:
            return httpx.Response(404, text="<html>Not Found</html>")
        return httpx.Response(200, content=json.dumps(found))

    def _call(self, call, query):
        active = query.get("view_type", query.get("run_view_type")) == "ACTIVE_ONLY"
        prompts = "is_prompt` = 'true'" in query.get("filter", "")
        match call:
            case "experiments/search":
                rows = [e for e in self.experiments if not active or e.get("lifecycle_stage") != "deleted"]
                return self._page("experiments", rows, query)
            case "experiments/get":
                return {
                    "experiment": next(
                        e for e in self.experiments if e["experiment_id"] == query["experiment_id"]
                    )
                }
            case "runs/search":
                rows = [r for r in self.runs if r["info"]["experiment_id"] in query["experiment_ids"]]
                rows = [r for r in rows if not active or r["info"]["lifecycle_stage"] == "active"]
                return self._page("runs", rows, query)
            case "runs/get":
                return {"run": next(r for r in self.runs if r["info"]["run_id"] == query["run_id"])}
            case "artifacts/list":
                root = f"1/{query['run_id']}/artifacts"
                base = f"{query['path']}/" if "path" in query else ""
                listed = self._listing(f"{root}/{base}".rstrip("/")).get("files", [])
                return {"root_uri": root, "files": [row | {"path": base + row["path"]} for row in listed]}
            case "metrics/get-history":
                rows = self.histories[query["run_id"], query["metric_key"]]
                return self._page("metrics", rows, query, size=2)
            case "logged-models/search" if not self.old:
                rows = [r for r in self.logged if r["info"]["experiment_id"] in query["experiment_ids"]]
                return self._page("models", rows, query)
            case "registered-models/search":
                rows = [m for m in self.models if ("is_prompt" in json.dumps(m)) == prompts]
                return self._page("registered_models", rows, query)
            case "model-versions/search":
                rows = [v for v in self.versions if ("is_prompt" in json.dumps(v)) == prompts]
                rows = [v for v in rows if f"'{v['name']}'" in query["filter"]]
                return self._page("model_versions", rows, query)
            case "model-versions/get-download-uri":
                key = (query["name"], query["version"])
                row = next(v for v in self.versions if (v["name"], v["version"]) == key)
                return {"artifact_uri": self.locations.get(key, row["source"])}
            case _ if call.startswith("logged-models/m-"):
                return {"model": next(r for r in self.logged if r["info"]["model_id"] == call[14:])}
        return None

    def _page(self, name, rows, query, size=1):
        start = int(base64.b64decode(query.get("page_token", "MA==")))
        found = {name: rows[start : start + size]} if rows else {}
        if start + size < len(rows):
            found["next_page_token"] = base64.b64encode(str(start + size).encode()).decode()
        return found

    def _artifacts(self, request, path):
        name = path.removeprefix("/api/2.0/mlflow-artifacts/artifacts").strip("/")
        if not name:
            return httpx.Response(200, json=self._listing(request.url.params["path"]))
        return self._file(request, name)

    def _file(self, request, name):
        if name not in self.files:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})
        content, start = self.files[name], 0
        headers = {"ETag": '"one"'}
        if wanted := request.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        stop = self.break_at.pop(name, None)
        return httpx.Response(206 if start else 200, headers=headers, stream=Pieces(content[start:], stop))

    def _listing(self, folder):
        start, found = f"{folder}/", {}
        for path, content in self.files.items():
            if path.startswith(start):
                name, slash, _ = path[len(start) :].partition("/")
                size = 0 if slash else self.sizes.get(path, len(content))
                found[name] = {"path": name, "is_dir": bool(slash), "file_size": size}
        return {"files": list(found.values())} if found else {}


class Pieces(httpx.SyncByteStream):
    """A body in small pieces, which may break off."""

    def __init__(self, content: bytes, stop: int | None) -> None:
        self.content, self.stop = content, stop

    def __iter__(self):
        for at in range(0, len(self.content), 1000):
            if self.stop is not None and at >= self.stop:
                raise httpx.ReadError("connection reset")
            yield self.content[at : at + 1000]
