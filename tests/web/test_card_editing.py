"""Cards through every door that writes them: template, README, notices, refusals with a line."""

import pytest

from models_app.formats.model_card import read_card
from models_app.models import Stage
from models_app.registry import card_facts, card_template, catalog, policies
from tests import builders
from tests.web.reading import Page

NAME = "risk/fraud"
SETTINGS = f"/models/{NAME}/settings/"
API = f"/api/v1/models/{NAME}"
RULES = {
    "fields": ["dataset_version", "license", "pii_usage", "purpose"],
    "metrics": [{"name": "auc", "at_least": 0.9}],
    "licenses": {"allowed": ["Apache-2.0", "MIT"]},
    "report": True,
}


@pytest.fixture
def model(people):
    model = builders.model(NAME, by=people.alice, task="tabular-classification", license="LicenseRef-Acme")
    policies.set_policy(stage=Stage.PRODUCTION, team=people.risk, rules=RULES, by=people.erin)
    return model


def test_the_template_asks_for_what_policies_demand_and_knows_what_is_known(model, people):
    empty = card_template.template(model)
    assert "# Demanded for production (site), production (team risk).\n# Allowed: Apache-2.0, MIT.\n" in empty
    assert "value:  # at least 0.9" in empty
    assert "Personal data" in empty
    assert (
        "Demanded too, filled in on the pages of model and version: Owner, Personal data, Purpose." in empty
    )
    facts = read_card(empty).facts
    assert (facts["license"], facts["license_name"]) == ("other", "Acme")
    assert "datasets" in facts
    assert facts["datasets"] is None
    assert "base_model" not in facts
    assert [(one.field, one.met) for one in card_template.wanted(model)] == [
        ("dataset_version", False),
        ("metrics", False),
        ("owner", False),
        ("license", True),
        ("pii_usage", False),
        ("purpose", False),
        ("metrics", False),
        ("reports", False),
    ]
    # Saved as it is, it says nothing that is not so; versions fill it in.
    catalog.update_model(model, by=people.alice, card=empty)
    version = builders.complete_version(
        model, by=people.alice, metrics=[{"name": "auc", "value": 0.95, "dataset": "tx", "split": "test"}]
    )
    assert (version.license, version.dataset_name) == ("Apache-2.0", "transactions")
    model.refresh_from_db()
    filled = read_card(model.card).facts
    assert filled["datasets"] == ["transactions@2026-05"]
    assert [(row.name, row.value) for row in card_facts.read(model.card).metrics] == [("auc", 0.95)]
    again = card_template.template(model)
    saved = catalog.update_model(model, by=people.alice, card=again)
    assert saved.card == again
    assert saved.notices == (
        "The license of v1 stays “Apache-2.0”: the card fills gaps of a version and changes nothing there.",
    )


def test_an_empty_card_starts_from_the_template_or_a_readme(model, pages, people, api):
    assert "Start from the template" in Page(pages.alice.get(f"/models/{NAME}/").content.decode()).text()
    assert "README.md" not in Page(pages.alice.get(f"/models/{NAME}/").content.decode()).text()
    readme = "---\nlicense: mit\n---\n# From the pipeline"
    builders.version(
        model, by=people.bob, files={"README.md": readme.encode(), "model.bin": b"x"}, license="MIT"
    )
    model.refresh_from_db()
    assert model.card == ""
    page = Page(pages.alice.get(f"/models/{NAME}/").content.decode())
    assert f"{SETTINGS}?readme=1#id_card" in page.links()
    assert Page(pages.alice.get(f"{SETTINGS}?readme=1").content.decode()).value("id_card") == readme
    asked = Page(pages.alice.get(f"{SETTINGS}?template=1").content.decode())
    assert asked.value("id_card").startswith("---\n# Demanded for production")
    assert "auc: at least 0.9" in asked.text()
    told = api.dave.get(f"{API}/card/template").json()
    assert (told["card"], told["readme"]) == (card_template.template(model), readme)
    assert {"field": "pii_usage", "met": False, "where": "version"}.items() <= told["demands"][4].items()
    # What the editor began with is saved though nobody typed.
    form = {"visibility": "internal", "task": model.task, "license": model.license, "card": readme}
    answer = pages.alice.post(f"{SETTINGS}?readme=1", form, follow=True)
    assert "Saved." in answer.content.decode()
    model.refresh_from_db()
    assert (model.card, model.license) == (readme, "MIT")


def test_a_wrong_card_is_refused_beside_its_field_through_every_door(model, pages, api, people):
    card = "---\ntags: [a]\nlicense: nobody-knows\n---\n"
    answer = pages.alice.post(SETTINGS, {"visibility": "internal", "purpose": "New.", "card": card})
    assert answer.status_code == 422
    assert "Line 3, license: “nobody-knows” is no SPDX license" in Page(answer.content.decode()).text(
        "id_card_error"
    )
    answer = api.alice.patch(API, {"card": card, "purpose": "New."})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "card"
    answer = api.alice.post(
        "/api/2.0/mlflow/registered-models/update", {"name": "risk--fraud", "description": card}
    )
    assert answer.status_code == 400
    assert "Line 3, license" in answer.json()["message"]
    model.refresh_from_db()
    assert (model.card, model.purpose) == ("", "")


def test_notices_are_told_on_pages_and_over_rest_and_mlflow_reads_the_card_in_step(model, pages, api, people):
    builders.version(model, by=people.alice, base_model="acme/one")
    card = "---\nlicense: mit\nbase_model: acme/two\n---\nText\n"
    answer = api.alice.patch(API, {"card": card}).json()
    assert "base model of v1 stays “acme/one”" in " ".join(answer["notices"])
    assert "base_model: acme/one" in answer["card"]
    assert api.alice.get(API).json()["notices"] == []
    form = {"visibility": "internal", "task": model.task, "license": "MIT", "card": card}
    told = pages.alice.post(SETTINGS, form, follow=True).content.decode()
    assert "changes nothing there" in told
    found = api.alice.get("/api/2.0/mlflow/registered-models/get", {"name": "risk--fraud"}).json()
    assert "base_model: acme/one" in found["registered_model"]["description"]


def test_the_description_of_a_prompt_is_no_card(api):
    answer = api.bob.post(
        "/api/2.0/mlflow/registered-models/create",
        {
            "name": "risk--greeting",
            "description": "---\nlicense: nobody-knows\n---\n",
            "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}],
        },
    )
    assert answer.status_code == 200
