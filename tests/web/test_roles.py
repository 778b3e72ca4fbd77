"""Who may open which page and send which form: one table, read by roles, by strangers and by nobody."""

from contextlib import contextmanager

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import resolve

from models_app.models import ApiToken, Delivery, Deployment, Incident, Stage
from models_app.registry import (
    deployment_reports,
    deployments,
    environments,
    lifecycle,
    promotions,
    runs,
    service_accounts,
    webhooks,
)
from models_app.registry.access import Actor, get_model, get_version
from tests import builders
from tests.house.test_urls import ROWS
from tests.people import token
from tests.permissions.deployment_calls import FORM as ENVIRONMENT

pytestmark = [pytest.mark.sqlite_is_enough, pytest.mark.long]

# viewer, contributor, owner, approver, admin, a stranger to the team, site admin, nobody
WHO = ["dave", "bob", "alice", "carol", "erin", "charlie", "root", "anonymous"]
M, V, A = "/models/{model}/", "/models/{model}@{number}/", "/approvals/{request}/"
H = "/webhooks/{hook}/"
D = "/deployments/{deployment}/"

READS = [200, 200, 200, 200, 200, 200, 200, "login"]
GOES_ON = [302, 302, 302, 302, 302, 302, 302, "login"]
ALL = [200] * 8
OF_OWNERS = [403, 403, 200, 403, 200, 403, 200, "login"]
OF_CONTRIBUTORS = [403, 200, 200, 403, 200, 403, 200, "login"]
OF_ADMINS = [403, 403, 403, 403, 200, 403, 200, "login"]
OF_WHO_ROLLS_BACK = [403, 403, 200, 200, 200, 403, 200, "login"]
GET = {
    "/": READS,
    M: READS,
    M + "versions/": READS,
    M + "lineage/": READS,
    M + "activity/": READS,
    M + "monitoring/": READS,
    M + "compliance/": READS,
    M + "compare/?v=1&v=2": GOES_ON,
    M + "compare/1...2/": READS,
    M + "settings/": OF_OWNERS,
    M + "upload/": OF_CONTRIBUTORS,
    M + "rollback/": OF_WHO_ROLLS_BACK,
    V: READS,
    V + "edit/": OF_CONTRIBUTORS,
    V + "files/model.bin": READS,
    V + "files/model.bin?download": READS,
    V + "download.zip": READS,
    V + "download.tar": READS,
    V + "bundle.zip": OF_ADMINS,
    "/register/": READS,
    "/account/": READS,
    "/account/security/": READS,
    "/account/second-factor/": READS,
    "/account/password/": READS,
    "/account/tokens/": READS,
    "/teams/": READS,
    "/teams/risk/": READS,
    "/teams/risk/service-accounts/bot/": OF_ADMINS,
    "/people/dave/leaving/": [403] * 6 + [200, "login"],
    "/teams/risk/policies/": READS,
    "/policies/": READS,
    "/retention/": READS,
    "/webhooks/": OF_ADMINS,
    "/webhooks/new/": OF_ADMINS,
    H: OF_ADMINS,
    H + "edit/": OF_ADMINS,
    H + "deliveries/{message}/": OF_ADMINS,
    "/teams/risk/retention/": READS,
    "/teams/risk/storage/": [200, 200, 200, 200, 200, 403, 200, "login"],
    "/storage/": [403] * 6 + [200, "login"],
    "/approvals/": READS,
    A: READS,
    "/incidents/{incident}/": READS,
    "/deployments/": READS,
    D: READS,
    D + "progress/": READS,
    "/environments/": READS,
    "/environments/new/": OF_ADMINS,
    "/environments/eu/": READS,
    M + "deployments/": READS,
    M + "deployments/eu/": READS,
    M + "deployments/rollback/": READS,
    V + "deploy/": READS,
    "/help/clients/": ALL,
    "/runs/{run}/": READS,
    "/audit/": OF_ADMINS,
    "/audit/export.csv": OF_ADMINS,
    "/audit/export.jsonl": OF_ADMINS,
}
# What the site says to anyone who cannot log in, once it is told to.
PUBLIC = {path for path, expected in GET.items() if expected[0] in (200, 302)} - {
    "/register/",
    "/account/",
    "/account/security/",
    "/account/second-factor/",
    "/account/password/",
    "/account/tokens/",
    "/teams/risk/policies/",
    "/policies/",
    "/retention/",
    "/teams/risk/retention/",
    "/teams/risk/storage/",
    "/storage/",
    "/approvals/",
    A,
    M + "deployments/rollback/",
    V + "deploy/",
}

