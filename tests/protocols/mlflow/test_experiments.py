"""Experiments over MLflow's wire."""

import pytest

from models_app.models import AuditEvent, Experiment
from models_app.registry import experiments
from models_app.registry.access import Actor
from models_app.registry.people import set_role, update_profile

from .registry_asking import ask, good, refused, tags
from .tracking import get_run, make_experiment, make_run, tags_of

pytestmark = pytest.mark.django_db


def get(client, number):
    return good(client, "experiments/get", "GET", experiment_id=number)["experiment"]


def names(client, method="POST", **message):
    return [
        row["name"] for row in good(client, "experiments/search", method, **message).get("experiments", [])
    ]


def test_the_default_is_there(api):
    shown = get(api.dave, "0")
    assert (shown["name"], shown["lifecycle_stage"]) == ("Default", "active")
    assert shown["artifact_location"] == "mlflow-artifacts:/0"


def test_set_experiment_as_clients_do_it(api, people):
    missing = ask(api.bob, "experiments/get-by-name", "GET", experiment_name="fraud")
    refused(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    number = make_experiment(api.bob, tags=tags(("a", "1")))
    shown = good(api.bob, "experiments/get-by-name", "GET", experiment_name="fraud")["experiment"]
    assert shown == get(api.bob, number)
    assert shown["experiment_id"] == number
    assert shown["tags"] == tags(("a", "1"))
    assert shown["creation_time"] == shown["last_update_time"] > 1_700_000_000_000
    row = Experiment.objects.get(pk=number)
    assert (row.team.slug, row.created_by) == ("risk", people.bob.user)


@pytest.mark.parametrize("name", [" padded ", "Zoë's 実験", "a/b:c", "x" * 500])
def test_names_stay_as_they_are(api, name):
    make_experiment(api.bob, name)
    assert good(api.bob, "experiments/get-by-name", "GET", experiment_name=name)["experiment"]["name"] == name


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 501},
        {"name": "a\x00b"},
        {"name": 5},
        {"name": "a", "tags": {"k": "v"}},
        {"name": "a", "tags": [{"value": "v"}]},
        {"name": "a", "tags": [{"key": "k", "value": "v" * 20_001}]},
        {"name": "a", "artifact_location": "runs:/x"},
        {"name": "a", "artifact_location": "s3://b/../c"},
        {"name": "a", "artifact_location": "s3://b/%2e%2e/c"},
        {"name": "a", "artifact_location": "s3://b/c#d"},
        {"name": "a", "artifact_location": "s3://b/\x00"},
        {"name": "a", "artifact_location": "http://[::"},
    ],
)
def test_bad_ones_are_refused(api, message):
    refused(ask(api.bob, "experiments/create", **message))
    assert Experiment.objects.count() == 1


def test_files_come_here_wherever_a_client_wants_them(api):
    number = make_experiment(api.bob, artifact_location="s3://elsewhere/x")
    assert get(api.bob, number)["artifact_location"] == f"mlflow-artifacts:/{number}"
    run = make_run(api.bob, number)
    assert get_run(api.bob, run)["info"]["artifact_uri"] == f"mlflow-artifacts:/{number}/{run}/artifacts"
    assert Experiment.objects.get(pk=number).artifact_location == "s3://elsewhere/x"


def test_names_are_taken_even_by_deleted_ones(api):
    number = make_experiment(api.bob)
    refused(ask(api.bob, "experiments/create", name="fraud"), 400, "RESOURCE_ALREADY_EXISTS")
    good(api.bob, "experiments/delete", experiment_id=number)
    assert "already exists" in refused(
        ask(api.bob, "experiments/create", name="fraud"), 400, "RESOURCE_ALREADY_EXISTS"
    )
    assert get(api.bob, number)["lifecycle_stage"] == "deleted"


def test_rename(api):
    number = make_experiment(api.bob)
    good(api.bob, "experiments/update", experiment_id=number, new_name="other")
    assert get(api.bob, number)["name"] == "other"
    refused(ask(api.bob, "experiments/update", experiment_id=number))
    refused(
        ask(api.bob, "experiments/update", experiment_id=number, new_name="Default"),
        400,
        "RESOURCE_ALREADY_EXISTS",
    )
    good(api.bob, "experiments/delete", experiment_id=number)
    assert "'active' state" in refused(
        ask(api.bob, "experiments/update", experiment_id=number, new_name="third")
    )


