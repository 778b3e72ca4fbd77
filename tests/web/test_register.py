"""Register a model in the browser."""

import pytest

from models_app.models import RegisteredModel
from models_app.registry import catalog
from models_app.registry import people as verbs
from tests import builders
from tests.web.reading import beside, page

HERE = "/register/"
TYPED = {"name": "risk/fraud", "visibility": "internal", "purpose": "Finds fraud.", "card": "# Card\n\nText."}


def test_a_contributor_registers_a_model(pages):
    answer = pages.bob.submit(
        HERE,
        {**TYPED, "license": "apache-2.0", "tags": 'nightly, domain=payments, "notes=a, b"'},
        follow=True,
    )
    assert "risk/fraud is registered. Now upload its first version." in page(answer).text("messages")
    model = RegisteredModel.objects.get()
    assert (model.owner.username, model.license, model.card) == ("bob", "Apache-2.0", "# Card\n\nText.")
    assert {tag.key: tag.value for tag in model.tags.all()} == {
        "nightly": "",
        "domain": "payments",
        "notes": "a, b",
    }


@pytest.mark.sqlite_is_enough
def test_the_form_says_where_one_may_and_takes_a_name_along(pages):
    shown = page(pages.bob.get(HERE, {"name": "risk/from-a-link"}))
    assert "You may register for risk/…" in shown.text()
    assert shown.value("id_name") == "risk/from-a-link"
    assert "ask a team's admin for the role contributor" in page(pages.dave.get(HERE)).text()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "field,typed,told",
    [
        ("name", "", "This field is required."),
        ("name", "risk/a/b", "At most one slash"),
        ("name", "risk/a@b", "May not contain @"),
        ("name", "risk/..", "are no names"),
        ("name", "risk/a\u202eb", "control or invisible characters"),
        ("name", "risk/cafe\u0301", "normal form C"),
        ("name", "risk/a\x07b", "control or invisible characters"),
        ("name", "risk/a\x00b", "Null characters are not allowed."),
        ("name", "admin/x", "a word of this site's addresses"),
        ("name", "risk/versions", "choose another"),
        ("name", "nobody/x", "there is none"),
        ("name", "risk/" + "x" * 300, "At most 256 characters; this has 305."),
        ("name", "risk/taken", "There is already a model"),
        ("license", "Freeish-1.0", "Freeish-1.0"),
        ("owner", "nobody", "There is no active person “nobody”."),
        ("purpose", "x" * 501, "At most 500 characters"),
        ("purpose", "a\x07b", "May not contain control characters."),
        ("task", "x" * 65, "At most 64"),
        ("tags", "k" * 251, "At most 250"),
        ("tags", "x" * 140_000, "too long"),
        ("card", "x" * 500_001, "At most 500000"),
        ("card", "a\x1bb", "May not contain control characters."),
        ("visibility", "secret", "secret is not one of the available choices."),
        ("risk_level", "dire", "dire is not one of the available choices."),
    ],
)
def test_what_is_wrong_is_told_beside_its_field_and_kept(pages, people, field, typed, told):
    builders.model("risk/taken", by=people.bob)
    answer = pages.bob.post(HERE, {**TYPED, field: typed})
    assert told in beside(answer, field)
    shown = page(answer, 422)
    assert "Nothing was saved. Please check" in shown.text()
    if field not in ("visibility", "risk_level"):
        assert shown.value(f"id_{field}") == typed
    assert shown.value("id_name" if field == "purpose" else "id_purpose") == (
        TYPED["name"] if field == "purpose" else TYPED["purpose"]
    )
    assert RegisteredModel.objects.count() == 1


@pytest.mark.sqlite_is_enough
def test_all_that_is_wrong_is_told_at_once(pages, people):
    answer = pages.bob.post(HERE, {**TYPED, "license": "Nope-1", "owner": "nobody"})
    assert beside(answer, "license")
    assert beside(answer, "owner")
    assert {"#id_license", "#id_owner"} <= set(page(answer, 422).links())


@pytest.mark.sqlite_is_enough
def test_former_names_stay_taken(pages, people, model):
    catalog.rename_model(model, to="risk/other", by=people.alice)
    text = beside(pages.bob.post(HERE, {**TYPED, "name": "risk/fraud-detector"}), "name")
    assert "the former name of another model" in text
    assert "Choose another name, or use that model." in text


@pytest.mark.sqlite_is_enough
def test_plain_names_go_to_the_only_team_one_has(pages, people):
    pages.bob.post(HERE, {**TYPED, "name": "fraud"})
    assert RegisteredModel.objects.get().team == people.risk
    verbs.set_role(people.vision, user=people.bob.user, role="contributor", by=people.root)
    assert "Say which team owns it" in page(pages.bob.post(HERE, {**TYPED, "name": "other"}), 422).text()


@pytest.mark.sqlite_is_enough
def test_another_teams_name_is_refused_with_who_can_help(pages):
    answer = pages.bob.post(HERE, {**TYPED, "name": "vision/fraud"})
    assert "You may not register in team vision" in beside(answer, "name", 403)
    assert "Ask an admin of team vision for the role" in beside(answer, "name", 403)
    assert page(answer, 403).value("id_card") == TYPED["card"]
    assert not RegisteredModel.objects.exists()
