"""The search for logged models: filter grammar, datasets, order, pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from models_app.models import LoggedModel, LoggedModelMetric
from models_app.registry import logged_models, runs

pytestmark = pytest.mark.django_db

URL = "/api/2.0/mlflow/logged-models/search"
START = datetime(2026, 1, 1, tzinfo=UTC)
MS = int(START.timestamp() * 1000)


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def search(api, run):
    def search(filter="", **fields):
        body = {"experiment_ids": [str(run.experiment_id)], "filter": filter, **fields}
        return api.dave.post(URL, body)

    return search


@pytest.fixture
def names(search):
    def names(filter="", **fields):
        answer = search(filter, **fields)
        assert answer.status_code == 200, answer.content
        return [model["info"]["name"] for model in answer.json().get("models", [])]

    return names


@pytest.fixture
def three(people, run):
    """a, b and c, a second apart; f1 0.9, 0.8 and none; c has no run and is ready."""
    made = {}
    for number, name in enumerate("abc"):
        model = logged_models.create_logged_model(
            run.experiment,
            by=people.bob,
            name=name,
            source_run=None if name == "c" else run,
            model_type="agent" if name == "a" else "",
            params={"depth": str(number)},
            tags={"team x": name, "same": "Yes"},
        )
        LoggedModel.objects.filter(pk=model.pk).update(
            created_at=START + timedelta(seconds=number, microseconds=7)
        )
        made[name] = model
    logged_models.finalize(made["c"], status="ready", by=people.bob)
    points = [("a", "f1", 0.1, 0, "test"), ("a", "f1", 0.9, 1, "test"), ("b", "f1", 0.8, 0, "train")]
    points += [("b", "loss", 5.0, 0, ""), ("a", "loss", 7.0, 0, "")]
    for name, key, value, step, dataset in points:
        LoggedModelMetric.objects.create(
            logged_model=made[name],
            run=run,
            key=key,
            value=value,
            step=step,
            at=START,
            dataset_name=dataset,
            dataset_digest="d1" if dataset else "",
        )
    LoggedModelMetric.objects.create(
        logged_model=made["c"], run=run, key="loss", value=0, is_nan=True, at=START
    )
    return made


@pytest.mark.parametrize(
    "filter, found",
    [
        ("", "cba"),
        ("name = 'a'", "a"),
        ("attributes.name != 'a'", "cb"),
        ("name IN ('a', 'b')", "ba"),
        ("name NOT IN ('a', 'b')", "c"),
        ("name LIKE 'A%'", ""),
        ("name ILIKE 'A%' and status = 'LOGGED_MODEL_PENDING'", "a"),
        ("status = 'READY'", "c"),
        ("status != 'READY'", "ba"),
        ("status = 'LOGGED_MODEL_UPLOAD_FAILED'", ""),
        ("model_type = 'agent'", "a"),
        ("source_run_id != 'x'", "ba"),
        ("source_run_id = 'x'", ""),
        (f"creation_timestamp = {MS}", "a"),
        (f"creation_time != {MS}", "cb"),
        (f"creation_timestamp > {MS}", "cb"),
        (f"creation_timestamp_ms >= {MS}", "cba"),
        (f"creation_timestamp < {MS + 1}", "a"),
        (f"creation_timestamp <= {MS - 0.5}", ""),
        ("creation_timestamp < 1e300", "cba"),
        ("creation_timestamp > 1e300 AND name = 'a'", ""),
        ("last_updated_timestamp > 0", "cba"),
        ("metrics.f1 > 0.5", "ba"),
        ("metrics.f1 > 0.5 AND metrics.loss < 6", "b"),
        ("metrics.`f1` = 0.1", "a"),
        ("metrics.loss = 0", ""),
        ("params.depth = '1'", "b"),
        ("params.depth IN ('1', '2')", "cb"),
        ("params.depth != '1'", "ca"),
        ("tags.`team x` = 'c'", "c"),
        ("tags.same LIKE 'Y%'", "cba"),
        ("tags.same LIKE 'y%'", ""),
        ("artifact_location LIKE '%/models/m-%'", "cba"),
    ],
)
def test_filters(names, three, filter, found):
    assert "".join(names(filter)) == found


def test_by_ids(names, three, run):
    assert names(f"model_id = '{three['b'].uid}'") == ["b"]
    assert names(f"source_run_id = '{run.uid}'") == ["b", "a"]
    assert names(f"experiment_id = '{run.experiment_id}'") == ["c", "b", "a"]
    location = f"mlflow-artifacts:/{run.experiment_id}/models/{three['a'].uid}/artifacts"
    assert names(f"artifact_location = '{location}'") == ["a"]


@pytest.mark.parametrize(
    "filter",
    [
        "name = 'a' OR name = 'b'",
        "NOT name = 'a'",
        "(name = 'a')",
        "name = 'a';",
        "name = a",
        "NAME = 'a'",
        "colour = 'a'",
        "metric.f1 > 1",
        "metrics.f1 > 'x'",
        "metrics.f1 LIKE 'x'",
        "params.depth > 1",
        "params.depth = 1",
        "name IN ()",
        "name > 'a'",
        "creation_timestamp LIKE '1%'",
        "creation_timestamp = 'x'",
        "status = 'dancing'",
        "status LIKE 'R%'",
        "tags.a = 'x' name",
        "; DROP TABLE models_app_loggedmodel",
        "name = 'a' -- ",
    ],
)
def test_filters_that_are_refused(search, three, filter):
    answer = search(filter)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_datasets(names, search, three):
    assert names(datasets=[{"dataset_name": "test"}]) == ["a"]
    assert names(datasets=[{"dataset_name": "test"}, {"dataset_name": "train"}]) == ["b", "a"]
    assert names("metrics.f1 > 0", datasets=[{"dataset_name": "train", "dataset_digest": "d1"}]) == ["b"]
    assert names("metrics.loss > 0", datasets=[{"dataset_name": "train"}]) == []
    assert names(datasets=[{"dataset_name": "train", "dataset_digest": "d2"}]) == []
    assert search(datasets=[{"dataset_digest": "d1"}]).status_code == 400


@pytest.mark.parametrize(
    "order, found",
    [
        ([{"field_name": "name"}], "abc"),
        ([{"field_name": "name", "ascending": False}], "cba"),
        ([{"field_name": "attributes.name", "ascending": False}], "cba"),
        ([{"field_name": "creation_time", "ascending": True}], "abc"),
        ([{"field_name": "creation_timestamp", "ascending": False}], "cba"),
        ([{"field_name": "metrics.f1", "ascending": True}], "bac"),
        ([{"field_name": "metrics.f1", "ascending": False}], "abc"),
        ([{"field_name": "metrics.loss", "ascending": True}], "bac"),
        ([{"field_name": "metrics.f1", "ascending": True, "dataset_name": "train"}], "bca"),
        (
            [{"field_name": "metrics.f1", "ascending": True, "dataset_name": "test", "dataset_digest": "d2"}],
            "cba",
        ),
        ([{"field_name": "model_type", "ascending": False}, {"field_name": "name"}], "abc"),
        ([{"field_name": "status"}, {"field_name": "name", "ascending": False}], "bac"),
        ([{"field_name": "experiment_id"}], "cba"),
        ([{"field_name": "source_run_id"}], "bac"),
    ],
)
def test_order(names, search, three, order, found):
    assert "".join(names(order_by=order)) == found
    # Page by page it is the same.
    token, pages = "", ""
    for _ in found:
        answer = search(order_by=order, max_results=1, page_token=token).json()
        pages += answer["models"][0]["info"]["name"]
        token = answer.get("next_page_token", "")
    assert (pages, token) == (found, "")


@pytest.mark.parametrize(
    "order",
    [
        [{"field_name": ""}],
        [{"field_name": "colour"}],
        [{"field_name": "params.depth"}],
        [{"field_name": "metrics."}],
        [{"field_name": "name"}, {"field_name": "name", "ascending": False}],
        "name",
        [{"field_name": f"metrics.m{number}"} for number in range(11)],
    ],
)
def test_order_that_is_refused(search, three, order):
    assert search(order_by=order).status_code == 400


def test_tokens_are_good_for_one_search(search, three):
    token = search(max_results=2).json()["next_page_token"]
    assert len(search(max_results=2, page_token=token).json()["models"]) == 1
    for answer in (
        search("name != 'x'", page_token=token),
        search(order_by=[{"field_name": "name"}], page_token=token),
        search(experiment_ids=["0", "1"], page_token=token),
        search(page_token="nonsense"),
        search(page_token=token[:-3]),
    ):
        assert answer.status_code == 400
        assert "page token" in answer.json()["message"]


def test_what_a_search_needs(api, search, three):
    assert api.dave.post(URL, {}).json() == {}
    assert search(experiment_ids=[]).json() == {}
    assert search(experiment_ids=["x"]).status_code == 400
    assert search(experiment_ids=["123456"]).json() == {}
    for wrong in (-1, 10**9, "x"):
        assert search(max_results=wrong).status_code == 400
    assert len(search(max_results="2").json()["models"]) == 2


def test_a_page_costs_the_same_whatever_is_on_it(search, three, people, run, django_assert_max_num_queries):
    for number in range(20):
        logged_models.create_logged_model(run.experiment, by=people.bob, name=f"m{number}", tags={"a": "b"})
    search()
    with django_assert_max_num_queries(6):
        assert len(search().json()["models"]) == 23
