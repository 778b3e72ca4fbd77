"""The second factor: set up with an app, asked for after the password, used once, reset by a site admin."""

import base64
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from allauth.account.internal.flows.login import record_authentication, resume_login
from allauth.account.models import Login
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from axes.models import AccessAttempt
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from models_app.models import AuditEvent
from models_app.registry import people as people_verbs
from models_app.registry import second_factor
from models_app.registry.errors import Forbidden
from tests.people import PASSWORD, token
from tests.web.reading import page

SETUP = "/account/second-factor/"


class Phone:
    """An authenticator app whose time one chooses."""

    def __init__(self, monkeypatch):
        self.now = 1_800_000_000
        self.secret = ""
        # Its own clock: that of the process goes on.
        monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: self.now))

    def read(self, answer):
        text = answer.content.decode()
        assert '<figure class="qr" role="img" aria-label="QR code of the key below"><svg ' in text
        self.secret = text.partition('class="key">')[2].partition("<")[0].replace(" ", "")

    def code(self, step=0):
        return totp.format_hotp_value(totp.hotp_value(self.secret, self.now // 30 + step))


@pytest.fixture
def phone(monkeypatch):
    return Phone(monkeypatch)


def set_up(browser, phone):
    phone.read(browser.get(SETUP))
    return browser.post(SETUP, {"code": phone.code(), "password": PASSWORD})


@pytest.fixture
def codes(pages, phone):
    """Recovery codes of Bob, who has just set it up."""
    answer = set_up(pages.bob, phone)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    phone.now += 60
    return re.findall(r"<li><code>(\d+)</code>", answer.content.decode())


def with_password(name="bob"):
    browser = Client()
    answer = browser.post("/login/?next=/approvals/", {"username": name, "password": PASSWORD})
    return browser, answer


def test_a_code_is_asked_for_after_the_password_and_counts_once(people, codes, phone):
    assert len(codes) == 10
    browser, answer = with_password()
    assert answer["Location"] == "/login/code/"
    assert browser.get("/approvals/").status_code == 302
    code = phone.code()
    wrong = browser.post("/login/code/", {"code": "000000" if code != "000000" else "111111"})
    assert "not the code of now" in page(wrong, 422).text()
    assert browser.post("/login/code/", {"code": f"{code[:3]} {code[3:]}"})["Location"] == "/approvals/"
    assert browser.get("/approvals/").status_code == 200
    # Seen over the shoulder, the same code opens nothing; neither does the one before it.
    other, _ = with_password()
    for used in (code, phone.code(-1)):
        assert other.post("/login/code/", {"code": used}).status_code == 422
    phone.now += 30
    assert other.post("/login/code/", {"code": phone.code(1)})["Location"] == "/approvals/"
    with_what = AuditEvent.objects.filter(verb="login.succeeded").values_list("after__with", flat=True)
    assert list(with_what)[-2:] == [["password", "totp"]] * 2


def test_a_recovery_code_lets_in_once(people, codes):
    for expected in (302, 422):
        browser, _ = with_password()
        assert browser.post("/login/code/", {"code": codes[3]}).status_code == expected
    assert second_factor.codes_left(people.bob.user) == 9


def test_wrong_codes_lock_as_wrong_passwords_do(people, codes, phone, settings):
    browser, _ = with_password()
    answers = [
        browser.post("/login/code/", {"code": "12345"}).status_code for _ in range(settings.LOGIN_FAILURES)
    ]
    assert answers[0] == 422
    assert answers[-1] == 429
    assert browser.post("/login/code/", {"code": phone.code()}).status_code == 429
    AccessAttempt.objects.all().delete()
    assert browser.post("/login/code/", {"code": phone.code()}).status_code == 302


def test_it_takes_password_and_a_right_code_to_turn_on_and_a_code_to_change(people, pages, phone):
    phone.read(pages.bob.get(SETUP))
    for typed in ({"code": phone.code(), "password": "no"}, {"code": "12", "password": PASSWORD}):
        assert pages.bob.post(SETUP, typed).status_code == 422
    assert not Authenticator.objects.exists()
    assert pages.bob.post(SETUP, {"code": phone.code(), "password": PASSWORD}).status_code == 200
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert phone.secret not in stored
    assert second_factor.secrets.decrypt(stored) == phone.secret
    phone.now += 60
    assert pages.bob.post(SETUP, {"code": "1", "do": "off"}).status_code == 422
    assert pages.bob.post(SETUP, {"code": phone.code(), "do": "codes"}).status_code == 200
    phone.now += 60
    assert pages.bob.post(SETUP, {"code": phone.code(), "do": "off"})["Location"] == "/account/security/"
    assert not Authenticator.objects.exists()
    assert with_password()[1]["Location"] == "/approvals/"
    verbs = AuditEvent.objects.filter(subject="bob", verb__startswith="second_factor.")
    assert sorted(verbs.values_list("verb", flat=True)) == [
        "second_factor.added",
        "second_factor.codes_renewed",
        "second_factor.removed",
    ]


@pytest.mark.parametrize(
    "demanded, led", [("", ""), ("admins", "root"), ("approvers", "root carol"), ("all", "root carol bob")]
)
def test_whom_the_site_demands_it_of_is_led_to_set_it_up(people, pages, api, settings, demanded, led):
    settings.REQUIRE_TOTP = demanded
    for name in ("root", "carol", "bob"):
        browser = getattr(pages, name)
        for path in ("/", "/admin/") if name == "root" else ("/",):
            expected = (302, f"{SETUP}?next={path}") if name in led else (200, None)
            answer = browser.get(path)
            assert (answer.status_code, answer.headers.get("Location")) == expected
        assert browser.get(SETUP).status_code == 200
        assert browser.get("/api/v1/models").status_code == (403 if name in led else 200)
    # Scripts have tokens.
    assert api.carol.get("/api/v1/models").status_code == 200


def test_who_must_have_one_may_not_turn_it_off_and_a_site_admin_resets_it(people, pages, phone, settings):
    settings.REQUIRE_TOTP = "all"
    assert set_up(pages.bob, phone).status_code == 200
    assert pages.bob.get("/").status_code == 200
    phone.now += 60
    assert pages.bob.post(SETUP, {"code": phone.code(), "do": "off"}).status_code == 403
    with pytest.raises(Forbidden):
        second_factor.reset(people.bob.user, by=people.carol)
    assert second_factor.reset(people.bob.user, by=people.root)
    assert not second_factor.is_on(people.bob.user)


def test_nobody_and_no_token_sets_up_anothers(people):
    secret = second_factor.new_secret()
    for actor in (people.root, replace(people.bob, scopes=frozenset({"write"}))):
        with pytest.raises(Forbidden):
            second_factor.set_up(people.bob.user, secret=secret, code="000000", by=actor)


def test_a_new_secret_key_renews_what_is_kept(people, codes, settings):
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-key" * 6
    assert second_factor.renew_secrets() == 2
    settings.SECRET_KEY_FALLBACKS = []
    assert second_factor.codes_left(people.bob.user) == 10


def with_sso(rf, user):
    """Where a login leads that the provider vouched for."""
    request = rf.get("/")
    request.session, request.user = SessionStore(), AnonymousUser()
    with context.request_context(request):
        record_authentication(request, user, "socialaccount", provider="oidc", uid="1")
        login = Login(user=user, email_verification="none", redirect_url="/approvals/")
        return resume_login(request, login)["Location"]


def test_after_single_sign_on_it_is_asked_for_where_the_site_says_so(people, codes, rf, settings):
    assert with_sso(rf, people.bob.user) == "/approvals/"
    settings.REQUIRE_TOTP = "all"
    assert not second_factor.is_missing(people.carol, sso=True)
    settings.TOTP_AFTER_SSO = True
    assert with_sso(rf, people.bob.user) == "/login/code/"
    assert second_factor.is_missing(people.carol, sso=True)


def test_a_reset_ends_sessions_and_the_demand_counts_at_once(people, pages, phone, settings):
    settings.REQUIRE_TOTP = "all"
    set_up(pages.bob, phone)
    pages.bob.get("/account/")
    assert second_factor.reset(people.bob.user, by=people.root)
    assert pages.bob.get("/account/")["Location"] == "/login/?next=/account/"
    again, answer = with_password()
    assert answer["Location"] == "/approvals/"
    assert again.get("/account/password/")["Location"] == f"{SETUP}?next=/account/password/"
    phone.read(again.get(f"{SETUP}?next=/approvals/"))
    phone.now += 60
    typed = {"code": phone.code(), "password": PASSWORD}
    for target, led in (("https://evil.example/", "/account/security/"), ("/approvals/", "/approvals/")):
        Authenticator.objects.all().delete()
        phone.read(again.get(SETUP))
        typed["code"] = phone.code()
        assert led in page(again.post(SETUP, typed | {"next": target})).links()
    assert again.get("/approvals/").status_code == 200


def test_a_token_beside_a_login_is_as_good_as_alone_and_opens_no_admin(people, pages, settings):
    settings.REQUIRE_TOTP = "admins"
    of_dave = {"Authorization": f"Bearer {token(people.dave)}"}
    assert pages.root.get("/api/v1/me", headers=of_dave).json()["username"] == "dave"
    assert pages.root.get("/admin/", headers=of_dave)["Location"] == f"{SETUP}?next=/admin/"
    assert pages.root.get("/api/v1/me", headers={"Authorization": "Nonsense"}).status_code == 401
    assert pages.root.get("/admin/", headers={"Authorization": "Nonsense"}).status_code == 302


def test_no_way_around_the_second_step(people, codes, phone):
    for path in ("/api/v1/me", "/api/2.0/mlflow/experiments/search?max_results=1"):
        for password, status in ((PASSWORD, 401), (token(people.bob), 200)):
            basic = base64.b64encode(f"bob:{password}".encode()).decode()
            assert Client().get(path, headers={"Authorization": f"Basic {basic}"}).status_code == status
    assert Client().post("/login/code/", {"code": phone.code()})["Location"] == "/login/"
    browser, _ = with_password()
    people_verbs.set_account(
        people.bob.user, by=people.root, is_active=False, is_staff=False, is_site_admin=False
    )
    assert browser.post("/login/code/", {"code": phone.code()})["Location"] == "/login/"
    assert not AuditEvent.objects.filter(verb="login.succeeded", subject="bob").exists()
