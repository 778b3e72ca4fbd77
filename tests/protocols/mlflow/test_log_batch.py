"""Metrics over MLflow's wire: one by one, in batches, by many at once; curves of them; how many queries that takes."""

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.models import AuditEvent, LoggedModelMetric, Run, RunLatestMetric, RunMetric
from models_app.registry import logged_models, runs
from models_app.registry.run_metrics import Point
from tests.registry.test_parallel import in_parallel

from .registry_asking import ask, good, refused
from .tracking import NOW, get_run, log, make_run, metrics_of, pairs, tags_of

pytestmark = pytest.mark.django_db


def history(client, run, key, **more):
    return good(client, "metrics/get-history", "GET", run_id=run, metric_key=key, **more).get("metrics", [])


def values(points):
    return [point["value"] for point in points]


def point(key="m", value=1.0, step=0, at=NOW, **more):
    return {"key": key, "value": value, "step": step, "timestamp": at} | more


def test_the_last_is_of_the_greatest_step_then_time_then_value(api):
    run = make_run(api.bob)
    for value, step, at in ((1, 5, 10), (2, 4, 99), (3, 5, 10), (2, 5, 10), (0, 5, 9), (9, -7, 10**12)):
        good(api.bob, "runs/log-metric", run_id=run, **point("m", value, step, at))
    shown = get_run(api.bob, run)["data"]["metrics"]
    assert shown == [{"key": "m", "value": 3.0, "timestamp": 10, "step": 5}]
    log(api.bob, run, point("m", 4, 6, 1), point("m", 5, 6, 1), point("m", 1, 6, 0))
    assert metrics_of(api.bob, run) == {"m": 5.0}
    assert len(history(api.bob, run, "m")) == 9


def test_what_is_sent_again_is_one_point(api):
    run = make_run(api.bob)
    for _ in range(2):
        good(api.bob, "runs/log-metric", run_id=run, **point(value="NaN"))
        log(api.bob, run, point(), point(), point(value=2), point(value="NaN"))
    assert values(history(api.bob, run, "m")) == ["NaN", 1.0, 2.0]


@pytest.mark.parametrize(
    "sent,shown",
    [
        ("NaN", "NaN"),
        ("Infinity", 1.7976931348623157e308),
        ("-Infinity", -1.7976931348623157e308),
        ("0.5", 0.5),
        (5, 5.0),
        (5e-324, 5e-324),
        (-0.0, 0.0),
        (1.7976931348623157e308, 1.7976931348623157e308),
        (0.1 + 0.2, 0.1 + 0.2),
    ],
)
def test_values(api, sent, shown):
    run = make_run(api.bob)
    good(api.bob, "runs/log-metric", run_id=run, **point(value=sent))
    assert metrics_of(api.bob, run) == {"m": shown}
    assert values(history(api.dave, run, "m")) == [shown]


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"value": "high"},
        {"value": True},
        {"value": [1]},
        {"value": ""},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": 1.5},
        {"timestamp": "soon"},
        {"timestamp": 2**63},
        {"timestamp": 2**60},
        {"step": "x"},
        {"step": 1.5},
        {"step": 2**63},
        {"step": -(2**63) - 1},
        {"key": None},
        {"key": "a$"},
        {"dataset_name": 5},
    ],
)
def test_bad_points_are_refused_alone_and_in_a_batch(api, change):
    run = make_run(api.bob)
    bad = point() | change
    refused(ask(api.bob, "runs/log-metric", run_id=run, **bad))
    refused(ask(api.bob, "runs/log-batch", run_id=run, metrics=[point("fine"), bad]))
    assert not RunMetric.objects.exists()


@pytest.mark.parametrize("step", [2**63 - 1, -(2**63), "7", None, 3.0])
def test_steps(api, step):
    run = make_run(api.bob)
    good(api.bob, "runs/log-metric", run_id=run, **point(step=step))
    assert history(api.bob, run, "m")[0]["step"] == int(step or 0)