MAY_EDIT = [403, 302, 302, 403, 302, 403, 302, "login"]
MAY_OWN = [403, 403, 302, 403, 302, 403, 302, "login"]
MAY_MOVE = [403, 302, 302, 302, 302, 403, 302, "login"]
MAY_RETIRE = [403, 403, 302, 302, 302, 403, 302, "login"]
MAY_PROMOTE = [403, 403, 403, 302, 302, 403, 302, "login"]
MAY_EDIT_OR_ASKED = [403, 302, 302, 403, 302, 403, 302, "login"]
MAY_ASK = [403, 302, 302, 302, 302, 403, 302, "login"]
MAY_MANAGE = [403, 403, 403, 403, 302, 403, 302, "login"]
OWN_OR_ADMIN = [404, 302, 404, 404, 404, 404, 302, "login"]
LIMIT = {"name_pattern": "psi", "comparison": "above", "value": "0.2", "in_a_row": "3"}
# Path, which version of the model, what is sent, what each is told.
POST = [
    ("/incidents/{incident}/acknowledge/", 1, {}, MAY_MOVE),
    ("/incidents/{incident}/resolve/", 1, {"reason": "Known."}, MAY_MOVE),
    (M + "monitoring/", 0, LIMIT, MAY_OWN),
    ("/register/", 0, {"name": "risk/new", "visibility": "internal"}, MAY_EDIT),
    (M + "settings/", 0, {"purpose": "Else.", "visibility": "team"}, MAY_OWN),
    (M + "rename/", 0, {"rename-to": "risk/other"}, MAY_OWN),
    (M + "delete/", 0, {"delete-confirm": "{model}"}, MAY_OWN),
    (M + "rollback/", 0, {"reason": "Slow."}, MAY_RETIRE),
    (M + "upload/", 0, {"file": b"new weights"}, MAY_EDIT),
    (V + "edit/", 3, {"description": "New."}, MAY_EDIT),
    (V + "alias/", 3, {"alias": "champion"}, MAY_EDIT),
    (V + "alias/", 3, {"alias": "there", "delete": "1"}, MAY_EDIT),
    (V + "move/", 3, {"to": "staging"}, MAY_MOVE),
    # Who may only ask is led to the request that is open then.
    (V + "move/", 3, {"to": "production"}, MAY_ASK),
    (V + "request/", 4, {"reason": "Better."}, MAY_ASK),
    (V + "emergency/", 4, {"reason": "It burns."}, MAY_MANAGE),
    # bob asked, alice registered the version: neither decides.
    (A + "review/", 3, {"verdict": "approved", "evidence": "{evidence}"}, MAY_PROMOTE),
    (A + "review/", 3, {"verdict": "rejected", "body": "No.", "evidence": "{evidence}"}, MAY_PROMOTE),
    (A + "review/", 3, {"verdict": "comment", "body": "Hm."}, GOES_ON),
    (A + "withdraw/", 3, {}, MAY_EDIT_OR_ASKED),
    (A + "reviewers/", 3, {"reviewer": "carol"}, MAY_ASK),
    (
        "/approvals/{emergency}/review-after/",
        0,
        {"body": "Right."},
        [403, 403, 403, 302, 403, 403, 302, "login"],
    ),
    ("/teams/risk/policies/", 0, {"rules": "{{}}", "action": "save"}, MAY_MANAGE),
    ("/teams/risk/retention/", 0, {"stage": "dev", "then": "delete", "action": "save"}, MAY_OWN),
    ("/retention/", 0, {"stage": "dev", "then": "delete", "action": "save"}, [403] * 6 + [302, "login"]),
    ("/teams/risk/storage/", 0, {"hard": "5 GiB", "action": "save"}, [403] * 6 + [302, "login"]),
    ("/storage/", 0, {"action": "drop"}, [403] * 6 + [302, "login"]),
    (H, 0, {"action": "pause"}, MAY_MANAGE),
    (H, 0, {"action": "redeliver"}, MAY_MANAGE),
    (H, 0, {"action": "rotate", "hours": "1"}, OF_ADMINS),
    (H + "edit/", 0, {"action": "delete"}, MAY_MANAGE),
    (H + "deliveries/{message}/", 0, {}, MAY_MANAGE),
    ("/policies/", 0, {"rules": "{{}}", "action": "save"}, [403] * 6 + [302, "login"]),
    ("/deployments/{waiting}/start/", 0, {}, MAY_RETIRE),
    ("/deployments/{waiting}/call-off/", 0, {}, MAY_RETIRE),
    (V + "deploy/", 2, {"environment": "eu"}, MAY_RETIRE),
    (M + "deployments/rollback/?environment=eu", 0, {"reason": "Slow."}, MAY_RETIRE),
    ("/environments/new/", 0, {**ENVIRONMENT, "name": "us", "team": "{team}"}, MAY_MANAGE),
    ("/environments/eu/", 0, {**ENVIRONMENT, "site": "Brno"}, MAY_MANAGE),
    ("/environments/eu/delete/", 0, {"delete-reason": "Gone."}, MAY_MANAGE),
    (V + "move/", 2, {"to": "archived"}, MAY_RETIRE),
    (V + "delete/", 4, {}, MAY_OWN),
    (V + "hold/", 3, {"reason": "Case 7."}, MAY_MANAGE),
    (M + "settings/hold/", 0, {"hold-reason": "Case 7."}, MAY_MANAGE),
    ("/teams/risk/", 0, {"name": "Risk"}, MAY_MANAGE),
    ("/teams/risk/members/", 0, {"username": "charlie", "role": "viewer"}, MAY_MANAGE),
    ("/teams/risk/members/dave/remove/", 0, {}, MAY_MANAGE),
    ("/people/dave/leaving/", 0, {"heir": "alice"}, [403] * 6 + [302, "login"]),
    ("/teams/risk/service-accounts/", 0, {"name": "new-bot", "role": "owner"}, MAY_MANAGE),
    ("/teams/risk/service-accounts/bot/", 0, {"action": "deactivate"}, MAY_MANAGE),
    ("/account/", 0, {"first_name": "New", "notice_mode": "digest"}, GOES_ON),
    ("/account/theme/", 0, {"theme": "dark"}, [302] * 8),
    ("/account/sessions/999/end/", 0, {}, [404] * 7 + ["login"]),
    ("/account/sessions/end-others/", 0, {}, GOES_ON),
    ("/account/tokens/", 0, {"name": "ci", "scopes": "read"}, READS),
    ("/account/tokens/{token}/revoke/", 0, {}, OWN_OR_ADMIN),
]


