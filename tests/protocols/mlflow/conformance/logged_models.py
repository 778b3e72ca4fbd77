"""What runs read and wrote: datasets, models of 2.x and of 3.x."""

from __future__ import annotations

from .case import (
    ABSENT,
    EXPERIMENT,
    INVALID,
    LOGGED,
    LOGGED_RUN,
    REFUSED,
    RUN,
    TEXT,
    TIME,
    UNKNOWN,
    AnyOrder,
    Call,
    Case,
    delete,
    get,
    patch,
    post,
)

STARTED = (EXPERIMENT, RUN)


READ = get("runs/get", run_id="{run}")
MODEL = get("logged-models/{lm}")
WRITTEN = (*STARTED, LOGGED)
OLD_MODEL = (
    '{"artifact_path": "model", "run_id": "{run}", "flavors": {}, "utc_time_created": "2026-01-01 00:00:00"}'
)


CASES = [
    # --- inputs, outputs, history of models ---
    Case(
        "log an input",
        post(
            "runs/log-inputs",
            run_id="{run}",
            datasets=[
                {
                    "tags": [{"key": "mlflow.data.context", "value": "train"}],
                    "dataset": {"name": "tx", "digest": "abc", "source_type": "local", "source": "x"},
                }
            ],
        ),
        given=STARTED,
        body={},
    ),
    Case(
        "an input is shown",
        READ,
        given=(
            *STARTED,
            post(
                "runs/log-inputs",
                run_id="{run}",
                datasets=[
                    {
                        "tags": [{"key": "mlflow.data.context", "value": "train"}],
                        "dataset": {
                            "name": "tx",
                            "digest": "abc",
                            "source_type": "local",
                            "source": "x",
                            "schema": "s",
                            "profile": "p",
                        },
                    }
                ],
            ),
        ),
        body={
            "run": {
                "inputs": {
                    "dataset_inputs": [
                        {
                            "dataset": {
                                "name": "tx",
                                "digest": "abc",
                                "source_type": "local",
                                "source": "x",
                                "schema": "s",
                                "profile": "p",
                            },
                            "tags": [{"key": "mlflow.data.context", "value": "train"}],
                        }
                    ]
                }
            }
        },
    ),
    Case(
        "an input without name",
        post(
            "runs/log-inputs",
            run_id="{run}",
            datasets=[{"dataset": {"digest": "abc", "source_type": "local", "source": "x"}}],
        ),
        given=STARTED,
        differs="strict words",
        ours=REFUSED,
    ),
    Case("inputs of an unknown run", post("runs/log-inputs", run_id="{none}", datasets=[]), **UNKNOWN),
    Case(
        "runs by dataset",
        post(
            "runs/search",
            experiment_ids=["{exp}"],
            filter="dataset.name = 'tx' AND dataset.digest = 'abc' AND dataset.context = 'train'",
        ),
        given=(
            *STARTED,
            post(
                "runs/log-inputs",
                run_id="{run}",
                datasets=[
                    {
                        "tags": [{"key": "mlflow.data.context", "value": "train"}],
                        "dataset": {"name": "tx", "digest": "abc", "source_type": "local", "source": "x"},
                    }
                ],
            ),
        ),
        body={"runs": [{"info": {"run_id": "{run}"}}]},
    ),
    Case(
        "datasets of experiments",
        post("/ajax-api/2.0/mlflow/experiments/search-datasets", experiment_ids=["{exp}"]),
        given=(
            *STARTED,
            post(
                "runs/log-inputs",
                run_id="{run}",
                datasets=[
                    {
                        "tags": [{"key": "mlflow.data.context", "value": "train"}],
                        "dataset": {"name": "tx", "digest": "abc", "source_type": "local", "source": "x"},
                    }
                ],
            ),
        ),
        body={
            "dataset_summaries": [
                {"experiment_id": "{exp}", "name": "tx", "digest": "abc", "context": "train"}
            ]
        },
    ),
    Case(
        "log a model of 2.x",
        READ,
        given=(
            *STARTED,
            post(
                "runs/log-model",
                run_id="{run}",
                model_json=OLD_MODEL,
            ),
        ),
        body={
            "run": {
                "data": {
                    "tags": AnyOrder(
                        ({"key": "mlflow.runName"}, {"key": "mlflow.log-model.history", "value": TEXT})
                    )
                }
            }
        },
    ),
    Case(
        "log a model that is no JSON",
        post("runs/log-model", run_id="{run}", model_json="{"),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "log a model of an unknown run", post("runs/log-model", run_id="{none}", model_json="{}"), **INVALID
    ),
    Case(
        "outputs",
        READ,
        given=(*WRITTEN, post("runs/outputs", run_id="{run}", models=[{"model_id": "{lm}", "step": 3}])),
        body={"run": {"outputs": {"model_outputs": [{"model_id": "{lm}", "step": 3}]}}},
    ),
    # --- logged models ---
    Case(
        "create a logged model",
        post(
            "logged-models",
            experiment_id="{exp}",
            name="lm",
            source_run_id="{run}",
            model_type="sk",
            params=[{"key": "d", "value": "5"}],
            tags=[{"key": "a", "value": "1"}],
        ),
        given=STARTED,
        body={
            "model": {
                "info": {
                    "model_id": TEXT,
                    "experiment_id": "{exp}",
                    "name": "lm",
                    "creation_timestamp_ms": TIME,
                    "last_updated_timestamp_ms": TIME,
                    "artifact_uri": TEXT,
                    "status": "LOGGED_MODEL_PENDING",
                    "model_type": "sk",
                    "source_run_id": "{run}",
                },
                "data": {"params": [{"key": "d", "value": "5"}]},
            }
        },
    ),
    Case(
        "create one without name",
        post("logged-models", experiment_id="{exp}"),
        given=STARTED,
        body={"model": {"info": {"name": TEXT}}},
    ),
    Case("create one without experiment", post("logged-models", name="lm"), **INVALID),
    Case(
        "create one of an unknown experiment",
        post("logged-models", experiment_id="987654321", name="lm"),
        **UNKNOWN,
    ),
    *(
        Case(
            f"create one with {sign} in its name",
            post("logged-models", experiment_id="{exp}", name=f"a{sign}b"),
            given=STARTED,
            **INVALID,
        )
        for sign in "/:.%\"'"
    ),
    Case(
        "get a logged model",
        MODEL,
        given=WRITTEN,
        body={"model": {"info": {"model_id": "{lm}", "status": "LOGGED_MODEL_PENDING"}}},
    ),
    Case("get an unknown logged model", get("logged-models/m-{none}"), **UNKNOWN),
    Case(
        "finish a logged model",
        patch("logged-models/{lm}", model_id="{lm}", status="LOGGED_MODEL_READY"),
        given=WRITTEN,
        body={"model": {"info": {"status": "LOGGED_MODEL_READY"}}},
    ),
    Case(
        "finish one as failed",
        patch("logged-models/{lm}", model_id="{lm}", status="LOGGED_MODEL_UPLOAD_FAILED"),
        given=WRITTEN,
        body={"model": {"info": {"status": "LOGGED_MODEL_UPLOAD_FAILED"}}},
    ),
    Case(
        "finish one with an unknown status",
        patch("logged-models/{lm}", model_id="{lm}", status="DONE"),
        given=WRITTEN,
        differs="strict words",
        ours=REFUSED,
    ),
    Case("finish one without status", patch("logged-models/{lm}", model_id="{lm}"), given=WRITTEN, **INVALID),
    Case(
        "finish an unknown one",
        patch("logged-models/m-{none}", model_id="m-{none}", status="LOGGED_MODEL_READY"),
        **UNKNOWN,
    ),
    Case(
        "tag a logged model",
        MODEL,
        given=(*WRITTEN, patch("logged-models/{lm}/tags", tags=[{"key": "a", "value": "1"}])),
        body={"model": {"info": {"tags": [{"key": "a", "value": "1"}]}}},
    ),
    Case(
        "delete a tag of a logged model",
        delete("logged-models/{lm}/tags/a"),
        given=(*WRITTEN, patch("logged-models/{lm}/tags", tags=[{"key": "a", "value": "1"}])),
        body={},
    ),
    Case(
        "delete a tag of a logged model that is not there",
        delete("logged-models/{lm}/tags/a"),
        given=WRITTEN,
        **UNKNOWN,
    ),
    Case("delete a logged model", delete("logged-models/{lm}"), given=WRITTEN, body={}),
    Case("a deleted logged model is gone", MODEL, given=(*WRITTEN, delete("logged-models/{lm}")), **UNKNOWN),
    Case(
        "add params to a logged model",
        MODEL,
        given=(
            *WRITTEN,
            post("logged-models/{lm}/params", model_id="{lm}", params=[{"key": "p", "value": "1"}]),
        ),
        body={"model": {"data": {"params": [{"key": "p", "value": "1"}]}}},
    ),
    Case(
        "search logged models of no experiment",
        post("logged-models/search", experiment_ids=[]),
        body={"models": ABSENT},
    ),
    Case(
        "search a page of logged models",
        post("logged-models/search", experiment_ids=["{exp}"], max_results=1),
        given=(*WRITTEN, LOGGED),
        body={"models": [{"info": dict}], "next_page_token": TEXT},
    ),
    Case(
        "search logged models with a bad token",
        post("logged-models/search", experiment_ids=["{exp}"], page_token="nonsense!"),
        given=STARTED,
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case(
        "search logged models with another filter's token",
        post(
            "logged-models/search",
            experiment_ids=["{exp}"],
            max_results=1,
            filter="name = 'lm'",
            page_token="{page}",
        ),
        given=(
            *WRITTEN,
            LOGGED,
            Call(
                "POST",
                "logged-models/search",
                {"experiment_ids": ["{exp}"], "max_results": 1},
                keep={"page": "next_page_token"},
            ),
        ),
        **INVALID,
    ),
    Case(
        "order logged models",
        post(
            "logged-models/search",
            experiment_ids=["{exp}"],
            order_by=[{"field_name": "creation_time", "ascending": True}],
        ),
        given=WRITTEN,
        body={"models": [{"info": {"model_id": "{lm}"}}]},
    ),
    Case(
        "order logged models by nothing",
        post("logged-models/search", experiment_ids=["{exp}"], order_by=[{"ascending": True}]),
        given=WRITTEN,
        **INVALID,
    ),
    Case(
        "list files of a logged model",
        get("logged-models/{lm}/artifacts/directories"),
        given=(*LOGGED_RUN, LOGGED),
        body={"root_uri": TEXT, "files": ABSENT},
    ),
]
