"""Refusals as pages: what happened, and what to do next."""

import pytest
from django.test import Client

from models_app.registry import catalog
from tests import builders
from tests.web.reading import page


@pytest.mark.sqlite_is_enough
def test_an_unknown_address_leads_to_the_search(client):
    shown = page(client.get("/nowhere/at/all/of/this/"), 404)
    assert "There is nothing at this address." in shown.text()
    assert "/" in shown.links()


@pytest.mark.sqlite_is_enough
def test_a_missing_model_is_told_with_those_it_may_have_meant(pages, model):
    shown = page(pages.dave.get("/models/fraud/"), 404)
    assert "Did you mean risk/fraud-detector" in shown.text()
    assert "/models/risk/fraud-detector/" in shown.links()


@pytest.mark.sqlite_is_enough
def test_a_guess_never_names_what_one_may_not_see(pages, private):
    answer = pages.charlie.get("/models/secret/")
    assert "Did you mean" not in page(answer, 404).text()
    assert "risk/secret" not in answer.content.decode()
    assert "Did you mean risk/secret" in page(pages.dave.get("/models/secret/"), 404).text()


@pytest.mark.sqlite_is_enough
def test_absent_and_hidden_models_are_told_alike(pages, private):
    told = [
        page(pages.charlie.get(f"/models/{name}/"), 404).text() for name in ("risk/secret", "risk/sacred")
    ]
    assert (
        told[0].replace("risk/secret", "…").partition("Reference")[0]
        == (told[1].replace("risk/sacred", "…").partition("Reference")[0])
    )


@pytest.mark.sqlite_is_enough
def test_a_missing_role_is_named_with_who_can_give_it(pages, model):
    text = page(pages.dave.get("/models/risk/fraud-detector/settings/"), 403).text()
    assert "that takes the role owner or admin" in text
    assert "Ask an admin of team risk for the role: erin." in text
    assert "You are signed in as dave" in text


@pytest.mark.sqlite_is_enough
def test_a_page_that_only_takes_forms_says_so(pages, model):
    shown = page(pages.bob.get("/models/risk/fraud-detector@1/move/"), 405)
    assert "Go back to the page with the form." in shown.text()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused_with_those_there_are(pages, model, method):
    answer = getattr(pages.bob, method)("/models/risk/fraud-detector/")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/models/risk/fraud%00/",
        "/models/risk/fraud-detector@%00/",
        "/models/risk/fraud-detector@1/files/%00",
        "/models/risk/fraud-detector/compare/%00/",
    ],
)
def test_no_address_has_nul(pages, model, path):
    assert pages.dave.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/models/risk/fraud-detector/lineage/?v=%00",
        "/models/risk/fraud-detector/activity/?cursor=%00",
        "/models/risk/fraud-detector/versions/?cursor=%00",
        "/models/risk/fraud-detector/versions/?stage=%00",
        "/models/risk/fraud-detector/?use=%00",
        "/?cursor=%00",
        "/?%00=1",
    ],
)
def test_nor_has_what_follows_it(pages, model, path):
    assert "May not contain NUL." in page(pages.dave.get(path), 400).text()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "path",
    [
        "/?cursor=WyJuYW1lIiwwXQ",
        "/models/risk/fraud-detector/versions/?cursor=nonsense",
        "/models/risk/fraud-detector/activity/?cursor=" + "9" * 5000,
    ],
)
def test_a_cursor_that_is_not_ours_is_told(pages, model, path):
    assert "cursor" in page(pages.dave.get(path), 400).text().lower()


@pytest.mark.sqlite_is_enough
def test_forms_need_the_token_of_their_page(pages, model):
    bob = pages.strict("bob")
    here = "/models/risk/fraud-detector@3/move/"
    answer = bob.post(here, {"to": "staging"})
    assert "This form has expired" in page(answer, 403).text()
    model.refresh_from_db()
    assert model.newest_staging is None
    bob.get("/models/risk/fraud-detector@3/")
    sent = bob.post(here, {"to": "staging", "csrfmiddlewaretoken": bob.cookies["csrftoken"].value})
    assert sent.status_code == 302


@pytest.mark.sqlite_is_enough
def test_nobody_comes_back_to_the_page_after_logging_in(people, model):
    nobody = Client()
    there = "/models/risk/fraud-detector/versions/?stage=dev"
    to_login = nobody.get(there)
    assert to_login["Location"] == "/login/?next=/models/risk/fraud-detector/versions/%3Fstage%3Ddev"
    answer = nobody.post(
        to_login["Location"], {"username": "dave", "password": "correct horse battery", "next": there}
    )
    assert answer["Location"] == there


@pytest.mark.sqlite_is_enough
def test_parts_of_pages_send_the_whole_page_to_the_login(client, db):
    answer = client.get("/?q=x", headers={"HX-Request": "true", "HX-Target": "results"})
    assert answer["HX-Redirect"] == "/login/?next=/%3Fq%3Dx"


@pytest.mark.sqlite_is_enough
def test_what_breaks_is_told_with_a_reference(pages, model, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("models_app.web.models.frame", broken)
    pages.dave.raise_request_exception = False
    answer = pages.dave.get("/models/risk/fraud-detector/", headers={"X-Request-Id": "quote-me-please"})
    text = page(answer, 500).elements and answer.content.decode()
    assert "quote-me-please" in text
    assert "a secret detail" not in text


@pytest.mark.sqlite_is_enough
def test_a_renamed_model_is_found_by_its_old_name(pages, people, model):
    catalog.rename_model(model, to="risk/fraud-finder", by=people.alice)
    answer = pages.dave.get("/models/risk/fraud-detector/")
    assert (answer.status_code, answer["Location"]) == (301, "/models/risk/fraud-finder/")
    assert page(pages.dave.get("/models/risk/fraud-detector@2/")).text()


@pytest.mark.sqlite_is_enough
def test_answers_are_kept_by_no_browser_and_run_nothing(pages, people, model):
    builders.model("risk/x", by=people.bob)
    answer = pages.dave.get("/models/risk/x/")
    assert "no-store" in answer["Cache-Control"]
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert page(answer).executable() == []
