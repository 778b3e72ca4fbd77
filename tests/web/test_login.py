"""Logging in: guessing is slowed down and recorded; sessions are listed and end."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.test import Client
from django.utils import timezone

from models_app.models import AuditEvent, UserSession
from models_app.registry import logins, sessions
from models_app.registry import people as people_verbs
from models_app.registry.errors import Forbidden, Unauthenticated
from models_app.web.devices import device
from tests.house.query_counts import counted
from tests.people import PASSWORD, token
from tests.web.reading import page

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def attempt(name, password="wrong", address="10.0.0.1"):
    return Client(REMOTE_ADDR=address).post(
        "/login/?next=/approvals/", {"username": name, "password": password}
    )


def test_guessing_locks_the_name_for_that_address_and_a_site_admin_releases_it(people, settings):
    for _ in range(settings.LOGIN_FAILURES - 1):
        assert attempt("bob").status_code == 200
    locked = attempt("bob")
    assert "Try again in 15 minutes." in page(locked, 429).text()
    assert 890 < int(locked["Retry-After"]) <= 900
    # The right password does not help now, from elsewhere it does; unknown names look the same.
    assert attempt("bob", PASSWORD).status_code == 429
    assert attempt("bob", PASSWORD, address="10.0.0.2")["Location"] == "/approvals/"
    for _ in range(settings.LOGIN_FAILURES):
        unknown = attempt("hunter2")
    again = attempt("hunter2")
    told = [page(one, 429).text().partition("Reference")[0] for one in (locked, unknown, again)]
    assert told[0] == told[1] == told[2]
    assert logins.is_locked(people.bob.user)
    told = list(
        AuditEvent.objects.filter(verb__startswith="login.").values_list("verb", "subject", "address")
    )
    assert told.count(("login.failed", "bob", "10.0.0.1")) == settings.LOGIN_FAILURES - 1
    assert told.count(("login.locked", "bob", "10.0.0.1")) == 1
    assert ("login.succeeded", "bob", "10.0.0.2") in told
    assert not [subject for _, subject, _ in told if "hunter2" in subject]
    with pytest.raises(Forbidden):
        logins.release(people.bob.user, by=people.erin)
    assert logins.release(people.bob.user, by=people.root)
    assert attempt("bob", PASSWORD).status_code == 302


def test_one_address_that_tries_many_names_is_locked_and_a_lock_ends(people, settings):
    settings.LOGIN_FAILURES_OF_ADDRESS = 7
    for number in range(6):
        attempt(f"name{number}")
    assert attempt("bob", PASSWORD).status_code == 302
    # Whoever has an account does not wipe out what else was guessed from there.
    assert attempt("name7").status_code == 429
    assert attempt("alice", PASSWORD).status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt("alice", PASSWORD).status_code == 302


@pytest.mark.sqlite_is_enough
def test_the_address_is_what_the_proxy_says_of_its_peer(people, settings, rf):
    from models_app.http.auth import address_of

    def seen(told):
        return address_of(rf.get("/", REMOTE_ADDR="10.9.9.9", HTTP_X_FORWARDED_FOR=told))

    assert seen("1.2.3.4") == "10.9.9.9"
    settings.BEHIND_PROXY = True
    assert seen("6.6.6.6, 1.2.3.4") == "1.2.3.4"
    assert seen("2001:db8::1") == "2001:db8::1"
    assert seen("") == seen("<script>") == "10.9.9.9"


@pytest.mark.sqlite_is_enough
def test_the_admin_has_the_same_door(people, pages):
    answer = Client().get("/admin/login/?next=/admin/models_app/team/")
    assert answer["Location"] == "/login/?next=/admin/models_app/team/"
    assert pages.bob.get("/admin/login/").status_code == 403
    assert pages.root.get("/admin/login/")["Location"] == "/admin/"


def test_sessions_are_listed_and_end(people):
    here, there = Client(headers={"User-Agent": FIREFOX}), Client(REMOTE_ADDR="10.0.0.7")
    for client in (here, there):
        client.post("/login/", {"username": "bob", "password": PASSWORD})
    listed = page(here.get("/account/security/")).text()
    assert "Firefox on Linux (this one)" in listed
    assert "10.0.0.7" in listed
    of_another = Client()
    of_another.post("/login/", {"username": "alice", "password": PASSWORD})
    foreign = UserSession.objects.get(user=people.alice.user)
    assert here.post(f"/account/sessions/{foreign.pk}/end/").status_code == 404
    row = UserSession.objects.get(user=people.bob.user, address="10.0.0.7")
    assert here.post(f"/account/sessions/{row.pk}/end/").status_code == 302
    assert there.get("/account/").status_code == 302
    assert here.get("/account/").status_code == 200

    there.post("/login/", {"username": "bob", "password": PASSWORD})
    assert here.post("/account/sessions/end-others/").status_code == 302
    assert there.get("/account/").status_code == 302
    # Site admins end anyone's; nobody else does.
    with pytest.raises(Forbidden):
        sessions.end_sessions(people.bob.user, by=people.alice)
    assert sessions.end_sessions(people.bob.user, by=people.root) == 1
    assert here.get("/account/").status_code == 302


@pytest.mark.sqlite_is_enough
def test_being_seen_costs_nothing_until_minutes_passed(pages, monkeypatch):
    pages.bob.get("/account/password/")
    _, asked = counted(lambda: pages.bob.get("/account/password/"))
    assert not [text for text in asked if "usersession" in text or "UPDATE" in text]
    monkeypatch.setattr(sessions, "SEEN_EVERY", timedelta(0))
    before = UserSession.objects.get().last_seen_at
    pages.bob.get("/account/password/")
    assert UserSession.objects.get().last_seen_at > before


def test_a_new_password_takes_the_old_one_and_ends_other_sessions(people):
    here, there = Client(), Client()
    for client in (here, there):
        client.post("/login/", {"username": "bob", "password": PASSWORD})
    new = {"password": "another long secret", "again": "another long secret"}
    assert page(here.post("/account/password/", {"current": "wrong", **new}), 422).text("id_current_error")
    weak = {"current": PASSWORD, "password": "short", "again": "short"}
    assert page(here.post("/account/password/", weak), 422).text("id_password_error")
    assert here.post("/account/password/", {"current": PASSWORD, **new}).status_code == 302
    assert here.get("/account/security/").status_code == 200
    assert there.get("/account/").status_code == 302
    assert attempt("bob", "another long secret").status_code == 302
    assert [row.user for row in UserSession.objects.filter(address="127.0.0.1")] == [people.bob.user]


@pytest.mark.sqlite_is_enough
def test_who_is_deactivated_is_out_and_stays_out(people, pages):
    pages.bob.get("/account/")
    secret = token(people.bob)
    verbs_set(people, is_active=False)
    revoked = AuditEvent.objects.get(verb="token.all_revoked")
    assert (revoked.subject, revoked.before) == ("bob", {"tokens": [secret[:10]]})
    assert not UserSession.objects.exists()
    assert attempt("bob", PASSWORD).status_code == 200
    verbs_set(people, is_active=True)
    with pytest.raises(Unauthenticated):
        people_verbs.find_token(secret)
    assert pages.bob.get("/account/").status_code == 302


def verbs_set(standing, *, is_active):
    people_verbs.set_account(
        standing.bob.user, by=standing.root, is_active=is_active, is_staff=False, is_site_admin=False
    )


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "agent,words",
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140 Safari/537.36 Edg/140",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19 like Mac OS X) Version/19 Safari/604.1", "Safari on iPhone"),
        ("", "An unknown browser"),
    ],
)
def test_devices_are_called_as_people_call_them(agent, words):
    assert device(agent) == words
