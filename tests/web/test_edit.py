"""Change a model's facts and card, fill in what a version lacks."""

import pytest

from models_app.models import AuditEvent, ModelVersion, User
from models_app.registry import catalog
from tests import builders
from tests.append_only import lifted
from tests.web.reading import beside, page

MODEL = "/models/risk/fraud-detector/settings/"
V3 = "/models/risk/fraud-detector@3/edit/"
CARD = "# Card\n\n- one\n- two\n"


def changes(verb):
    return [set(event.after) for event in AuditEvent.objects.filter(verb=verb)]


def test_facts_change_and_only_what_was_changed_is_recorded(pages, people, model):
    catalog.update_model(model, by=people.alice, card=CARD.strip(), tags={"notes": "a, b\nc", 'say "x"': ""})
    with lifted():
        AuditEvent.objects.all().delete()
    answer = pages.alice.submit(MODEL, {"purpose": "Finds more fraud."})
    assert (answer.status_code, answer["Location"]) == (302, "/models/risk/fraud-detector/")
    model.refresh_from_db()
    assert (model.purpose, model.card) == ("Finds more fraud.", CARD.strip())
    assert changes("model.updated") == [{"purpose"}]
    assert changes("model.tags_set") == []


def test_saving_nothing_changes_nothing(pages, people, model):
    catalog.update_version(model.newest, by=people.bob, metadata={"description": " Two\r\nlines.\n"})
    before = AuditEvent.objects.count()
    assert pages.alice.submit(MODEL).status_code == 302
    assert pages.bob.submit(V3).status_code == 302
    assert AuditEvent.objects.count() == before


def test_tags_are_written_as_they_are_read(pages, people, model):
    tags = {"plain": "", "key": "value", "notes": "a, b", "quoted": 'say "x"', "lines": "a\nb", '"': ""}
    catalog.set_model_tags(model, tags=tags, by=people.alice)
    form = pages.alice.get(MODEL).context["form"]
    pages.alice.submit(MODEL, {"tags": form["tags"].value() + ", added"})
    assert {tag.key: tag.value for tag in model.tags.all()} == {**tags, "added": ""}


@pytest.mark.sqlite_is_enough
def test_an_owner_who_left_does_not_stand_in_the_way(pages, people, model):
    builders.version(model, by=people.alice, owner="alice")
    User.objects.filter(username="alice").update(is_active=False)
    assert pages.erin.submit(MODEL, {"purpose": "New."}).status_code == 302
    assert pages.erin.submit("/models/risk/fraud-detector@4/edit/", {"license": "MIT"}).status_code == 302
    assert "no active person" in beside(pages.erin.submit(MODEL, {"owner": "nobody"}), "owner")


@pytest.mark.sqlite_is_enough
def test_a_card_to_fill_in_is_offered(pages, model):
    shown = page(pages.alice.get(MODEL, {"template": "1"}))
    assert "## Intended use" in shown.value("id_card")
    assert "Start from the template" in page(pages.alice.get("/models/risk/fraud-detector/")).text()
    assert "Owners of Risk can write it." in page(pages.dave.get("/models/risk/fraud-detector/")).text()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "field,typed,told",
    [("license", "Nope-1", "Nope-1"), ("purpose", "x" * 501, "At most 500"), ("card", "a\x07", "control")],
)
def test_wrong_facts_are_told_beside_the_field_and_kept(pages, model, field, typed, told):
    answer = pages.alice.submit(MODEL, {field: typed, "task": "ranking"})
    assert told in beside(answer, field)
    shown = page(answer, 422)
    assert (shown.value(f"id_{field}"), shown.value("id_task")) == (typed, "ranking")
    model.refresh_from_db()
    assert model.task == ""


def test_what_a_version_lacks_is_filled_in(pages, people, model):
    builders.version(model, by=people.bob)
    here = "/models/risk/fraud-detector@4/edit/"
    answer = pages.bob.submit(
        here,
        {
            "dataset_version": "2026-05",
            "license": "mit",
            "owner": "alice",
            "metrics": "f1 = 0.91 @tx/test\nloss=0.2",
            "reports": "https://reports.example.com/1 May report",
            "risk_flags": "minors, Biased",
            "tags": "x, y=1",
            "description": "Two\nlines.",
            "signature": '{"inputs": []}',
        },
    )
    assert answer.status_code == 302
    made = ModelVersion.objects.get(number=4)
    assert (made.dataset_version, made.license, made.owner.username) == ("2026-05", "MIT", "alice")
    assert made.description == "Two\nlines."
    assert {(m.name, m.value, m.dataset, m.split) for m in made.metrics.all()} == {
        ("f1", 0.91, "tx", "test"),
        ("loss", 0.2, "", ""),
    }
    assert [(report.url, report.title) for report in made.reports.all()] == [
        ("https://reports.example.com/1", "May report")
    ]
    assert {flag.name for flag in made.risk_flags.all()} == {"minors", "biased"}


@pytest.mark.sqlite_is_enough
def test_what_came_with_training_stays(pages, model):
    shown = page(pages.bob.get(V3))
    assert "disabled" in shown["id_dataset_version"]
    assert pages.bob.submit(V3, {"dataset_version": "other", "description": "New."}).status_code == 302
    made = ModelVersion.objects.get(number=3)
    assert (made.dataset_version, made.description) == ("2026-05", "New.")


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "field,typed,told",
    [
        ("license", "Nope-1", "Nope-1"),
        ("owner", "nobody", "no active person"),
        ("metrics", "f1 is good", "is not like: f1 = 0.91"),
        ("metrics", "f1 = nan", "must be finite"),
        ("metrics", "f1 = 1e999", "must be finite"),
        ("metrics", "= 1", "needs a name"),
        ("metrics", "f1 = 1\nf1 = 2", "given twice"),
        ("metrics", "f1 = 0.5", "f1"),
        ("reports", "javascript:alert(1) Click me", "http or https"),
        ("reports", "reports.example.com", "http or https"),
        ("serving_endpoint", "javascript:alert(1)", "http or https"),
        ("risk_flags", "Not A Flag!", "small letters"),
        ("signature", "{", "Must be JSON."),
        ("signature", "[1]", "JSON object"),
        ("signature", '{"a": NaN}', "without NaN"),
        ("signature", "[" * 100_000, "Must be JSON."),
        ("code_commit", "not a commit", "A commit id"),
        ("description", "x" * 20_001, "At most 20000"),
        ("description", "a\x00b", "Null characters"),
        ("pii_usage", "sometimes", "not one of the available choices"),
    ],
)
def test_wrong_metadata_is_told_beside_the_field_and_kept(pages, model, field, typed, told):
    answer = pages.bob.submit(V3, {field: typed, "pii_notes": "None known."})
    if "finite" in told or field != "metrics" or "0.5" not in typed:
        assert told in beside(answer, field)
    else:
        # Another value for a metric that is there collides with what was recorded.
        assert told in page(answer, 422).text()
    shown = page(answer, 422)
    assert shown.value("id_pii_notes") == "None known."
    if field != "pii_usage":
        assert shown.value(f"id_{field}") == typed.replace("\n", "\r\n")
    assert ModelVersion.objects.get(number=3).pii_notes == ""
