"""Small forms: move, roll back, alias, delete, rename. A refusal stands on the page it was sent from."""

import pytest

from models_app.models import Alias, AuditEvent, ModelVersion, RegisteredModel, Visibility
from models_app.registry import lifecycle, promotions
from tests import builders
from tests.web.reading import beside, page

MODEL = "/models/risk/fraud-detector/"
V1, V2, V3 = (f"/models/risk/fraud-detector@{number}/" for number in (1, 2, 3))


def stages():
    return dict(ModelVersion.objects.order_by("number").values_list("number", "stage"))


def test_promoting_replaces_and_tells(pages, model):
    answer = pages.carol.post(V3 + "move/", {"to": "production", "reason": "Better."}, follow=True)
    assert "v3 is in production now." in page(answer).text("messages")
    assert stages() == {1: "archived", 2: "archived", 3: "production"}
    assert "Better." in page(pages.dave.get(MODEL)).text()


def test_the_former_stays_beside_when_asked(pages, model):
    pages.carol.post(V3 + "move/", {"to": "production", "keep_former": "on"})
    assert stages() == {1: "archived", 2: "production", 3: "production"}


@pytest.mark.sqlite_is_enough
def test_what_production_lacks_is_linked_to_where_it_is_filled_in(pages, people, model):
    builders.version(model, by=people.bob)
    sent = {"to": "production", "reason": "Now!"}
    # An approver may not fill in: she is told who can.
    told = page(pages.carol.post("/models/risk/fraud-detector@4/move/", sent), 409)
    assert "Ask alice to fill in what is missing" in told.text("refused")
    assert not [link for link in told.links() if "/edit/" in link]
    shown = page(pages.root.post("/models/risk/fraud-detector@4/move/", sent), 409)
    assert "cannot go to production: it lacks dataset version, at least one metric, license." in shown.text(
        "refused"
    )
    for field in ("dataset_version", "metrics", "license"):
        assert f"/models/risk/fraud-detector@4/edit/#id_{field}" in shown.links()
    assert shown.value("promote-reason") == "Now!"
    assert stages()[4] == "dev"


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "typed,status,told",
    [
        ({"to": "nowhere", "reason": "x"}, 422, "One of dev, staging, production, archived."),
        ({"reason": "x"}, 422, "One of dev"),
        ({"to": "dev", "reason": "x"}, 409, "is already in dev"),
        ({"to": "staging", "reason": "x" * 2001}, 422, "At most 2000 characters; this has 2001."),
        ({"to": "staging", "reason": "a\x07b"}, 422, "May not contain control characters."),
    ],
)
def test_moves_that_make_no_sense(pages, model, typed, status, told):
    shown = page(pages.bob.post(V3 + "move/", typed), status)
    assert told in shown.text("refused")
    assert shown.value("move-reason") == typed["reason"]
    assert ("aria-describedby" in shown["move-reason"]) == ("haracters" in told)
    assert stages()[3] == "dev"


def test_nul_in_a_reason_is_refused(pages, model):
    for path in (V3 + "move/", V3 + "delete/"):
        page(pages.alice.post(path, {"to": "staging", "reason": "a\x00b"}), 422)
    assert "Null characters" in beside(pages.alice.post(MODEL + "rollback/", {"reason": "a\x00b"}), "reason")
    assert "Null characters" in beside(
        pages.alice.post(MODEL + "delete/", {"delete-confirm": model.name, "delete-reason": "a\x00b"}),
        "delete-reason",
    )
    page(pages.bob.post(V3 + "alias/", {"alias": "a\x00b"}), 422)
    page(pages.bob.post(V3 + "alias/", {"alias": "a\x00b", "delete": "1"}), 422)


def test_rolling_back_takes_a_reason_and_tells_what_is_there_now(pages, model):
    shown = page(pages.alice.get(MODEL + "rollback/"))
    assert "v1" in shown.text()
    answer = pages.alice.post(MODEL + "rollback/", {"reason": "Slow."}, follow=True)
    assert "Rolled back: v1 is in production." in page(answer).text("messages")
    assert stages() == {1: "production", 2: "archived", 3: "dev"}
    assert AuditEvent.objects.filter(verb="version.rolled_back", door="web", reason="Slow.").count() == 2


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "typed,told", [({}, "Say why"), ({"reason": "  "}, "Say why"), ({"reason": "x" * 2001}, "At most 2000")]
)
def test_no_rollback_without_a_reason(pages, model, typed, told):
    answer = pages.alice.post(MODEL + "rollback/", typed)
    assert told in beside(answer, "reason")
    assert (
        page(answer, 422).value("id_reason") == typed.get("reason", "").strip() or not typed["reason"].strip()
    )
    assert stages()[2] == "production"


@pytest.mark.sqlite_is_enough
def test_nothing_to_go_back_to_is_told(pages, people):
    model = builders.model("risk/new", by=people.bob)
    builders.promoted(model, by=people.bob, approver=people.carol)
    shown = page(pages.alice.get("/models/risk/new/rollback/"))
    assert "There is no earlier production version to go back to." in shown.text()
    answer = pages.alice.post("/models/risk/new/rollback/", {"reason": "x"})
    assert "Archive v1, or promote another version." in page(answer, 422).text()