def test_deleting_takes_the_runs_along_and_restoring_brings_them_back(api):
    number = make_experiment(api.bob)
    gone, kept = make_run(api.bob, number), make_run(api.bob, number)
    good(api.bob, "runs/delete", run_id=gone)
    good(api.bob, "experiments/delete", experiment_id=number)
    assert get_run(api.bob, kept)["info"]["lifecycle_stage"] == "deleted"
    refused(ask(api.bob, "runs/create", experiment_id=number))
    refused(ask(api.bob, "runs/restore", run_id=kept))
    refused(ask(api.bob, "experiments/delete", experiment_id=number), 404, "RESOURCE_DOES_NOT_EXIST")
    good(api.bob, "experiments/restore", experiment_id=number)
    assert get_run(api.bob, kept)["info"]["lifecycle_stage"] == "active"
    # What was deleted before by itself stays so.
    assert get_run(api.bob, gone)["info"]["lifecycle_stage"] == "deleted"
    refused(ask(api.bob, "experiments/restore", experiment_id=number), 404, "RESOURCE_DOES_NOT_EXIST")
    verbs = AuditEvent.objects.filter(verb__startswith="experiment").values_list("verb", flat=True)
    assert list(verbs.order_by("id")) == ["experiment.created", "experiment.deleted", "experiment.restored"]


def test_who_may_delete(api):
    by_bob, by_alice = make_experiment(api.bob), make_experiment(api.alice, "hers")
    refused(ask(api.bob, "experiments/delete", experiment_id=by_alice), 403, "PERMISSION_DENIED")
    refused(ask(api.dave, "experiments/delete", experiment_id=by_bob), 403, "PERMISSION_DENIED")
    refused(ask(api.charlie, "experiments/delete", experiment_id=by_bob), 403, "PERMISSION_DENIED")
    refused(ask(api.alice, "experiments/delete", experiment_id="0"), 403, "PERMISSION_DENIED")
    good(api.bob, "experiments/delete", experiment_id=by_bob)
    good(api.alice, "experiments/restore", experiment_id=by_bob)


def test_tags(api):
    number = make_experiment(api.bob)
    good(api.bob, "experiments/set-experiment-tag", experiment_id=number, key="k", value="1")
    good(api.bob, "experiments/set-experiment-tag", experiment_id=number, key="k", value="ü" * 20_000)
    assert tags_of(get(api.bob, number)) == {"k": "ü" * 20_000}
    for bad in (
        {"value": "x" * 20_001},
        {"value": "\x00"},
        {"key": "a$b"},
        {"key": "k" * 251},
        {"key": "../x"},
    ):
        message = {"key": "k", "value": "v"} | bad
        refused(ask(api.bob, "experiments/set-experiment-tag", experiment_id=number, **message))
    good(api.bob, "experiments/delete-experiment-tag", experiment_id=number, key="k")
    refused(
        ask(api.bob, "experiments/delete-experiment-tag", experiment_id=number, key="k"),
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )
    refused(
        ask(api.dave, "experiments/set-experiment-tag", experiment_id=number, key="k", value=""),
        403,
        "PERMISSION_DENIED",
    )


@pytest.mark.parametrize(
    "number,status", [("9", 404), ("x", 400), ("", 400), ("9" * 30, 400), ("9" * 19, 404)]
)
def test_ids_that_are_none(api, number, status):
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    refused(ask(api.bob, "experiments/get", "GET", experiment_id=number), status, code)
    refused(ask(api.bob, "experiments/delete", experiment_id=number), status, code)
    refused(ask(api.bob, "runs/create", experiment_id=number), status, code)


def test_private_ones_are_not_there_for_others(api, people):
    hidden = experiments.create_experiment("secret", by=people.bob, team=people.risk, visibility="team")
    get(api.dave, hidden.pk)
    refused(
        ask(api.charlie, "experiments/get", "GET", experiment_id=hidden.pk), 404, "RESOURCE_DOES_NOT_EXIST"
    )
    refused(
        ask(api.charlie, "experiments/get-by-name", "GET", experiment_name="secret"),
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )
    assert names(api.charlie) == ["Default"]
    refused(ask(api.charlie, "runs/create", experiment_id=str(hidden.pk)), 404, "RESOURCE_DOES_NOT_EXIST")


