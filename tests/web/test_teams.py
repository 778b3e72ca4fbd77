"""Teams: who is in them, and who may change that."""

import pytest

from models_app.models import Membership, User
from models_app.registry import people as verbs
from tests.web.reading import beside, page

HERE = "/teams/risk/"
MEMBERS = HERE + "members/"


def role(name):
    return (
        Membership.objects.filter(user__username=name, team__slug="risk")
        .values_list("role", flat=True)
        .first()
    )


@pytest.mark.sqlite_is_enough
def test_a_team_shows_its_people_and_models(pages, model):
    shown = page(pages.charlie.get(HERE))
    for told in (
        "bob Contributor",
        "erin Admin",
        "risk/fraud-detector",
        "Admins of the team change who is in it.",
    ):
        assert told in shown.text()


@pytest.mark.sqlite_is_enough
def test_a_public_site_shows_no_people(client, model, settings):
    settings.PUBLIC_READ = True
    text = page(client.get(HERE)).text()
    assert "risk/fraud-detector" in text
    assert "erin" not in text
    assert "Sign in to see who is in this team." in text


def test_admins_give_and_take_roles(pages, people):
    assert pages.erin.post(MEMBERS, {"username": "charlie", "role": "viewer"}).status_code == 302
    assert role("charlie") == "viewer"
    assert "charlie is approver of risk." in page(
        pages.erin.post(MEMBERS, {"username": "charlie", "role": "approver"}, follow=True)
    ).text("messages")
    assert pages.erin.post(f"{MEMBERS}charlie/remove/").status_code == 302
    assert role("charlie") is None


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "typed,field,told",
    [
        ({"username": "nobody", "role": "viewer"}, "username", "There is no active person “nobody”."),
        ({"username": "", "role": "viewer"}, "username", "This field is required."),
        ({"username": "x\x00", "role": "viewer"}, "username", "Null characters are not allowed."),
        ({"username": "charlie", "role": "emperor"}, "role", "emperor is not one of the available choices."),
        ({"username": "charlie"}, "role", "This field is required."),
    ],
)
def test_wrong_members_are_told_beside_the_field(pages, people, typed, field, told):
    answer = pages.erin.post(MEMBERS, typed)
    assert told in beside(answer, field)
    assert page(answer, 422).value("id_username") == typed["username"]
    assert role("charlie") is None


@pytest.mark.sqlite_is_enough
def test_a_person_who_left_gets_no_role(pages, people):
    User.objects.filter(username="charlie").update(is_active=False)
    assert "no active person" in beside(
        pages.erin.post(MEMBERS, {"username": "charlie", "role": "viewer"}), "username"
    )


@pytest.mark.sqlite_is_enough
def test_the_role_is_asked_for_before_anything_else(pages, people):
    for path, typed in (
        (MEMBERS, {"username": "nobody"}),
        (f"{MEMBERS}nobody/remove/", {}),
        (HERE, {"name": ""}),
    ):
        text = page(pages.dave.post(path, typed), 403).text()
        assert "that takes the role admin" in text
    assert "There is no person" in page(pages.erin.post(f"{MEMBERS}nobody/remove/"), 404).text()


def test_the_last_admin_stays(pages, people):
    answer = pages.erin.post(MEMBERS, {"username": "erin", "role": "viewer"})
    assert "Make somebody else admin first." in page(answer, 422).text()
    assert "Make somebody else admin first." in page(pages.erin.post(f"{MEMBERS}erin/remove/"), 409).text()
    assert role("erin") == "admin"


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("name,told", [("", "required"), ("x" * 129, "at most 128"), ("a\x00", "Null")])
def test_names_of_teams_are_checked_and_kept(pages, people, name, told):
    answer = pages.erin.post(HERE, {"name": name, "description": "What we do"})
    assert told in beside(answer, "name")
    assert page(answer, 422).value("id_description") == "What we do"
    people.risk.refresh_from_db()
    assert people.risk.name == "Risk"


@pytest.mark.sqlite_is_enough
def test_what_a_team_says_of_itself_runs_nowhere(pages, people):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    verbs.update_team(people.risk, name=hostile, description=hostile, by=people.erin)
    for path in (HERE, "/teams/", "/account/", "/register/"):
        assert page(pages.erin.get(path)).executable() == []
