"""Experiments: create, get, search, rename, delete, restore, their tags."""

from __future__ import annotations

from .case import (
    ABSENT,
    EXISTS,
    EXPERIMENT,
    INVALID,
    REFUSED,
    TEXT,
    TIME,
    UNKNOWN,
    Call,
    Case,
    Expected,
    get,
    post,
)

CASES = [
    # --- experiments ---
    Case(
        "the experiment 0 is there",
        get("experiments/get", experiment_id="0"),
        body={
            "experiment": {
                "experiment_id": "0",
                "name": "Default",
                "lifecycle_stage": "active",
                "artifact_location": TEXT,
            }
        },
    ),
    Case("create an experiment", post("experiments/create", name="{e}"), body={"experiment_id": str}),
    Case("create an experiment twice", post("experiments/create", name="{e}"), given=(EXPERIMENT,), **EXISTS),
    Case(
        "create one of the name of a deleted one",
        post("experiments/create", name="{e}"),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        **EXISTS,
    ),
    Case("create without name", post("experiments/create"), **INVALID),
    Case("create with an empty name", post("experiments/create", name=""), **INVALID),
    Case("create with a number for a name", post("experiments/create", name=7), **INVALID),
    Case(
        "create with a name of 500",
        post("experiments/create", name="{u}" + "x" * 492),
        body={"experiment_id": str},
    ),
    Case("create with a name of 501", post("experiments/create", name="{u}" + "x" * 493), **INVALID),
    Case(
        "create with a slash in the name",
        post("experiments/create", name="/Users/ann/{e}"),
        body={"experiment_id": str},
    ),
    Case(
        "create with tags",
        get("experiments/get", experiment_id="{x}"),
        given=(
            Call(
                "POST",
                "experiments/create",
                {"name": "{e}", "tags": [{"key": "a", "value": "1"}]},
                keep={"x": "experiment_id"},
            ),
        ),
        body={"experiment": {"tags": [{"key": "a", "value": "1"}]}},
    ),
    Case(
        "get an experiment",
        get("experiments/get", experiment_id="{exp}"),
        given=(EXPERIMENT,),
        body={
            "experiment": {
                "experiment_id": "{exp}",
                "name": "{e}",
                "creation_time": TIME,
                "last_update_time": TIME,
                "tags": ABSENT,
            }
        },
    ),
    Case("get an unknown experiment", get("experiments/get", experiment_id="987654321"), **UNKNOWN),
    Case("get an experiment whose id is no number", get("experiments/get", experiment_id="x"), **INVALID),
    Case("get an experiment without id", get("experiments/get"), **INVALID),
    Case(
        "get an experiment beyond 64 bits",
        get("experiments/get", experiment_id="9" * 30),
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case(
        "get a deleted experiment",
        get("experiments/get", experiment_id="{exp}"),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        body={"experiment": {"lifecycle_stage": "deleted"}},
    ),
    Case(
        "get an experiment by name",
        get("experiments/get-by-name", experiment_name="{e}"),
        given=(EXPERIMENT,),
        body={"experiment": {"experiment_id": "{exp}"}},
    ),
    Case(
        "get an experiment by unknown name", get("experiments/get-by-name", experiment_name="{e}"), **UNKNOWN
    ),
    Case("get an experiment by no name", get("experiments/get-by-name"), **INVALID),
    Case(
        "rename an experiment",
        post("experiments/update", experiment_id="{exp}", new_name="n-{u}"),
        given=(EXPERIMENT,),
        body={},
    ),
    Case(
        "rename an experiment to a taken name",
        post("experiments/update", experiment_id="{exp}", new_name="{e}"),
        given=(
            EXPERIMENT,
            Call("POST", "experiments/create", {"name": "o-{u}"}, keep={"exp": "experiment_id"}),
        ),
        status=400,
        code="BAD_REQUEST",
        differs="taken names",
        ours=Expected(**EXISTS),
    ),
    Case(
        "rename an unknown experiment",
        post("experiments/update", experiment_id="987654321", new_name="n-{u}"),
        **UNKNOWN,
    ),
    Case(
        "delete an experiment",
        post("experiments/delete", experiment_id="{exp}"),
        given=(EXPERIMENT,),
        body={},
    ),
    Case("delete an unknown experiment", post("experiments/delete", experiment_id="987654321"), **UNKNOWN),
    Case(
        "restore an experiment",
        post("experiments/restore", experiment_id="{exp}"),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        body={},
    ),
    Case("restore an unknown experiment", post("experiments/restore", experiment_id="987654321"), **UNKNOWN),
    Case(
        "tag an experiment",
        post("experiments/set-experiment-tag", experiment_id="{exp}", key="a", value="1"),
        given=(EXPERIMENT,),
        body={},
    ),
    Case(
        "tag an unknown experiment",
        post("experiments/set-experiment-tag", experiment_id="987654321", key="a", value="1"),
        **UNKNOWN,
    ),
    Case(
        "tag an experiment without key",
        post("experiments/set-experiment-tag", experiment_id="{exp}", value="1"),
        given=(EXPERIMENT,),
        **INVALID,
    ),
    Case(
        "tag an experiment with too much",
        post("experiments/set-experiment-tag", experiment_id="{exp}", key="a", value="x" * 20_001),
        given=(EXPERIMENT,),
        **INVALID,
    ),
    Case(
        "search experiments without a number",
        post("experiments/search"),
        **INVALID,
        differs="defaults",
        ours=Expected(200, body={"experiments": list}),
    ),
    Case("search 0 experiments", post("experiments/search", max_results=0), **INVALID),
    Case("search 50 001 experiments", post("experiments/search", max_results=50_001), **INVALID),
    Case(
        "search experiments with a text for a number",
        post("experiments/search", max_results="ten"),
        **INVALID,
    ),
    Case(
        "search deleted experiments",
        post("experiments/search", max_results=5, view_type="DELETED_ONLY", filter="name = '{e}'"),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        body={"experiments": [{"lifecycle_stage": "deleted"}]},
    ),
    Case(
        "search active experiments",
        post("experiments/search", max_results=5, filter="name = '{e}'"),
        given=(EXPERIMENT, post("experiments/delete", experiment_id="{exp}")),
        body={"experiments": ABSENT},
    ),
    Case(
        "search experiments by GET",
        get("experiments/search", max_results=5, filter="name = '{e}'"),
        given=(EXPERIMENT,),
        body={"experiments": [{"name": "{e}"}]},
    ),
    Case(
        "search experiments of an unknown view",
        post("experiments/search", max_results=5, view_type="ODD"),
        differs="strict words",
        ours=REFUSED,
    ),
]
