"""One's own pages: login, profile, theme, tokens."""

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import ApiToken
from tests.people import PASSWORD, token
from tests.web.reading import beside, page

PROFILE, TOKENS = "/account/", "/account/tokens/"


@pytest.mark.sqlite_is_enough
def test_login_takes_the_theme_along_and_says_when_it_fails(client, people):
    people.bob.user.theme = "dark"
    people.bob.user.save(update_fields=["theme"])
    wrong = client.post("/login/", {"username": "bob", "password": "wrong", "next": "/account/"})
    assert "enter a correct username and password" in page(wrong).text()
    assert page(wrong).value("id_username") == "bob"
    right = client.post("/login/", {"username": "bob", "password": PASSWORD, "next": "/account/"})
    assert right["Location"] == "/account/"
    assert right.cookies["theme"].value == "dark"


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com", "javascript:alert(1)"])
def test_nothing_leads_to_other_sites(client, pages, target):
    assert (
        client.post("/login/", {"username": "bob", "password": PASSWORD, "next": target})["Location"] == "/"
    )
    assert pages.bob.post("/account/theme/", {"theme": "dark", "next": target})["Location"] == "/"


@pytest.mark.sqlite_is_enough
def test_people_who_left_are_nobody(pages, people):
    assert pages.bob.get(PROFILE).status_code == 200
    people.bob.user.is_active = False
    people.bob.user.save(update_fields=["is_active"])
    assert pages.bob.get(PROFILE).status_code == 302


@pytest.mark.sqlite_is_enough
def test_the_profile_changes(pages, people):
    answer = pages.bob.submit(PROFILE, {"first_name": "Bob", "last_name": "Müller"}, follow=True)
    shown = page(answer)
    assert "Your profile is saved." in shown.text("messages")
    assert "Bob Müller" in shown.text()
    assert "risk" in shown.text().lower()


@pytest.mark.sqlite_is_enough
def test_one_chooses_how_often_mail_comes(pages, people, settings):
    assert "sends no mail yet" in page(pages.bob.get(PROFILE)).text("id_notice_mode_helptext")
    settings.MAIL_IS_ON = True
    assert "Emergencies" in page(pages.bob.get(PROFILE)).text("id_notice_mode_helptext")
    pages.bob.submit(PROFILE, {"notice_mode": "digest"})
    people.bob.user.refresh_from_db()
    assert people.bob.user.notice_mode == "digest"
    assert beside(pages.bob.post(PROFILE, {"notice_mode": "hourly"}), "notice_mode")


@pytest.mark.sqlite_is_enough
def test_a_default_team_is_chosen_where_one_registers(pages, people):
    assert [name for name, _ in pages.dave.get(PROFILE).context["form"].fields["default_team"].choices] == [
        ""
    ]
    assert beside(pages.bob.post(PROFILE, {"default_team": people.vision.pk}), "default_team")
    pages.bob.submit(PROFILE, {"default_team": people.risk.pk})
    people.bob.user.refresh_from_db()
    assert people.bob.user.default_team == people.risk
    pages.root.submit(PROFILE, {"default_team": people.vision.pk})
    people.root.user.refresh_from_db()
    assert people.root.user.default_team == people.vision


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "field,typed",
    [
        ("email", "not an address"),
        ("email", "x" * 255 + "@example.com"),
        ("first_name", "x" * 151),
        ("last_name", "a\x00b"),
    ],
)
def test_a_wrong_profile_is_told_beside_the_field_and_kept(pages, people, field, typed):
    answer = pages.bob.post(PROFILE, {"first_name": "Bob", "notice_mode": "digest", field: typed})
    assert beside(answer, field)
    assert page(answer, 422).value(f"id_{field}") == typed
    people.bob.user.refresh_from_db()
    assert people.bob.user.first_name == ""


@pytest.mark.sqlite_is_enough
def test_the_theme_is_one_there_is(pages, client, people):
    for typed, kept in (("dark", "dark"), ("light", "light"), ("<script>", "auto"), ("", "auto")):
        assert pages.bob.post("/account/theme/", {"theme": typed}).cookies["theme"].value == kept
        people.bob.user.refresh_from_db()
        assert people.bob.user.theme == kept
    assert client.post("/account/theme/", {"theme": "dark"}).cookies["theme"].value == "dark"


def test_a_new_token_is_shown_once_and_works(pages, client):
    answer = pages.bob.post(TOKENS, {"name": "nightly", "scopes": ["read", "write"], "days": "30"})
    secret = answer.context["secret"]
    assert secret in page(answer).text()
    assert secret not in pages.bob.get(TOKENS).content.decode()
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"}).json()["scopes"] == [
        "read",
        "write",
    ]
    left = ApiToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=29) < left <= timedelta(days=30)


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "typed,field",
    [
        ({"name": "", "scopes": "read"}, "name"),
        ({"name": "x" * 101, "scopes": "read"}, "name"),
        ({"name": "a\x00b", "scopes": "read"}, "name"),
        ({"name": "ci", "scopes": "read", "days": "100000"}, "days"),
    ],
)
def test_wrong_tokens_are_told_beside_the_field_and_not_made(pages, typed, field):
    answer = pages.bob.post(TOKENS, typed)
    assert beside(answer, field)
    assert page(answer, 422).value("id_name") == typed["name"]
    assert not ApiToken.objects.exists()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "admin"]])
def test_a_token_has_scopes_that_there_are(pages, scopes):
    answer = pages.bob.post(TOKENS, {"name": "ci", "scopes": scopes})
    assert page(answer, 422).text("id_scopes_error")
    assert not ApiToken.objects.exists()


def test_a_revoked_token_is_useless(pages, people, client):
    secret = token(people.bob)
    here = f"{TOKENS}{ApiToken.objects.get().pk}/revoke/"
    assert "is revoked." in page(pages.bob.post(here, follow=True)).text("messages")
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert "Revoked" in page(pages.bob.get(TOKENS)).text()


@pytest.mark.parametrize("number", ["999", "9" * 19, "9" * 30])
def test_what_is_no_token_of_ones_own_is_not_there(pages, people, number):
    token(people.alice)
    assert pages.bob.post(f"{TOKENS}{number}/revoke/").status_code == 404
    other = pages.bob.post(f"{TOKENS}{ApiToken.objects.get().pk}/revoke/")
    assert "You have no such token." in page(other, 404).text()
    assert ApiToken.objects.get().revoked_at is None
    assert "tests" not in page(pages.bob.get(TOKENS)).text()


@pytest.mark.sqlite_is_enough
def test_names_of_tokens_and_people_run_nowhere(pages):
    hostile = "<script>alert(1)</script>"
    pages.bob.submit(PROFILE, {"first_name": hostile})
    answer = pages.bob.post(TOKENS, {"name": hostile, "scopes": "read"})
    for shown in (answer, pages.bob.get(TOKENS), pages.bob.get(PROFILE), pages.erin.get("/teams/risk/")):
        assert page(shown).executable() == []