def test_whose_it_is_where_that_leaves_a_choice(api, people):
    bob, vision = people.bob, people.vision
    set_role(vision, user=bob.user, role="contributor", by=people.root)
    assert Experiment.objects.get(pk=make_experiment(api.bob, "either")).team is None
    update_profile(bob.user, by=bob, default_team=vision)
    client = api.client(Actor.of(bob.user, door="shell"))
    assert Experiment.objects.get(pk=make_experiment(client, "chosen")).team == vision


def test_search(api):
    first = make_experiment(api.bob, "alpha", tags=tags(("kind", "x")))
    make_experiment(api.bob, "Beta", tags=tags(("kind", "y")))
    good(api.bob, "experiments/delete", experiment_id=make_experiment(api.bob, "gone"))
    assert names(api.dave) == ["Beta", "alpha", "Default"]
    assert names(api.dave, "GET") == ["Beta", "alpha", "Default"]
    assert names(api.dave, "GET", view_type="ALL", order_by=["name ASC"], filter="name != 'Default'")
    assert names(api.dave, view_type="DELETED_ONLY") == names(api.dave, view_type=2) == ["gone"]
    assert len(names(api.dave, view_type="ALL")) == 4
    for text, expected in {
        "name = 'alpha'": ["alpha"],
        "attribute.name LIKE 'a%'": ["alpha"],
        "name ILIKE 'B%'": ["Beta"],
        "name LIKE 'b%'": [],
        "tags.kind = 'x'": ["alpha"],
        "tag.kind != 'x'": ["Beta"],
        "tags.kind IS NULL": ["Default"],
        "tags.kind IS NOT NULL AND name LIKE '%a'": ["Beta", "alpha"],
        f"experiment_id = '{first}'": ["alpha"],
        f"experiment_id IN ('{first}', '0')": ["alpha", "Default"],
        f"experiment_id != {first}": ["Beta", "Default"],
        "creation_time > 1700000000000 AND last_update_time < 99999999999999": ["Beta", "alpha", "Default"],
    }.items():
        assert names(api.dave, filter=text) == expected, text
    assert names(api.dave, order_by=["name"]) == sorted(
        ["Beta", "alpha", "Default"], key=_as_the_database(api)
    )
    assert names(api.dave, order_by=["experiment_id DESC"]) == ["Beta", "alpha", "Default"]
    assert names(api.dave, order_by=["last_update_time ASC"]) == ["Default", "alpha", "Beta"]


def _as_the_database(api):
    """How the database of the suite sorts these: some ignore case."""
    shown = list(Experiment.objects.order_by("name").values_list("name", flat=True))
    return shown.index


@pytest.mark.parametrize(
    "message",
    [
        {"filter": "name = 'a' OR name = 'b'"},
        {"filter": "nme = 'a'"},
        {"filter": "experiment_id LIKE '1'"},
        {"filter": "experiment_id = 'x'"},
        {"filter": "creation_time = 1.5"},
        {"filter": "creation_time = 'x'"},
        {"order_by": ["tags.x"]},
        {"order_by": ["name", "name DESC"]},
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": 50_001},
        {"max_results": "many"},
        {"page_token": "nonsense"},
        {"view_type": "SOME"},
        {"view_type": 7},
    ],
)
def test_bad_searches_are_refused(api, message):
    refused(ask(api.bob, "experiments/search", **message))


def test_pages(api):
    for number in range(5):
        make_experiment(api.bob, f"e{number}")
    shown, token = [], ""
    while True:
        page = good(api.bob, "experiments/search", max_results=2, page_token=token)
        shown += [row["name"] for row in page["experiments"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert shown == ["e4", "e3", "e2", "e1", "e0", "Default"]


def test_search_datasets(api):
    number = make_experiment(api.bob)
    for _ in range(2):
        dataset = {"name": "tx", "digest": "d1", "source_type": "local", "source": "{}"}
        run = make_run(api.bob, number)
        read = {"dataset": dataset, "tags": tags(("mlflow.data.context", "training"))}
        good(api.bob, "runs/log-inputs", run_id=run, datasets=[read])
    answer = good(api.dave, "experiments/search-datasets", experiment_ids=[number, "0", "77"])
    assert answer == {
        "dataset_summaries": [{"experiment_id": number, "name": "tx", "digest": "d1", "context": "training"}]
    }
    assert good(api.dave, "experiments/search-datasets", experiment_ids=["0"]) == {}
    refused(ask(api.dave, "experiments/search-datasets"))
