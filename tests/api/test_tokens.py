"""Tokens, teams and who one is, over REST."""

import pytest

from models_app.models import ApiToken
from models_app.registry import people as verbs
from tests.api.asking import V1, items, refused

TOKENS = f"{V1}/tokens"


def test_a_token_is_made_used_and_revoked(api, client):
    made = api.bob.post(TOKENS, {"name": "ci", "scopes": ["read"], "expires_at": "2999-01-01T00:00:00Z"})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["token"]
    assert secret.startswith("mdl_")
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.get(f"{V1}/me", headers=headers).json()["scopes"] == ["read"]
    listed = {row["name"]: row for row in items(api.bob.get(TOKENS))}
    assert "token" not in listed["ci"]
    assert listed["ci"]["last_used_at"]
    assert secret not in api.bob.get(TOKENS).content.decode()
    assert api.bob.delete(f"{TOKENS}/{listed['ci']['id']}").status_code == 204
    refused(client.get(f"{V1}/me", headers=headers), 401)
    assert "ci" in {row["name"] for row in items(api.bob.get(f"{TOKENS}?is_revoked=true"))}


def test_tokens_of_others_do_not_exist(api, people):
    mine, _ = verbs.create_token(user=people.bob.user, name="mine", scopes=["read"], by=people.bob)
    assert mine.pk not in {row["id"] for row in items(api.alice.get(TOKENS))}
    refused(api.alice.delete(f"{TOKENS}/{mine.pk}"), 404)
    refused(api.anonymous.delete(f"{TOKENS}/{mine.pk}"), 401)
    assert api.root.delete(f"{TOKENS}/{mine.pk}").status_code == 204


def test_a_token_makes_none_with_more_scopes_than_its_own(api, people):
    refused(api.client(people.bob, "read").post(TOKENS, {"name": "x", "scopes": ["write"]}), 403)


@pytest.mark.parametrize(
    "body,fields",
    [
        ({"name": "x", "scopes": ["all"]}, {"scopes.0"}),
        ({"name": "x", "scopes": []}, {"scopes"}),
        ({"name": "", "scopes": ["read"]}, {"name"}),
        ({"name": "x", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}, {"expires_at"}),
        ({"name": "x", "scopes": ["read"], "user": "root"}, {"user"}),
    ],
)
def test_bad_tokens_are_refused(api, body, fields):
    before = ApiToken.objects.count()
    client = api.bob
    refused(client.post(TOKENS, body), 400, fields=fields)
    assert ApiToken.objects.count() == before + 1  # the client's own


def test_expired_tokens_are_useless(api, people, client):
    from datetime import timedelta

    from django.utils import timezone

    token, secret = verbs.create_token(
        user=people.bob.user,
        name="short",
        scopes=["read"],
        expires_at=timezone.now() + timedelta(hours=1),
        by=people.bob,
    )
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    refused(client.get(f"{V1}/me", headers={"Authorization": f"Bearer {secret}"}), 401)


def test_people_see_who_they_are(api):
    me = api.bob.get(f"{V1}/me").json()
    assert me["username"] == "bob"
    assert me["teams"] == [{"slug": "risk", "role": "contributor"}]
    assert not me["is_site_admin"]
    refused(api.anonymous.get(f"{V1}/me"), 401)


def test_teams_show_their_members(api, settings):
    teams = {row["slug"]: row["your_role"] for row in items(api.bob.get(f"{V1}/teams"))}
    assert teams == {"risk": "contributor", "vision": None}
    members = api.bob.get(f"{V1}/teams/risk").json()["members"]
    assert {member["username"]: member["role"] for member in members}["carol"] == "approver"
    refused(api.bob.get(f"{V1}/teams/none"), 404)
    settings.PUBLIC_READ = True
    refused(api.anonymous.get(f"{V1}/teams/risk"), 401)
