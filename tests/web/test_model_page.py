"""A model's own pages: card, versions, lineage, activity."""

import pytest

from models_app.registry import catalog, lifecycle
from tests import builders
from tests.web.hostile import MARKDOWN, MARKUP
from tests.web.reading import page

HERE = "/models/risk/fraud-detector/"
ONE_LINE = " ".join(MARKUP.split())


def test_the_page_says_what_is_in_production_and_how_to_use_it(pages, model):
    shown = page(pages.dave.get(HERE))
    text = shown.text()
    for told in ("Finds fraud.", "v2", "promoted just now by carol", "f1", "curl", "Latest moves"):
        assert told in text
    assert "versions/production/archive.zip" in text
    assert "/models/risk/fraud-detector@2/" in shown.links()


@pytest.mark.sqlite_is_enough
def test_buttons_are_offered_to_whom_they_are_for(pages, model):
    offered = {
        "dave": (False, False, False),
        "bob": (True, False, False),
        "carol": (False, True, False),
        "alice": (True, True, True),
        "charlie": (False, False, False),
    }
    for who, expected in offered.items():
        links = page(getattr(pages, who).get(HERE)).links()
        assert tuple(HERE + tab in links for tab in ("upload/", "rollback/", "settings/")) == expected, who


@pytest.mark.sqlite_is_enough
def test_snippets_are_for_the_revision_one_chooses(pages, people, model):
    lifecycle.set_alias(model, name="champion", version=model.newest, by=people.bob)
    assert "versions/champion/archive.zip" in page(pages.dave.get(HERE, {"use": "champion"})).text()
    answer = pages.dave.get(HERE, {"use": ONE_LINE})
    assert page(answer).executable() == []


@pytest.mark.sqlite_is_enough
def test_a_model_without_anything_says_what_comes_next(pages, people):
    builders.model("risk/new", by=people.bob)
    text = page(pages.alice.get("/models/risk/new/")).text()
    for told in (
        "No versions yet",
        "No card yet",
        "Nothing in production",
        "Start from the template",
        "No purpose given yet.",
    ):
        assert told in text
    for tab in ("versions/", "lineage/", "activity/"):
        assert page(pages.dave.get(f"/models/risk/new/{tab}")).text()


@pytest.mark.sqlite_is_enough
def test_cards_are_text_links_and_tables_and_run_nothing(pages, people, model):
    catalog.update_model(model, by=people.alice, card=MARKDOWN)
    shown = page(pages.dave.get(HERE))
    assert shown.executable() == []
    assert not [
        tag for tag, attrs, _ in shown.elements if tag in ("meta", "input", "form") and "evil" in str(attrs)
    ]
    assert "<script>alert(1)</script>" in shown.text()
    for link in shown.links():
        assert link.startswith(("/", "?", "#", "https://")), link
    pixel = [attrs for tag, attrs, _ in shown.elements if tag == "a" and "pixel.png" in attrs.get("href", "")]
    assert pixel[0]["rel"] == "nofollow noopener noreferrer"
    assert page(pages.alice.get(HERE + "settings/")).value("id_card") == MARKDOWN


@pytest.mark.sqlite_is_enough
def test_nothing_else_that_is_typed_runs_on_any_page(pages, people, model):
    catalog.update_model(
        model,
        by=people.alice,
        purpose=ONE_LINE,
        task="<i>task</i>",
        library="<script>",
        headline_metric='"><script>',
        tags={ONE_LINE: MARKUP},
    )
    for tab in ("", "versions/", "lineage/", "activity/", "settings/", "upload/", "rollback/"):
        assert page(pages.alice.get(HERE + tab)).executable() == [], tab
    for path in ("/", "/teams/risk/"):
        shown = page(pages.dave.get(path))
        assert shown.executable() == [], path
    assert ONE_LINE in page(pages.dave.get("/")).text()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "name", ["risk/<b>", "risk/a b", "risk/ünï", "risk/1%", "risk/a?b#c", "risk/'\"", "risk/&amp;"]
)
def test_names_with_odd_characters_have_pages(pages, people, name):
    builders.version(builders.model(name, by=people.bob), by=people.bob)
    address = next(link for link in page(pages.dave.get("/")).links() if link.startswith("/models/"))
    for path in (address, f"{address}versions/", f"{address[:-1]}@1/"):
        shown = page(pages.dave.get(path))
        assert shown.executable() == []
        assert name in shown.text(), path


@pytest.mark.sqlite_is_enough
def test_versions_are_filtered_by_stage_and_show_what_they_lack(pages, people, model):
    builders.version(model, by=people.bob)
    shown = page(pages.dave.get(HERE + "versions/"))
    assert "dataset version, metrics, license" in shown.text()
    listed = [
        row["version"].number for row in pages.dave.get(HERE + "versions/?stage=production").context["rows"]
    ]
    assert listed == [2]
    assert "No version is in staging" in page(pages.dave.get(HERE + "versions/?stage=staging")).text()
    for odd in ("stage=nowhere", "m=nothing", "m=f1&m=f1", "cursor="):
        assert len(pages.dave.get(f"{HERE}versions/?{odd}").context["rows"]) == 4, odd


@pytest.mark.sqlite_is_enough
def test_lineage_is_shown_around_any_version(pages, people, model):
    for params in ({}, {"v": "1"}, {"v": "production"}, {"v": "latest", "depth": "all"}, {"depth": "x"}):
        assert "transactions" in page(pages.dave.get(HERE + "lineage/", params)).text(), params
    for odd in ("99", "nothing", "-1", "9" * 5000):
        text = page(pages.dave.get(HERE + "lineage/", {"v": odd}), 404).text()
        assert "A revision is a number, a stage, an alias or “latest”." in text


@pytest.mark.sqlite_is_enough
def test_lineage_hides_private_models_from_strangers(pages, people, model, private):
    builders.version(private, by=people.alice, base_model="risk/fraud-detector@2")
    builders.version(model, by=people.alice, base_model="risk/secret@1")
    for path in (
        HERE + "lineage/?v=2&depth=all",
        "/models/risk/fraud-detector@2/",
        HERE + "lineage/?v=4&depth=all",
    ):
        assert "risk/secret" in pages.dave.get(path).content.decode(), path
    for path in (HERE + "lineage/?v=2&depth=all", "/models/risk/fraud-detector@2/"):
        assert "secret" not in pages.charlie.get(path).content.decode(), path


def test_activity_tells_who_did_what_through_which_door(pages, people, model):
    pages.alice.submit(HERE + "settings/", {"purpose": "Else."})
    text = page(pages.dave.get(HERE + "activity/")).text()
    for told in (
        "alice",
        "changed the model",
        "web",
        "registered the model",
        "purpose before",
        "Finds fraud.",
    ):
        assert told in text


@pytest.mark.sqlite_is_enough
def test_activity_goes_on_page_by_page(pages, people, model):
    for number in range(60):
        lifecycle.set_alias(model, name=f"a{number}", version=model.newest, by=people.bob)
    first = pages.dave.get(HERE + "activity/")
    more = next(link for link in page(first).links() if "cursor=" in link)
    second = pages.dave.get(HERE + "activity/" + more)
    ids = [[item["event"].pk for item in answer.context["events"]] for answer in (first, second)]
    assert len(ids[0]) == 50
    assert not set(ids[0]) & set(ids[1])
    assert second.context["next_cursor"] is None
