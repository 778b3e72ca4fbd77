"""Searching runs over MLflow's wire: what filters mean, orders, pages."""

import pytest

from models_app.models import Run

from .registry_asking import ask, good, refused, tags
from .tracking import NOW, found, log, make_experiment, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def five(api):
    """r0 to r4 in an experiment; the f1 of r2 is NaN, r4 has none, r3 is still running."""
    experiment = make_experiment(api.bob)
    for n, f1 in enumerate([0.1, 0.5, "NaN", -1.5, None]):
        run = good(
            api.bob,
            "runs/create",
            experiment_id=experiment,
            run_name=f"r{n}",
            start_time=NOW + n,
            user_id="bob" if n else "zoë",
            tags=tags(("k", f"v{n}")) if n < 3 else [],
        )["run"]["info"]["run_id"]
        log(api.bob, run, {"key": "loss", "value": n}, params={"p": f"P{n}", "my key": "it's"})
        if f1 is not None:
            log(api.bob, run, {"key": "f1", "value": f1, "step": 2}, {"key": "f1", "value": 99, "step": 1})
        if n != 3:
            good(api.bob, "runs/update", run_id=run, status="FINISHED", end_time=NOW + 100 + n)
        if n == 1:
            dataset = {"name": "tx", "digest": "d1", "source_type": "local", "source": "{}"}
            reads = [{"dataset": dataset, "tags": tags(("mlflow.data.context", "train"))}]
            good(api.bob, "runs/log-inputs", run_id=run, datasets=reads)
    return experiment


def uid(name):
    return Run.objects.get(name=name).uid


ALL = "r4 r3 r2 r1 r0"


FILTERS = {
    "": ALL,
    "metrics.f1 > 0.2": "r1",
    "metric.f1 >= -1.5": "r3 r1 r0",
    "metrics.`f1` < .2": "r3 r0",
    'metrics."f1" = 0.5': "r1",
    "metrics.f1 = 0": "",
    "metrics.f1 != 0.5": "r3 r2 r0",
    "metrics.f1 > -1e3 AND metrics.loss <= 1": "r1 r0",
    "metrics.f1 > 90": "",
    "metrics.none > 0": "",
    "params.p = 'P1'": "r1",
    "param.p != 'P1'": "r4 r3 r2 r0",
    "params.p LIKE 'P%'": ALL,
    "params.p LIKE 'p%'": "",
    "parameters.p ILIKE 'p_'": ALL,
    "parameter.none IS NULL": ALL,
    'params.`my key` = "it\'s"': ALL,
    "tags.k = 'v1'": "r1",
    "tags.k != 'v1'": "r2 r0",
    "tag.k IS NULL": "r4 r3",
    "tags.k IS NOT NULL": "r2 r1 r0",
    "tags.mlflow.runName = 'r1'": "r1",
    "tags.`mlflow.runName` = 'r1'": "r1",
    "status = 'RUNNING'": "r3",
    "attributes.status != 'RUNNING'": "r4 r2 r1 r0",
    "attr.status LIKE 'FIN%'": "r4 r2 r1 r0",
    "status = 'finished'": "",
    "run_name = 'r1'": "r1",
    "run_name ILIKE 'R%' and run_name != 'r1'": "r4 r3 r2 r0",
    "`run name` = 'r1'": "r1",
    "attributes.`Run name` = 'r1'": "r1",
    "user_id = 'zoë'": "r0",
    "user_id != 'zoë'": "r4 r3 r2 r1",
    f"start_time > {NOW + 2}": "r4 r3",
    f"start_time >= {NOW + 2}": "r4 r3 r2",
    f"created = {NOW + 2}": "r2",
    f"Created != {NOW + 2}": "r4 r3 r1 r0",
    f"start_time < {NOW + 1}.5": "r1 r0",
    f"end_time <= {NOW + 101}": "r1 r0",
    f"end_time != {NOW + 101}": "r4 r2 r0",
    "start_time < 1e30 AND start_time > -1e30": ALL,
    "artifact_uri LIKE 'mlflow-artifacts:/%/artifacts'": ALL,
    "artifact_uri = 'x'": "",
    "dataset.name = 'tx'": "r1",
    "datasets.digest LIKE 'd%' AND dataset.context = 'train'": "r1",
    "dataset.context != 'test'": "r1",
    "dataset.name IN ('tx', 'ty')": "r1",
    "dataset.name NOT IN ('tx')": "",
    "params.p = 'P1' AND": "r1",
    "params.p LIKE '%\\%'": "",
    "params.p LIKE 'P[1]' AND params.p LIKE 'P*'": "",
}


def test_filters(api, five):
    assert {text: " ".join(found(api.dave, text, experiments=[five])) for text in FILTERS} == FILTERS


def test_run_ids(api, five):
    one, two = uid("r1"), uid("r2")
    assert found(api.dave, f"run_id = '{one}'", experiments=[five]) == ["r1"]
    assert found(api.dave, f"attributes.run_id IN ('{one}', '{two}', 'x')", experiments=[five]) == [
        "r2",
        "r1",
    ]
    assert found(api.dave, f"run_id NOT IN ('{one}')", experiments=[five]) == ["r4", "r3", "r2", "r0"]
    assert found(
        api.dave, f"artifact_uri = 'mlflow-artifacts:/{five}/{one}/artifacts'", experiments=[five]
    ) == ["r1"]