def test_a_batch_is_all_or_nothing(api):
    run = make_run(api.bob)
    log(api.bob, run, point(), params={"p": "1"}, tags={"t": "1"})
    log(api.bob, run, point(step=1), params={"p": "1", "q": ""}, tags={"t": "2"})
    message = ask(
        api.bob,
        "runs/log-batch",
        run_id=run,
        metrics=[point("other")],
        params=pairs({"p": "2"}),
        tags=pairs({"t": "3"}),
    )
    assert "Changing param values" in refused(message)
    shown = get_run(api.bob, run)["data"]
    assert metrics_of(api.bob, run) == {"m": 1.0}
    assert tags_of({"tags": shown["params"]}) == {"p": "1", "q": ""}
    assert tags_of(shown)["t"] == "2"


def test_limits(api):
    run = make_run(api.bob)
    many = [point(f"m{n}") for n in range(1001)]
    some = [{"key": f"k{n}", "value": "1"} for n in range(101)]
    for message in (
        {"metrics": many},
        {"params": some},
        {"tags": some},
        {"metrics": many[:901], "tags": some[:100]},
    ):
        assert "can contain at most" in refused(ask(api.bob, "runs/log-batch", run_id=run, **message))
    assert not RunMetric.objects.exists()
    good(api.bob, "runs/log-batch", run_id=run, metrics=many[:800], params=some[:100], tags=some[:100])
    good(api.bob, "runs/log-batch", run_id=run, metrics=many[:1000])
    assert len(metrics_of(api.bob, run)) == 1000
    for twice in ([("d", "1"), ("d", "2")], [("d", "1"), ("d", "1")]):
        items = [{"key": key, "value": value} for key, value in twice]
        assert "Duplicate parameter keys" in refused(ask(api.bob, "runs/log-batch", run_id=run, params=items))
        good(api.bob, "runs/log-batch", run_id=run, tags=items)
    good(api.bob, "runs/log-batch", run_id=run)
    refused(ask(api.bob, "runs/log-batch", run_id=""))


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "{", "5", "x" * 100, '{"run_id": "\\ud800"}', "[" * 10_000]
)
def test_bodies_that_say_nothing(api, body):
    answer = api.bob.generic("POST", "/api/2.0/mlflow/runs/log-batch", body, content_type="application/json")
    assert "run_id" in refused(answer)