@contextmanager
def undone():
    """Whatever happens inside never happened."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def outcome(response):
    if response.status_code == 302 and response["Location"].startswith("/login/"):
        return "login"
    if response.streaming:
        b"".join(response.streaming_content)
    return response.status_code


@pytest.fixture
def shown(people, pages, model, private):
    """Both models, each with an alias to take away, a version to delete, a request for v3, an emergency, and bob's
    token. Everyone is logged in. Each model with what its addresses and forms hold.
    """
    token(people.bob)
    service_accounts.create_account("bot", roles={people.risk: "contributor"}, by=people.erin)
    runs.create_run(by=Actor.system(), uid=RUN)
    hook = webhooks.create_webhook(
        "hook", url=AWAY, events=["version.moved"], scheme="standard", by=people.erin
    )
    message = Delivery.objects.create(webhook=hook, uid="d-1", name="version.moved", body="{}")
    eu = environments.set_up("eu", team=people.risk, by=people.root)
    environments.set_up("lab", team=people.risk, followed="staging", start="manual", by=people.root)
    found = {}
    for key, one in (("model", model), ("private", private)):
        v3 = get_version(one.name, 3, by=people.root)
        asked = promotions.ask(v3, to=Stage.PRODUCTION, by=people.bob)
        lifecycle.set_alias(one, name="there", version=v3, by=people.bob)
        builders.version(one, by=people.bob)
        burning = builders.complete_version(one, by=people.bob)
        emergency = promotions.break_glass(burning, to=Stage.STAGING, by=people.erin, reason="It burns.")
        waiting = Deployment.objects.latest("pk")
        for number in (1, 2):
            made = deployments.deploy(get_version(one.name, number, by=people.root), eu, by=people.root)
            deployment_reports.report(made, state="live", by=people.root)
        found[key] = {
            "deployment": made.pk,
            "waiting": waiting.pk,
            "team": people.risk.pk,
            "model": one.name,
            "run": RUN,
            "token": ApiToken.objects.get().pk,
            "request": asked.pk,
            "evidence": asked.evidence,
            "emergency": emergency.pk,
            "incident": Incident.objects.create(model=one).pk,
            "hook": hook.uid,
            "message": message.uid,
        }
    for who in WHO:
        getattr(pages, who)
    return found


RUN = "0" * 31 + "1"
# An address, so that no name is looked up; nothing is sent to it.
AWAY = "https://93.184.215.14/"


def read(pages, ids, who=WHO):
    """What these people are told at each address, by path of the table."""
    return {
        path: [outcome(getattr(pages, one).get(path.format(**ids, number=1))) for one in who] for path in GET
    }


def sent(pages, people, ids, who=WHO):
    """What these people are told for each form, each sent to an untouched registry."""
    told = []
    for path, number, data, _ in POST:
        address = path.format(**ids, number=number)
        answers = []
        for one in who:
            fields = {
                key: SimpleUploadedFile("model.bin", value)
                if isinstance(value, bytes)
                else value.format(**ids)
                for key, value in data.items()
            }
            with undone():
                if path == M + "delete/":
                    retire(ids["model"], people)
                answers.append(outcome(getattr(pages, one).post(address, fields)))
        told.append((path, number, data, answers))
    return told


def retire(name, people):
    for environment in environments.environments_for(people.root):
        deployments.take_down(environment, by=people.root, reason="Gone.")
    model = get_model(name, by=people.root)
    for version in model.versions.filter(stage__in=[Stage.PRODUCTION, Stage.STAGING]):
        promotions.move(version, to=Stage.ARCHIVED, by=people.root)


def hidden(path, expected, who):
    """What these people hear when the model is private: to a stranger, whatever belongs to it does not exist."""
    about = ("{model}", "{request}", "{emergency}", "{incident}", "{deployment}", "{waiting}")
    private = any(word in path for word in about)
    return [404 if one == "charlie" and private else expected[WHO.index(one)] for one in who]


def differences(found, expected):
    return [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]]


def test_pages_open_for_whom_the_table_says(pages, shown):
    found = read(pages, shown["model"])
    assert differences(found.items(), GET.items()) == []


def test_pages_of_private_models_do_not_exist_for_strangers(pages, shown):
    who = ["dave", "charlie", "root", "anonymous"]
    expected = {path: hidden(path, told, who) for path, told in GET.items()}
    assert differences(read(pages, shown["private"], who).items(), expected.items()) == []


def test_a_public_site_shows_everyone_what_is_not_private(pages, shown, settings):
    settings.PUBLIC_READ = True
    for path, [told] in read(pages, shown["model"], ["anonymous"]).items():
        assert told == (GET[path][0] if path in PUBLIC else "login"), path
    for path, [told] in read(pages, shown["private"], ["anonymous"]).items():
        if "{model}" in path:
            assert told == (404 if path in PUBLIC else "login"), path


def test_forms_are_taken_from_whom_the_table_says(pages, people, shown):
    assert differences(sent(pages, people, shown["model"]), POST) == []


def test_forms_about_private_models_do_not_exist_for_strangers(pages, people, shown):
    who = ["dave", "charlie", "anonymous"]
    expected = [(path, number, data, hidden(path, told, who)) for path, number, data, told in POST]
    assert differences(sent(pages, people, shown["private"], who), expected) == []


def test_pages_that_only_take_forms_say_so_to_get(pages, shown):
    for path, number, _, _ in POST:
        if path.partition("?")[0] not in GET:
            address = path.format(**shown["model"], number=number)
            answer = pages.root.get(address)
            assert answer.status_code == 405, path
            assert answer["Allow"] == "POST"


def test_every_page_is_in_the_table():
    paths = [*GET, *(path for path, *_ in POST)]
    ids = {"model": "risk/x", "run": RUN, "hook": "h", "message": "m"}
    numbers = ("number", "token", "request", "emergency", "incident", "deployment", "waiting")
    ids |= dict.fromkeys(numbers, 1)
    tried = {resolve(path.format(**ids).partition("?")[0]).view_name for path in paths}
    assert sorted({name for _, name, _ in ROWS if name.startswith("web:")} - tried) == []