ORDERS = [
    (["metrics.f1"], "r3 r0 r1 r2 r4"),
    (["metrics.f1 DESC"], "r1 r0 r3 r2 r4"),
    (["metrics.`f1` desc"], "r1 r0 r3 r2 r4"),
    (["metrics.none", "start_time ASC"], "r0 r1 r2 r3 r4"),
    (["params.p DESC"], "r4 r3 r2 r1 r0"),
    (["tags.k"], "r0 r1 r2 r4 r3"),
    (["tag.k DESC"], "r2 r1 r0 r4 r3"),
    (["start_time"], "r0 r1 r2 r3 r4"),
    (["created DESC"], ALL),
    (["end_time ASC"], "r0 r1 r2 r4 r3"),
    (["end_time DESC"], "r4 r2 r1 r0 r3"),
    (["status", "metrics.loss"], "r0 r1 r2 r4 r3"),
    (["attributes.run_name ASC"], "r0 r1 r2 r3 r4"),
    (["params.`my key`", "tags.k", "metrics.f1"], "r0 r1 r2 r3 r4"),
]


def test_orders_whole_and_page_by_page(api, five):
    for order, expected in ORDERS:
        _check_order(api, five, order, expected)


def _check_order(api, five, order, expected):
    assert " ".join(found(api.dave, experiments=[five], order_by=order)) == expected
    shown, token = [], ""
    while True:
        page = good(
            api.dave,
            "runs/search",
            experiment_ids=[five],
            order_by=order,
            max_results=2,
            page_token=token,
        )
        shown += [run["info"]["run_name"] for run in page["runs"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert " ".join(shown) == expected


def test_pages_by_long_and_strange_values(api):
    experiment = make_experiment(api.bob)
    for n in range(3):
        run = make_run(api.bob, experiment, run_name=f"r{n}")
        log(api.bob, run, tags={"k": "😀" * 4000}, params={"p": "\x01'\"\\" * 1000})
    order = [f"tags.k{' DESC' * (n % 2)}" if n == 0 else f"tags.k{n}" for n in range(8)] + ["params.p"]
    shown, token = set(), ""
    while True:
        page = good(
            api.bob,
            "runs/search",
            experiment_ids=[experiment],
            order_by=order,
            max_results=1,
            page_token=token,
        )
        shown |= {run["info"]["run_name"] for run in page["runs"]}
        token = page.get("next_page_token")
        if not token:
            break
    assert shown == {"r0", "r1", "r2"}


def test_what_a_found_run_brings(api, five):
    whole = good(api.dave, "runs/search", experiment_ids=[five], filter="run_name = 'r1'")["runs"]
    assert whole == [good(api.dave, "runs/get", "GET", run_id=uid("r1"))["run"]]


def test_views(api, five):
    good(api.bob, "runs/delete", run_id=uid("r2"))
    assert "r2" not in found(api.dave, experiments=[five])
    assert found(api.dave, experiments=[five], run_view_type="DELETED_ONLY") == ["r2"]
    assert found(api.dave, experiments=[five], run_view_type=2) == ["r2"]
    assert len(found(api.dave, experiments=[five], run_view_type="ALL")) == 5


def test_several_experiments_are_one_list(api, five):
    other = make_experiment(api.bob, "other")
    good(api.bob, "runs/create", experiment_id=other, run_name="between", start_time=NOW + 3)
    assert "between" in found(api.dave, experiments=[five, other, "999999"])
    assert found(api.dave, experiments=[other]) == ["between"]
    assert good(api.dave, "runs/search", experiment_ids=[]) == {}
    assert good(api.dave, "runs/search") == {}


@pytest.mark.parametrize(
    "message",
    [
        {"filter": "status = 'a' OR status = 'b'"},
        {"filter": "NOT status = 'a'"},
        {"filter": "(status = 'a')"},
        {"filter": "status = 'a';"},
        {"filter": "lifecycle_stage = 'active'"},
        {"filter": "Params.p = 'x'"},
        {"filter": "params.p = 1"},
        {"filter": "params.p > 'a'"},
        {"filter": "params.p IN ('a')"},
        {"filter": "metrics.f1 > '1'"},
        {"filter": "metrics.f1 = NaN"},
        {"filter": "metrics.f1 IS NULL"},
        {"filter": "run_id IN ()"},
        {"filter": "start_time > 'x'"},
        {"filter": "dataset.colour = 'x'"},
        {"filter": "dataset.name > 'x'"},
        {"filter": "tags.k = '\x00'"},
        {"filter": "x" * 20_001},
        {"filter": " AND ".join(["status = 'a'"] * 101)},
        {"filter": 5},
        {"order_by": ["colour"]},
        {"order_by": ["metrics.f1", "metric.f1 DESC"]},
        {"order_by": ["dataset.name"]},
        {"order_by": ["metrics.f1 sideways"]},
        {"order_by": [""]},
        {"order_by": [5]},
        {"order_by": "metrics.f1"},
        {"order_by": [f"metrics.m{n}" for n in range(11)]},
        {"max_results": 0},
        {"max_results": 50_001},
        {"experiment_ids": ["x"]},
        {"experiment_ids": "0"},
        {"run_view_type": "SOME"},
        {"page_token": "x"},
        {"page_token": "eyJvZmZzZXQiOiAxfQ=="},
    ],
)
def test_bad_searches_are_refused(api, message):
    refused(ask(api.dave, "runs/search", **({"experiment_ids": ["0"]} | message)))


def test_a_token_keeps_to_its_order(api, five):
    page = good(api.dave, "runs/search", experiment_ids=[five], max_results=2)
    again = {"experiment_ids": [five], "page_token": page["next_page_token"], "order_by": ["metrics.f1"]}
    assert refused(ask(api.dave, "runs/search", **again)).startswith("Invalid page token")


def test_a_page_costs_the_same_however_long_it_is(api, five, django_assert_num_queries):
    assert found(api.dave) == []
    for size in (1, 5):
        with django_assert_num_queries(8):
            assert len(found(api.dave, experiments=[five], max_results=size, order_by=["metrics.f1"])) == size
