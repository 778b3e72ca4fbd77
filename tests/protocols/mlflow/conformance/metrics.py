"""Metrics: single, in batches, their histories; numbers that JSON cannot write."""

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
    Expected,
    get,
    post,
)

STARTED = (EXPERIMENT, RUN)
READ = get("runs/get", run_id="{run}")
BIG = 1.7976931348623157e308


def metric(key="m", value=0.5, timestamp=1_700_000_000_000, **more):
    return post(
        "runs/log-metric", **{"run_id": "{run}", "key": key, "value": value, "timestamp": timestamp, **more}
    )


def batch(**parts):
    return post("runs/log-batch", run_id="{run}", **parts)


def history(**more):
    return get("metrics/get-history", **{"run_id": "{run}", "metric_key": "m", **more})


def point(value=0.5, step=0, key="m", timestamp=1_700_000_000_000):
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def data(**parts):
    return {"run": {"data": parts}}


CASES = [
    Case("log a metric", metric(), given=STARTED, body={}),
    Case("a metric is shown", READ, given=(*STARTED, metric(step=2)), body=data(metrics=[point(step=2)])),
    Case("a whole number", history(), given=(*STARTED, metric(value=3)), body={"metrics": [point(3.0)]}),
    Case("a number as text", metric(value="0.25"), given=STARTED, body={}),
    Case("a text that is no number", metric(value="much"), given=STARTED, **INVALID),
    Case("no value", post("runs/log-metric", run_id="{run}", key="m", timestamp=1), given=STARTED, **INVALID),
    Case("a null value", metric(value=None), given=STARTED, **INVALID),
    Case("a truth value", metric(value=True), given=STARTED, differs="strict words", ours=REFUSED),
    Case("NaN", metric(value="NaN"), given=STARTED, body={}),
    Case(
        "NaN comes back", history(), given=(*STARTED, metric(value="NaN")), body={"metrics": [point("NaN")]}
    ),
    Case(
        "NaN in a run",
        READ,
        given=(*STARTED, metric(value="NaN")),
        body=data(metrics=[{"key": "m", "value": "NaN"}]),
    ),
    Case("infinity", history(), given=(*STARTED, metric(value="Infinity")), body={"metrics": [point(BIG)]}),
    Case(
        "minus infinity",
        history(),
        given=(*STARTED, metric(value="-Infinity")),
        body={"metrics": [point(-BIG)]},
    ),
    Case(
        "a literal NaN",
        Call("POST", "runs/log-metric", raw=b'{"run_id": "x", "key": "m", "value": NaN, "timestamp": 1}'),
        given=STARTED,
        **UNKNOWN,
        differs="no JSON",
        ours=REFUSED,
    ),
    Case(
        "the smallest number",
        history(),
        given=(*STARTED, metric(value=5e-324)),
        body={"metrics": [point(5e-324)]},
    ),
    Case(
        "a great number", history(), given=(*STARTED, metric(value=1e308)), body={"metrics": [point(1e308)]}
    ),
    Case("minus nothing", history(), given=(*STARTED, metric(value=-0.0)), body={"metrics": [{"key": "m"}]}),
    Case(
        "a step of 63 bits",
        history(),
        given=(*STARTED, metric(step=2**63 - 1)),
        body={"metrics": [point(step=2**63 - 1)]},
    ),
    Case("a negative step", history(), given=(*STARTED, metric(step=-5)), body={"metrics": [point(step=-5)]}),
    Case("a step beyond 64 bits", metric(step=2**63), given=STARTED, differs="strict words", ours=REFUSED),
    Case("a step as text", history(), given=(*STARTED, metric(step="7")), body={"metrics": [point(step=7)]}),
    Case("a step that is a fraction", metric(step=1.5), given=STARTED, differs="strict words", ours=REFUSED),
    Case("a step that is a whole fraction", metric(step=2.0), given=STARTED, status=200),
    Case("a step that is a word", metric(step="two"), given=STARTED, **INVALID),
    Case("no time", post("runs/log-metric", run_id="{run}", key="m", value=1.0), given=STARTED, **INVALID),
    Case("a time that is a word", metric(timestamp="now"), given=STARTED, **INVALID),
    Case("time 0", history(), given=(*STARTED, metric(timestamp=0)), body={"metrics": [point(timestamp=0)]}),
    Case("no key", post("runs/log-metric", run_id="{run}", value=1.0, timestamp=1), given=STARTED, **INVALID),
    Case("a key of 250", metric("k" * 250), given=STARTED, body={}),
    Case("a key of 251", metric("k" * 251), given=STARTED, **INVALID),
    Case("a key with slashes", metric("val/f1 score-1.0_x:y"), given=STARTED, body={}),
    Case("a key with dots", metric("../x"), given=STARTED, **INVALID),
    Case("a key with a strange sign", metric("a$b"), given=STARTED, **INVALID),
    Case("a key of the world's letters", metric("größe"), given=STARTED, body={}),
    Case(
        "a metric of an unknown run",
        post("runs/log-metric", run_id="{none}", key="m", value=1.0, timestamp=1),
        **UNKNOWN,
    ),
    Case(
        "a metric by run_uuid",
        post("runs/log-metric", run_uuid="{run}", key="m", value=1.0, timestamp=1),
        given=STARTED,
        body={},
    ),
    Case("a metric without run", post("runs/log-metric", key="m", value=1.0, timestamp=1), **INVALID),
    # --- the last one ---
    Case(
        "the greatest step is the last",
        READ,
        given=(*STARTED, metric(value=1.0, step=5), metric(value=2.0, step=3)),
        body=data(metrics=[point(1.0, 5)]),
    ),
    Case(
        "at one step the latest",
        READ,
        given=(*STARTED, metric(value=1.0, timestamp=9), metric(value=2.0, timestamp=3)),
        body=data(metrics=[point(1.0, timestamp=9)]),
    ),
    Case(
        "at one time the greatest",
        READ,
        given=(*STARTED, metric(value=2.0), metric(value=1.0)),
        body=data(metrics=[point(2.0)]),
    ),
    Case(
        "the same point twice is one",
        history(),
        given=(*STARTED, metric(), metric()),
        body={"metrics": [point()]},
    ),
    # --- histories ---
    Case("history of none", history(), given=STARTED, body={"metrics": ABSENT}),
    Case(
        "history of an unknown run",
        get("metrics/get-history", run_id="{none}", metric_key="m"),
        body={"metrics": ABSENT},
        differs="unknown runs",
        ours=Expected(**UNKNOWN),
    ),
    Case("history without key", get("metrics/get-history", run_id="{run}"), given=STARTED, **INVALID),
    Case("history without run", get("metrics/get-history", metric_key="m"), **INVALID),
    Case(
        "a page of history",
        history(max_results=1),
        given=(*STARTED, metric(step=1), metric(step=2)),
        body={"metrics": [point(step=1)], "next_page_token": TEXT},
    ),
    Case(
        "the next page of history",
        history(max_results=1, page_token="{page}"),
        given=(
            *STARTED,
            metric(step=1),
            metric(step=2),
            Call(
                "GET",
                "metrics/get-history",
                {"run_id": "{run}", "metric_key": "m", "max_results": 1},
                keep={"page": "next_page_token"},
            ),
        ),
        body={"metrics": [point(step=2)], "next_page_token": ABSENT},
    ),
    Case(
        "history with a bad token",
        history(max_results=1, page_token="nonsense!"),
        given=(*STARTED, metric()),
        **INVALID,
    ),
    Case(
        "history with a page of a word",
        history(max_results="x"),
        given=STARTED,
        differs="strict words",
        ours=REFUSED,
    ),
    Case(
        "history of many runs",
        get(
            "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
            run_ids=["{run}"],
            metric_key="m",
            max_results=10,
        ),
        given=(*STARTED, metric(step=1), metric(step=2)),
        body={"metrics": [{"run_id": "{run}", "step": 1}, {"run_id": "{run}", "step": 2}]},
    ),
    # --- batches ---
    Case(
        "a batch",
        batch(metrics=[point()], params=[{"key": "p", "value": "1"}], tags=[{"key": "t", "value": "2"}]),
        given=STARTED,
        body={},
    ),
    Case(
        "a batch is shown",
        READ,
        given=(
            *STARTED,
            batch(
                metrics=[point(), point(key="n")],
                params=[{"key": "p", "value": "1"}],
                tags=[{"key": "t", "value": "2"}],
            ),
        ),
        body=data(
            metrics=AnyOrder((point(), point(key="n"))),
            params=[{"key": "p", "value": "1"}],
            tags=AnyOrder(({"key": "t", "value": "2"}, {"key": "mlflow.runName"})),
        ),
    ),
    Case("an empty batch", batch(), given=STARTED, body={}),
    Case("a batch of an unknown run", post("runs/log-batch", run_id="{none}", metrics=[point()]), **UNKNOWN),
    Case("a batch without run", post("runs/log-batch", metrics=[point()]), **INVALID),
    Case("1 000 metrics", batch(metrics=[point(step=i) for i in range(1000)]), given=STARTED, body={}),
    Case("1 001 metrics", batch(metrics=[point(step=i) for i in range(1001)]), given=STARTED, **INVALID),
    Case(
        "100 params",
        batch(params=[{"key": f"k{i}", "value": "1"} for i in range(100)]),
        given=STARTED,
        body={},
    ),
    Case(
        "101 params",
        batch(params=[{"key": f"k{i}", "value": "1"} for i in range(101)]),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "101 tags", batch(tags=[{"key": f"k{i}", "value": "1"} for i in range(101)]), given=STARTED, **INVALID
    ),
    Case(
        "1 001 in all",
        batch(
            metrics=[point(step=i) for i in range(951)],
            tags=[{"key": f"k{i}", "value": "1"} for i in range(50)],
        ),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "more than a megabyte",
        batch(tags=[{"key": f"k{i}", "value": "x" * 11_000} for i in range(100)]),
        given=STARTED,
        body={},
    ),
    Case(
        "params that contradict each other",
        batch(params=[{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a param twice",
        batch(params=[{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a param that contradicts what is there",
        batch(params=[{"key": "p", "value": "2"}]),
        given=(*STARTED, batch(params=[{"key": "p", "value": "1"}])),
        **INVALID,
    ),
    Case(
        "a refused batch changes nothing",
        READ,
        given=(*STARTED, batch(params=[{"key": "p", "value": "1"}])),
        body=data(params=[{"key": "p", "value": "1"}], metrics=ABSENT),
    ),
    Case(
        "a tag twice in a batch",
        READ,
        given=(*STARTED, batch(tags=[{"key": "t", "value": "1"}, {"key": "t", "value": "2"}])),
        body=data(tags=AnyOrder(({"key": "t", "value": "2"}, {"key": "mlflow.runName"}))),
    ),
    Case(
        "a batch's metric without key",
        batch(metrics=[{"value": 1.0, "timestamp": 1}]),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a batch's metric without value",
        batch(metrics=[{"key": "m", "timestamp": 1}]),
        given=STARTED,
        **INVALID,
    ),
    Case(
        "a batch's metric without time", batch(metrics=[{"key": "m", "value": 1.0}]), given=STARTED, **INVALID
    ),
    Case(
        "a batch's metric that is a word",
        batch(metrics=["m"]),
        given=STARTED,
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case("a batch's metrics that are an object", batch(metrics={"m": 1}), given=STARTED, **INVALID),
    Case(
        "a batch with NaN",
        history(),
        given=(*STARTED, batch(metrics=[point("NaN")])),
        body={"metrics": [point("NaN")]},
    ),
    Case(
        "a batch sent again",
        history(),
        given=(*STARTED, batch(metrics=[point()]), batch(metrics=[point()])),
        body={"metrics": [point()]},
    ),
    Case(
        "a batch to a deleted run",
        batch(metrics=[point()]),
        given=(*STARTED, post("runs/delete", run_id="{run}")),
        **INVALID,
    ),
]