def test_history_in_pages(api):
    run = make_run(api.bob)
    log(api.bob, run, *[point(value=n, step=n, at=NOW + n // 2) for n in range(7)])
    assert values(history(api.bob, run, "m")) == list(range(7))
    shown, token = [], ""
    while True:
        page = good(
            api.bob,
            "metrics/get-history",
            "GET",
            run_id=run,
            metric_key="m",
            max_results=3,
            page_token=token,
        )
        shown += values(page["metrics"])
        token = page.get("next_page_token")
        if not token:
            break
    assert shown == list(range(7))
    assert good(api.bob, "metrics/get-history", "GET", run_id=run, metric_key="none") == {}
    for bad in (
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": "x"},
        {"max_results": 1, "page_token": "x"},
    ):
        refused(ask(api.bob, "metrics/get-history", "GET", run_id=run, metric_key="m", **bad))


def test_samples_of_several_curves(api):
    one, two = make_run(api.bob), make_run(api.bob)
    log(api.bob, one, *[point(value=n, step=n) for n in range(100)])
    log(api.bob, two, point(value="NaN", step=3), point(value=7, step=50))

    def sampled(**more):
        call = "metrics/get-history-bulk-interval"
        found = good(api.dave, call, "GET", run_ids=[one, two], metric_key="m", **more).get("metrics", [])
        return [[p["value"] for p in found if p["run_id"] == run] for run in (one, two)]

    assert sampled() == [list(range(100)), ["NaN", 7.0]]
    assert sampled(max_results=5) == [[0, 25, 50, 74, 99], ["NaN", 7.0]]
    assert sampled(max_results=1) == [[99], [7.0]]
    assert sampled(start_step=10, end_step=50, max_results=2) == [[10, 50], [7.0]]
    for bad in (
        {"max_results": 0},
        {"max_results": 2501},
        {"start_step": 1},
        {"start_step": 5, "end_step": 1},
        {"run_ids": [one] * 101},
        {"run_ids": []},
        {"metric_key": ""},
    ):
        message = {"run_ids": [one], "metric_key": "m"} | bad
        refused(ask(api.bob, "metrics/get-history-bulk-interval", "GET", **message))
    bulk = good(
        api.dave, "metrics/get-history-bulk", "GET", run_id=[one, two], metric_key="m", max_results=101
    )
    assert len(bulk["metrics"]) == 101


def test_points_of_logged_models(api, people):
    run = Run.objects.get(uid=make_run(api.bob))
    model = logged_models.create_logged_model(run.experiment, by=people.bob, name="m")
    on = {"model_id": model.uid, "dataset_name": "tx", "dataset_digest": "d1"}
    for _ in range(2):
        good(api.bob, "runs/log-metric", run_id=run.uid, **point("f1", 0.5), **on)
        log(api.bob, run.uid, point("f1", 0.5), point("f1", "NaN", 1, model_id=model.uid))
    rows = LoggedModelMetric.objects.order_by("step").values_list("value", "is_nan", "dataset_name")
    assert list(rows) == [(0.5, False, "tx"), (0.0, True, "")]
    assert RunMetric.objects.count() == 2
    message = point("f1", 0.5, model_id="m-nope")
    refused(ask(api.bob, "runs/log-metric", run_id=run.uid, **message), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "runs/log-metric", run_id=run.uid, **point(), **on | {"dataset_name": "x" * 501}))


@pytest.mark.django_db(transaction=True)
def test_eight_threads_log_at_once(people):
    run = runs.create_run(by=people.bob)

    def work(thread):
        for n in range(12):
            step = (thread * 7 + n * 5) % 60
            points = [
                Point("own", thread, run.started_at, n),
                Point("shared", step * 1.0, run.started_at, step),
            ]
            runs.log_batch(run.uid, points=points, tags={"t": str(thread)}, params={"p": "1"}, by=people.bob)

    assert in_parallel(work, range(8), threads=8) == [None] * 8
    for row in RunLatestMetric.objects.filter(run=run):
        points = RunMetric.objects.filter(run=run, key=row.key)
        last = points.order_by("-step", "-at", "-value").first()
        assert (row.step, row.value) == (last.step, last.value)
    assert RunMetric.objects.filter(key="own").count() == 96


def queries(work):
    with CaptureQueriesContext(
        connection,
    ) as asked:
        work()
    return [q["sql"] for q in asked if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]


def test_few_queries(api):
    """With the token's two; what is said of the token's use is written once a minute."""
    run = make_run(api.bob)
    log(api.bob, run, point("warm", step=-1))

    def count(call, method="POST", **message):
        return len(queries(lambda: good(api.bob, call, method, **message)))

    assert count("runs/log-metric", run_id=run, **point()) == 6
    assert count("runs/log-batch", run_id=run, metrics=[point(f"k{n}", step=n) for n in range(100)]) == 6
    assert count("runs/set-tag", run_id=run, key="k", value="v") == 5
    assert count("runs/log-parameter", run_id=run, key="k", value="v") == 6
    assert count("runs/get", "GET", run_id=run) == 6
    assert count("runs/create", experiment_id="0") == 6
    assert count("runs/search", experiment_ids=["0"]) == 8
    assert count("metrics/get-history", "GET", run_id=run, metric_key="m") == 3


def test_the_record_has_no_line_per_point(api):
    run = make_run(api.bob)
    before = AuditEvent.objects.count()
    log(api.bob, run, *[point(step=n) for n in range(50)], params={"p": "1"}, tags={"t": "1"})
    assert AuditEvent.objects.count() == before
    assert math.isclose(metrics_of(api.bob, run)["m"], 1.0)
