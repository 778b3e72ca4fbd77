"""Single sign-on against a whole OpenID provider in its own environment, through real logins."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from models_app.registry import sso
from tests.live import ROOT, free_port
from tests.people import PASSWORD

PROVIDER = Path(__file__).with_name("provider.py")
PEOPLE = {
    "zoe": {"email": "zoe@example.com", "verified": True, "groups": ["ml risk", "everyone"]},
    "ada": {"email": "ada@example.com", "verified": True, "groups": ["ml-admins"]},
    # A name that is taken here, and an address that nobody has verified.
    "bob": {"email": "alice@example.com", "verified": False, "groups": []},
    "carola": {"email": "carol@example.com", "verified": True, "groups": ["ml risk"]},
}
GROUPS = {"ml risk": ["risk:contributor", "vision:viewer"], "ml-admins": "site-admin"}


@pytest.fixture
def provider(tmp_path):
    """`start(people, redirect)` → its address; started anew it knows other people and the same subjects."""
    python = Path(os.path.realpath(ROOT / ".venv")).parent / ".venv-canaille/bin/python"
    if not python.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("script/lib/clients.py canaille makes it")
    port, running = free_port(), []

    def stop():
        while running:
            process = running.pop()
            process.kill()
            process.wait()

    def start(people, redirect):
        stop()
        log = (tmp_path / "provider.log").open("ab")
        command = [str(python), str(PROVIDER), str(port), "modelry", "s3cret", redirect, json.dumps(people)]
        running.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
        log.close()
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        raise RuntimeError((tmp_path / "provider.log").read_text())

    start.address = f"http://127.0.0.1:{port}"
    yield start
    stop()


def fields(text):
    inputs = re.findall(r"<input[^>]*>", text)
    found = ((re.search(r'name="([^"]+)"', one), re.search(r'value="([^"]*)"', one)) for one in inputs)
    return {name[1]: value[1] if value else "" for name, value in found if name}


def log_in(live, name, path="/approvals/"):
    """As a browser would: from a page that asks for a login, through the provider's forms. The last answer."""
    with httpx.Client(timeout=60) as client:
        answer = client.get(f"{live.url}/login/sso/", params={"next": path, "process": "connect"})
        for _ in range(20):
            if answer.is_redirect:
                answer = client.send(answer.next_request)
            elif str(answer.url).startswith(live.url):
                break
            else:
                typed = {"login": name, "password": PASSWORD}
                form = {key: typed.get(key, value) for key, value in fields(answer.text).items()}
                answer = client.post(str(answer.url), data=form)
    return answer


def told(live, source):
    lines = "from models_app.models import *\nimport json\n"
    return json.loads(live.python(source=f"{lines}print(json.dumps({source}))"))


ROLES = (
    "sorted([m.team.slug, m.user.username, m.role, m.from_sso] "
    "for m in Membership.objects.filter(user__username={name!r}))"
)
ROLES_OF_ZOE = ROLES.format(name="zoe")
IS_ADMIN = "User.objects.get(username='ada').is_superuser"
BY_THE_SYSTEM = "[[e.verb, e.subject] for e in AuditEvent.objects.filter(actor_name='system', door='web')]"


@pytest.mark.sqlite_is_enough
def test_people_come_with_their_groups_and_go_with_them(live, provider):
    redirect = f"{live.url}/login/sso/callback/"
    live.stop()
    live.environment |= {
        "MODELRY_OIDC_ISSUER": provider.address,
        "MODELRY_OIDC_CLIENT_ID": "modelry",
        "MODELRY_OIDC_CLIENT_SECRET": "s3cret",
        "MODELRY_OIDC_SCOPES": "openid,profile,email,groups",
        "MODELRY_OIDC_GROUPS": json.dumps(GROUPS),
        "MODELRY_OIDC_MATCH_EMAIL": "true",
        "MODELRY_OIDC_ONLY": "true",
        "MODELRY_OIDC_NAME": "Example",
    }
    live.start()
    assert "Sign in with Example" in httpx.get(f"{live.url}/login/?next=/approvals/").text
    # Nobody answers there yet.
    assert httpx.get(f"{live.url}/login/sso/", timeout=60).status_code == 503

    provider(PEOPLE, redirect)
    # An answer that nobody asked for.
    forged = httpx.get(f"{live.url}/login/sso/callback/?code=x&state=forged", timeout=60)
    assert forged.status_code == 401
    assert "did not work" in forged.text
    landed = log_in(live, "zoe")
    assert (landed.status_code, landed.url.path) == (200, "/approvals/"), landed.text[:2000]
    for name in ("carola", "bob", "ada"):
        landed = log_in(live, name)
        assert landed.status_code == 200, name
    zoes, carols, another, is_admin = told(
        live, f"[{ROLES_OF_ZOE}, {ROLES.format(name='carol')}, {ROLES.format(name='bob-2')}, {IS_ADMIN}]"
    )
    assert zoes == [["risk", "zoe", "contributor", True], ["vision", "zoe", "viewer", True]]
    # Matched by a verified address; what an admin gave stays.
    assert carols[0] == ["risk", "carol", "approver", False]
    # A name is nobody's proof, and neither is an address without verification.
    assert another == []
    assert is_admin is True
    # Passwords are for site admins only now.
    for name, status in (("alice", 200), ("root", 302)):
        with httpx.Client(base_url=live.url, timeout=60) as passwords:
            form = fields(passwords.get("/login/").text)
            answer = passwords.post("/login/", data={**form, "username": name, "password": PASSWORD})
            assert answer.status_code == status, name

    # Other groups: other roles, at the next login.
    changed = {**PEOPLE, "zoe": {**PEOPLE["zoe"], "groups": []}, "ada": {**PEOPLE["ada"], "groups": []}}
    provider(changed, redirect)
    log_in(live, "zoe")
    log_in(live, "ada")
    roles, is_admin, words = told(live, f"[{ROLES_OF_ZOE}, {IS_ADMIN}, {BY_THE_SYSTEM}]")
    assert roles == []
    assert is_admin is False
    assert ["user.created", "zoe"] in words
    assert ["team.role_set", "risk/zoe"] in words
    assert ["team.member_removed", "risk/zoe"] in words
    assert ["user.sso_linked", "carol"] in words

    live.python(
        source="from models_app.models import User\nUser.objects.filter(username='zoe').update(is_active=False)"
    )
    landed = log_in(live, "zoe")
    assert landed.status_code == 403
    assert "not active" in landed.text


@pytest.mark.parametrize(
    "text", ["a=risk", "=risk:owner", "a=risk:king", '{"a": ["risk:king"]}', "{", '{"a": 1}']
)
def test_a_mapping_that_says_nothing_is_no_mapping(text):
    with pytest.raises((ValueError, TypeError)):
        sso.mapping(text)


def test_mappings_are_lists_or_json():
    assert sso.mapping("a=risk:owner, b c=site-admin") == {"a": ["risk:owner"], "b c": ["site-admin"]}
    assert sso.mapping('{"CN=a,OU=b": "risk:viewer"}') == {"CN=a,OU=b": ["risk:viewer"]}
    assert sso.mapping("") == {}