def test_an_alias_points_moves_and_goes(pages, model):
    for path in (V1, V3):
        pages.bob.post(path + "alias/", {"alias": " champion "})
    assert [(one.name, one.version.number) for one in Alias.objects.all()] == [("champion", 3)]
    assert (
        page(pages.dave.get("/models/risk/fraud-detector@champion/"))
        .text()
        .startswith("risk/fraud-detector v3")
    )
    answer = pages.bob.post(V3 + "alias/", {"alias": "champion", "delete": "1"}, follow=True)
    assert "The alias “champion” is gone." in page(answer).text("messages")


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "alias", ["", "latest", "production", "7", "v7", "a b", "a/b", "x" * 256, "<b>", ".x"]
)
def test_malformed_aliases_are_told_beside_the_field(pages, model, alias):
    shown = page(pages.bob.post(V3 + "alias/", {"alias": alias}), 422)
    assert shown["alias"]["aria-describedby"] == "refused"
    assert shown.text("refused")
    assert shown.value("alias") == alias
    assert not Alias.objects.exists()


@pytest.mark.sqlite_is_enough
def test_a_missing_alias_cannot_go(pages, model):
    shown = page(pages.bob.post(V3 + "alias/", {"alias": "nothing", "delete": "1"}), 404)
    assert "has no alias “nothing”" in shown.text("refused")


def test_a_version_goes_with_its_reason_on_record(pages, model):
    answer = pages.alice.post(V3 + "delete/", {"reason": "A mistake."}, follow=True)
    assert "v3 is deleted." in page(answer).text("messages")
    assert sorted(stages()) == [1, 2]
    assert AuditEvent.objects.get(verb="version.deleted").reason == "A mistake."


@pytest.mark.sqlite_is_enough
def test_versions_that_are_needed_stay(pages, people, model):
    assert "is in production. Archive it first." in page(pages.alice.post(V2 + "delete/"), 409).text(
        "refused"
    )
    assert "would be rolled back to" in page(pages.alice.post(V1 + "delete/"), 409).text("refused")
    lifecycle.set_alias(model, name="kept", version=model.newest, by=people.bob)
    answer = pages.alice.post(V3 + "delete/", {"reason": "Tidy up."})
    assert "Move or delete the alias first." in page(answer, 409).text("refused")
    assert page(answer, 409).value("delete-reason") == "Tidy up."
    assert len(stages()) == 3


@pytest.mark.sqlite_is_enough
def test_whose_base_a_version_is_stays_hidden(pages, people, model):
    other = builders.model("vision/dark", by=people.charlie, visibility=Visibility.TEAM)
    builders.version(other, by=people.charlie, base_model="risk/fraud-detector@3")
    for path, typed in ((V3 + "delete/", {}), (MODEL + "delete/", {"delete-confirm": model.name})):
        if path.startswith(MODEL):
            promotions.move(model.newest_production, to="archived", by=people.carol)
        text = page(pages.alice.post(path, typed), 409 if path.startswith(V3) else 422).text()
        assert "A version that you may not see was made from risk/fraud-detector@3" in text
        assert "dark" not in text
    assert "vision/dark@1 was made from" in page(pages.root.post(V3 + "delete/"), 409).text()


def test_a_model_goes_once_its_name_is_typed(pages, people, model):
    here = MODEL + "delete/"
    answer = pages.alice.post(here, {"delete-confirm": "risk/fraud", "delete-reason": "Old."})
    assert "Type “risk/fraud-detector” exactly." in beside(answer, "delete-confirm")
    assert page(answer, 422).value("id_delete-reason") == "Old."
    answer = pages.alice.post(here, {"delete-confirm": model.name})
    assert "Archive them first." in page(answer, 422).text()
    promotions.move(model.newest_production, to="archived", by=people.carol)
    answer = pages.alice.post(here, {"delete-confirm": model.name, "delete-reason": "Old."}, follow=True)
    assert "risk/fraud-detector is deleted." in page(answer).text("messages")
    assert not RegisteredModel.objects.exists()


def test_a_renamed_model_keeps_its_old_address(pages, model):
    answer = pages.alice.post(MODEL + "rename/", {"rename-to": "risk/fraud-finder"}, follow=True)
    assert "The old name leads here." in page(answer).text("messages")
    assert pages.dave.get(MODEL)["Location"] == "/models/risk/fraud-finder/"


@pytest.mark.parametrize(
    "to,told",
    [
        ("risk/", "No part of a name may be empty."),
        ("risk/settings", "a word of this site"),
        ("nobody/x", "there is none"),
        ("risk/taken", "already a model"),
        ("", "required"),
        ("x" * 300, "At most 256"),
    ],
)
def test_new_names_are_checked_and_kept(pages, people, model, to, told):
    builders.model("risk/taken", by=people.bob)
    answer = pages.alice.post(MODEL + "rename/", {"rename-to": to})
    assert told in beside(answer, "rename-to")
    assert page(answer, 422).value("id_rename-to") == to
