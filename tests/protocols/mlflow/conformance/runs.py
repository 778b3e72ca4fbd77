"""Runs: create, get, search, finish, delete, restore, their params and tags."""

from __future__ import annotations

from .case import (
    ABSENT,
    EXPERIMENT,
    INVALID,
    REFUSED,
    RUN,
    TEXT,
    UNKNOWN,
    AnyOrder,
    Call,
    Case,
    get,
    post,
)

STARTED = (EXPERIMENT, RUN)


def run(**more):
    return post("runs/create", **{"experiment_id": "{exp}", "start_time": 5, **more})


def got(**info):
    return {"run": {"info": info}}


READ = get("runs/get", run_id="{run}")


CASES = [
    # --- runs ---
    Case(
        "create a run",
        run(user_id="ann", run_name="r", tags=[{"key": "a", "value": "1"}]),
        given=(EXPERIMENT,),
        body={
            "run": {
                "info": {
                    "run_id": str,
                    "run_uuid": str,
                    "experiment_id": "{exp}",
                    "run_name": "r",
                    "user_id": "ann",
                    "status": "RUNNING",
                    "start_time": 5,
                    "end_time": ABSENT,
                    "artifact_uri": TEXT,
                    "lifecycle_stage": "active",
                },
                "data": {
                    "tags": AnyOrder(({"key": "a", "value": "1"}, {"key": "mlflow.runName", "value": "r"}))
                },
            }
        },
    ),
    Case(
        "a run without name gets one",
        run(),
        given=(EXPERIMENT,),
        body={
            "run": {"info": {"run_name": TEXT}, "data": {"tags": [{"key": "mlflow.runName", "value": TEXT}]}}
        },
    ),
    Case(
        "a run's name by its tag",
        run(tags=[{"key": "mlflow.runName", "value": "t"}]),
        given=(EXPERIMENT,),
        body=got(run_name="t"),
    ),
    Case(
        "a run with two names",
        run(run_name="a", tags=[{"key": "mlflow.runName", "value": "b"}]),
        given=(EXPERIMENT,),
        **INVALID,
    ),
    Case("a run of an unknown experiment", post("runs/create", experiment_id="987654321"), **UNKNOWN),
    Case(
        "a run of a deleted experiment",
        run(),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        **INVALID,
    ),
    Case(
        "a run of no experiment",
        post("runs/create", start_time=5),
        status=400,
        code="BAD_REQUEST",
        differs="codes",
        ours=REFUSED,
    ),
    Case("a run with a text for a time", run(start_time="soon"), given=(EXPERIMENT,), **INVALID),
    Case(
        "a run with a time as text",
        run(start_time="1700000000000"),
        given=(EXPERIMENT,),
        body=got(start_time=1_700_000_000_000),
    ),
    Case(
        "a run with tags that are an object",
        run(tags={"a": "1"}),
        given=(EXPERIMENT,),
        differs="strict words",
        ours=REFUSED,
    ),
    Case(
        "get a run",
        READ,
        given=STARTED,
        body={
            "run": {"info": {"run_id": "{run}", "run_uuid": "{run}", "run_name": "first", "user_id": "ann"}}
        },
    ),
    Case("get a run as run_uuid", get("runs/get", run_uuid="{run}"), given=STARTED, body=got(run_id="{run}")),
    Case("get an unknown run", get("runs/get", run_id="{none}"), **UNKNOWN),
    Case("get a run without id", get("runs/get"), **INVALID),
    Case("get a run of a strange id", get("runs/get", run_id="../../etc/passwd"), **UNKNOWN),
    Case(
        "finish a run",
        post("runs/update", run_id="{run}", status="FINISHED", end_time=1_700_000_100_000),
        given=STARTED,
        body={"run_info": {"run_id": "{run}", "status": "FINISHED", "end_time": 1_700_000_100_000}},
    ),
    Case(
        "rename a run",
        READ,
        given=(*STARTED, post("runs/update", run_id="{run}", run_name="second")),
        body={
            "run": {
                "info": {"run_name": "second"},
                "data": {"tags": [{"key": "mlflow.runName", "value": "second"}]},
            }
        },
    ),
    Case(
        "rename a run by its tag",
        READ,
        given=(*STARTED, post("runs/set-tag", run_id="{run}", key="mlflow.runName", value="third")),
        body=got(run_name="third"),
    ),
    Case(
        "an unknown status",
        post("runs/update", run_id="{run}", status="DONE"),
        given=STARTED,
        differs="strict words",
        ours=REFUSED,
    ),
    Case("update an unknown run", post("runs/update", run_id="{none}", status="FINISHED"), **UNKNOWN),
    Case("delete a run", post("runs/delete", run_id="{run}"), given=STARTED, body={}),
    Case(
        "a deleted run is shown so",
        READ,
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        body=got(lifecycle_stage="deleted"),
    ),
    Case("delete an unknown run", post("runs/delete", run_id="{none}"), **UNKNOWN),
    Case(
        "restore a run",
        READ,
        given=(*STARTED, post("runs/delete", run_id="{run}"), post("runs/restore", run_id="{run}")),
        body=got(lifecycle_stage="active"),
    ),
    Case("restore an unknown run", post("runs/restore", run_id="{none}"), **UNKNOWN),
    Case(
        "log to a deleted run",
        post("runs/log-metric", run_id="{run}", key="a", value=1.0, timestamp=1),
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        **INVALID,
        says="active",
    ),
    # --- params and tags of runs ---
    Case(
        "log a param", post("runs/log-parameter", run_id="{run}", key="a", value="1"), given=STARTED, body={}
    ),
    Case(
        "log a param again",
        post("runs/log-parameter", run_id="{run}", key="a", value="1"),
        given=(*STARTED, post("runs/log-parameter", run_id="{run}", key="a", value="1")),
        body={},
    ),
    Case(
        "change a param",
        post("runs/log-parameter", run_id="{run}", key="a", value="2"),
        given=(*STARTED, post("runs/log-parameter", run_id="{run}", key="a", value="1")),
        **INVALID,
    ),
    Case(
        "a param without key", post("runs/log-parameter", run_id="{run}", value="1"), given=STARTED, **INVALID
    ),
    Case(
        "a param without value",
        post("runs/log-parameter", run_id="{run}", key="a"),
        given=STARTED,
        status=200,
    ),
    Case(
        "a param of an unknown run",
        post("runs/log-parameter", run_id="{none}", key="a", value="1"),
        **UNKNOWN,
    ),
    Case(
        "a param with a key of 250",
        post("runs/log-parameter", run_id="{run}", key="k" * 250, value="1"),
        given=STARTED,
        body={},
    ),
    Case(
        "a param with a key of 251",
        post("runs/log-parameter", run_id="{run}", key="k" * 251, value="1"),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a param of 6 000",
        post("runs/log-parameter", run_id="{run}", key="a", value="x" * 6000),
        given=STARTED,
        body={},
    ),
    Case(
        "a param that is too long is cut",
        READ,
        given=(*STARTED, post("runs/log-parameter", run_id="{run}", key="a", value="x" * 6001)),
        body={"run": {"data": {"params": [{"key": "a", "value": "x" * 6000}]}}},
    ),
    Case(
        "a param that is a number",
        post("runs/log-parameter", run_id="{run}", key="a", value=1),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a param with dots in its key",
        post("runs/log-parameter", run_id="{run}", key="../a", value="1"),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a param with a slash",
        post("runs/log-parameter", run_id="{run}", key="a/b c.d-e_f", value="1"),
        given=STARTED,
        body={},
    ),
    Case(
        "a param with a strange sign",
        post("runs/log-parameter", run_id="{run}", key="a$", value="1"),
        given=STARTED,
        **INVALID,
    ),
    Case("tag a run", post("runs/set-tag", run_id="{run}", key="a", value="1"), given=STARTED, body={}),
    Case(
        "tag a run twice",
        READ,
        given=(
            *STARTED,
            post("runs/set-tag", run_id="{run}", key="a", value="1"),
            post("runs/set-tag", run_id="{run}", key="a", value="2"),
        ),
        body={"run": {"data": {"tags": AnyOrder(({"key": "a", "value": "2"}, {"key": "mlflow.runName"}))}}},
    ),
    Case(
        "a tag that is too long is cut",
        post("runs/set-tag", run_id="{run}", key="a", value="x" * 8001),
        given=STARTED,
        body={},
    ),
    Case("tag an unknown run", post("runs/set-tag", run_id="{none}", key="a", value="1"), **UNKNOWN),
    Case("tag a run without key", post("runs/set-tag", run_id="{run}", value="1"), given=STARTED, **INVALID),
    Case(
        "delete a run's tag",
        post("runs/delete-tag", run_id="{run}", key="a"),
        given=(*STARTED, post("runs/set-tag", run_id="{run}", key="a", value="1")),
        body={},
    ),
    Case(
        "delete a run's tag that is not there",
        post("runs/delete-tag", run_id="{run}", key="a"),
        given=STARTED,
        **UNKNOWN,
    ),
    # --- search ---
    Case(
        "search runs",
        post("runs/search", experiment_ids=["{exp}"]),
        given=STARTED,
        body={"runs": [{"info": {"run_id": "{run}"}}], "next_page_token": ABSENT},
    ),
    Case(
        "search runs of no experiment",
        post("runs/search", experiment_ids=[]),
        given=STARTED,
        body={"runs": ABSENT},
    ),
    Case(
        "search runs of an unknown experiment",
        post("runs/search", experiment_ids=["987654321"]),
        body={"runs": ABSENT},
    ),
    Case(
        "search runs with a text for a list",
        post("runs/search", experiment_ids="{exp}"),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "search 50 001 runs",
        post("runs/search", experiment_ids=["{exp}"], max_results=50_001),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "search 0 runs",
        post("runs/search", experiment_ids=["{exp}"], max_results=0),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "search -1 runs",
        post("runs/search", experiment_ids=["{exp}"], max_results=-1),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "search a page of runs",
        post("runs/search", experiment_ids=["{exp}"], max_results=1),
        given=(*STARTED, RUN),
        body={"runs": [{"info": {"run_id": str}}], "next_page_token": TEXT},
    ),
    Case(
        "search the next page of runs",
        post("runs/search", experiment_ids=["{exp}"], max_results=1, page_token="{page}"),
        given=(
            EXPERIMENT,
            RUN,
            run(start_time=7),
            Call(
                "POST",
                "runs/search",
                {"experiment_ids": ["{exp}"], "max_results": 1},
                keep={"page": "next_page_token"},
            ),
        ),
        body={"runs": [{"info": {"start_time": 7}}], "next_page_token": ABSENT},
    ),
    Case(
        "search runs with a bad token",
        post("runs/search", experiment_ids=["{exp}"], page_token="nonsense!"),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "search deleted runs",
        post("runs/search", experiment_ids=["{exp}"], run_view_type="DELETED_ONLY"),
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        body={"runs": [{"info": {"lifecycle_stage": "deleted"}}]},
    ),
    Case(
        "search all runs",
        post("runs/search", experiment_ids=["{exp}"], run_view_type="ALL"),
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        body={"runs": [{"info": {"run_id": "{run}"}}]},
    ),
    Case(
        "search active runs",
        post("runs/search", experiment_ids=["{exp}"]),
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        body={"runs": ABSENT},
    ),
    Case(
        "search runs of an unknown view",
        post("runs/search", experiment_ids=["{exp}"], run_view_type="ODD"),
        given=STARTED,
        differs="strict words",
        ours=REFUSED,
    ),
]
