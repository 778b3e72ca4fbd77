"""Pages and lists cost the same number of queries with one row as with twenty, and the number is written down.

A new address that answers GET goes into ROUTES (by URL name, with a path that has something to show), or into UNCOUNTED
with the reason. `WRITE=1 script/test tests/house/test_query_counts.py` writes query_counts.json anew.
"""

import uuid

import pytest
from django.test import Client

from models_app.models import (
    AuditCheckpoint,
    Dataset,
    Delivery,
    DeliveryAttempt,
    Deployment,
    Incident,
    LegalHold,
    ModelVersion,
    Policy,
    PromotionRequest,
    RetentionPolicy,
    Run,
    Stage,
    Threshold,
    User,
    Verdict,
    Webhook,
)
from models_app.registry import (
    catalog,
    checks,
    deployment_reports,
    deployments,
    environments,
    holds,
    observations,
    policies,
    promotions,
    retention,
    reviews,
    runs,
    service_accounts,
    storage_count,
    tags,
    thresholds,
    webhooks,
)
from models_app.registry import people as people_verbs
from models_app.registry.access import get_model, get_version
from tests import builders
from tests.house import query_counts
from tests.house.test_urls import ROWS
from tests.people import token

pytestmark = pytest.mark.long

# URL name → path. People log in for pages; for `api:` the path is called with a token.
ROUTES = {
    "web:search": "/",
    "web:model": "/models/risk/m0/",
    "web:model_versions": "/models/risk/m0/versions/",
    "web:model_lineage": "/models/risk/m0/lineage/",
    "web:model_monitoring": "/models/risk/m0/monitoring/",
    "web:model_activity": "/models/risk/m0/activity/",
    "web:model_compliance": "/models/risk/m0/compliance/",
    "web:model_settings": "/models/risk/m0/settings/",
    "web:upload_version": "/models/risk/m0/upload/",
    "web:compare": "/models/risk/m0/compare/1...2/",
    "web:version": "/models/risk/m0@1/",
    "web:version_edit": "/models/risk/m0@1/edit/",
    "web:version_file": "/models/risk/m0@1/files/model.bin",
    "web:rollback": "/models/risk/m0/rollback/",
    "web:register_model": "/register/",
    "web:profile": "/account/",
    "web:second_factor": "/account/second-factor/",
    "web:security": "/account/security/",
    "web:password": "/account/password/",
    "web:tokens": "/account/tokens/",
    "web:teams": "/teams/",
    "web:team": "/teams/risk/",
    "web:service_account": "/teams/risk/service-accounts/bot/",
    "web:leaving": "/people/alice/leaving/",
    "web:approvals": "/approvals/?tab=asked",
    "web:promotion": "/approvals/{request}/",
    "web:policies": "/policies/?stage=archived",
    "web:team_policies": "/teams/risk/policies/",
    "web:deployments": "/deployments/",
    "web:deployment": "/deployments/{deployment}/",
    "web:deployment_progress": "/deployments/{deployment}/progress/",
    "web:environments": "/environments/",
    "web:environment": "/environments/eu/",
    "web:environment_new": "/environments/new/",
    "web:model_deployments": "/models/risk/m0/deployments/",
    "web:deployment_history": "/models/risk/m0/deployments/eu/",
    "web:deployments_roll_back": "/models/risk/m0/deployments/rollback/",
    "web:version_deploy": "/models/risk/m0@1/deploy/",
    "web:retention": "/retention/",
    "web:webhooks": "/webhooks/",
    "web:webhook_new": "/webhooks/new/",
    "web:webhook": "/webhooks/{hook}/",
    "web:webhook_edit": "/webhooks/{hook}/edit/",
    "web:webhook_delivery": "/webhooks/{hook}/deliveries/{message}/",
    "web:team_retention": "/teams/risk/retention/",
    "web:incident": "/incidents/{incident}/",
    "web:storage": "/storage/",
    "web:team_storage": "/teams/risk/storage/",
    "web:help_clients": "/help/clients/",
    "web:run": "/runs/{run}/",
    "web:audit": "/audit/",
    "web:audit_csv": "/audit/export.csv",
    "web:audit_jsonl": "/audit/export.jsonl",
    "api:audit": "/api/v1/audit",
    "api:audit_export": "/api/v1/audit/export",
    "api:audit_checkpoint": "/api/v1/audit/checkpoint",
    "api:me": "/api/v1/me",
    "api:models": "/api/v1/models",
    "api:model": "/api/v1/models/risk/m0",
    "api:card_template": "/api/v1/models/risk/m0/card/template",
    "api:compliance": "/api/v1/models/risk/m0/compliance",
    "api:bundle": "/api/v1/models/risk/m0/versions/1/bundle.zip",
    "api:transitions": "/api/v1/models/risk/m0/transitions",
    "api:versions": "/api/v1/models/risk/m0/versions",
    "api:version": "/api/v1/models/risk/m0/versions/1",
    "api:storage": "/api/v1/storage",
    "api:storage_team": "/api/v1/storage/teams/risk",
    "api:storage_model": "/api/v1/storage/models/risk/m0",
    "api:storage_version": "/api/v1/storage/models/risk/m0/versions/1",
    "api:files": "/api/v1/models/risk/m0/versions/1/files",
    "api:file": "/api/v1/models/risk/m0/versions/1/files/model.bin",
    "api:lineage": "/api/v1/models/risk/m0/versions/1/lineage",
    "api:requests": "/api/v1/requests",
    "api:requests_waiting": "/api/v1/requests/waiting",
    "api:request": "/api/v1/requests/{request}",
    "api:policies": "/api/v1/policies",
    "api:policy": "/api/v1/policies/{policy}",
    "api:retention": "/api/v1/retention",
    "api:retention_policy": "/api/v1/retention/{retention}",
    "api:holds": "/api/v1/holds",
    "api:hold": "/api/v1/holds/{hold}",
    "api:checks": "/api/v1/models/risk/m0/versions/1/checks",
    "api:explain": "/api/v1/models/risk/m0/versions/3/explain",
    "api:requirements": "/api/v1/models/risk/m0/versions/1/requirements",
    "api:compare": "/api/v1/compare?model=risk/m0&versions=1,2",
    "api:all_versions": "/api/v1/versions",
    "api:stage": "/api/v1/stages/production",
    "api:runs": "/api/v1/runs",
    "api:run": "/api/v1/runs/{run}",
    "api:run_metrics": "/api/v1/runs/{run}/metrics",
    "api:datasets": "/api/v1/datasets",
    "api:dataset": "/api/v1/datasets/{dataset}",
    "api:search": "/api/v1/search?q=m0",
    "api:facets": "/api/v1/search/facets",
    "api:environments": "/api/v1/environments",
    "api:environment": "/api/v1/environments/eu",
    "api:environment_running": "/api/v1/environments/eu/running",
    "api:deployments": "/api/v1/deployments",
    "api:deployment": "/api/v1/deployments/{deployment}",
    "api:deployment_lines": "/api/v1/deployments/{deployment}/lines",
    "api:deployment_observations": "/api/v1/deployments/{deployment}/observations",
    "api:thresholds": "/api/v1/thresholds",
    "api:threshold": "/api/v1/thresholds/{threshold}",
    "api:incidents": "/api/v1/incidents",
    "api:incident": "/api/v1/incidents/{incident}",
    "api:tokens": "/api/v1/tokens",
    "api:webhooks": "/api/v1/webhooks",
    "api:webhook": "/api/v1/webhooks/{hook}",
    "api:deliveries": "/api/v1/webhooks/{hook}/deliveries",
    "api:delivery": "/api/v1/webhooks/{hook}/deliveries/{message}",
    "api:teams": "/api/v1/teams",
    "api:team": "/api/v1/teams/risk",
    "api:service_accounts": "/api/v1/teams/risk/service-accounts",
    "api:service_tokens": "/api/v1/teams/risk/service-accounts/bot/tokens",
}
# URL name → why there is no number for it.
CHANGES = "changes something"
UPLOADS = "of a session of uploads, counted for one file and for many in tests/api/test_uploads.py"
UNCOUNTED: dict[str, str] = {
    "api:uploads": UPLOADS,
    "api:upload": UPLOADS,
    "api:upload_files": UPLOADS,
    "api:upload_targets": UPLOADS,
    "api:upload_bundle": UPLOADS,
    "api:upload_complete": UPLOADS,
    "api:upload_seal": UPLOADS,
    "api:upload_part": UPLOADS,
    "api:schema": "asks no database",
    "api:docs": "asks no database",
    "api:archive": "streams: its queries are those of api:files",
    "api:storage_quota": CHANGES,
    "api:rename": CHANGES,
    "api:rollback": CHANGES,
    "api:alias": CHANGES,
    "api:metrics": CHANGES,
    "api:stage_move": CHANGES,
    "api:request_open": CHANGES,
    "api:break_glass": CHANGES,
    "api:request_review": CHANGES,
    "api:request_comment": CHANGES,
    "api:request_reviewers": CHANGES,
    "api:request_withdraw": CHANGES,
    "api:request_review_after": CHANGES,
    "api:policy_dry_run": "asks as api:requirements does",
    "api:run_log": CHANGES,
    "api:token": CHANGES,
    "api:service_account": CHANGES,
    "api:service_token": CHANGES,
    "api:service_token_rotate": CHANGES,
    "web:service_account_create": CHANGES,
    "api:webhook_test": CHANGES,
    "api:webhook_rotate": CHANGES,
    "api:deliveries_again": CHANGES,
    "api:delivery_again": CHANGES,
    "api:environment_claim": CHANGES,
    "api:environment_declared": "of environments with agents; counted in tests/api/test_deployments.py",
    "api:deployment_rollback": CHANGES,
    "api:deployment_start": CHANGES,
    "api:deployment_call_off": CHANGES,
    "api:deployment_report": CHANGES,
    "api:deployment_renew": CHANGES,
    "web:incident_acknowledge": CHANGES,
    "web:incident_resolve": CHANGES,
    "api:incident_acknowledge": CHANGES,
    "api:incident_resolve": CHANGES,
    "web:theme": CHANGES,
    "web:deployment_start": CHANGES,
    "web:deployment_call_off": CHANGES,
    "web:environment_delete": CHANGES,
    "web:revoke_token": CHANGES,
    "web:end_session": CHANGES,
    "web:end_other_sessions": CHANGES,
    "web:set_member": CHANGES,
    "web:remove_member": CHANGES,
    "web:version_move": CHANGES,
    "web:version_alias": CHANGES,
    "web:version_delete": CHANGES,
    "web:version_hold": CHANGES,
    "api:hold_lift": CHANGES,
    "api:retention_dry_run": "a POST; asks as web:retention does",
    "web:model_hold": CHANGES,
    "web:version_request": CHANGES,
    "web:version_emergency": CHANGES,
    "web:promotion_review": CHANGES,
    "web:promotion_withdraw": CHANGES,
    "web:promotion_reviewers": CHANGES,
    "web:promotion_review_after": CHANGES,
    "web:model_rename": CHANGES,
    "web:model_delete": CHANGES,
    "web:compare_chosen": "redirects to web:compare",
    "web:version_bundle": "as api:bundle",
    "web:version_download": "streams: its queries are those of api:files",
    "web:version_download_tar": "streams: its queries are those of api:files",
}
REPORT = [{"title": "Report", "url": "https://reports.example.com/1"}]


def one_of_each(people) -> None:
    """The smallest registry in which every list has a row."""
    by, approver = people.alice, people.carol
    run = runs.create_run(
        by=by,
        name="nightly",
        params={"lr": "0.1"},
        metrics={"loss": 0.1},
        datasets=[{"name": "tx", "version": "1"}],
    )
    model = builders.model("risk/m0", by=by, purpose="Finds fraud.", card="# Card", owner="alice")
    environments.set_up("eu", by=people.root)
    first = builders.complete_version(
        model,
        by=by,
        run=run.uid,
        tags={"kind": "x"},
        aliases=["champion"],
        reports=REPORT,
        risk_flags=["biased"],
    )
    catalog.set_model_tags(model, tags={"domain": "payments"}, by=by)
    promotions.move(first, to=Stage.PRODUCTION, by=approver, reason="good")
    deployed(people)
    drifting(people)
    second = builders.complete_version(model, by=by, base_model="risk/m0@1", tags={"kind": "y"})
    promotions.move(second, to=Stage.PRODUCTION, by=approver, reason="better", keep_former=True)
    third = builders.version(model, by=by, metrics={"f1": 0.5})
    asked = promotions.ask(third, to=Stage.PRODUCTION, by=by)
    reviews.comment(asked, body="Look.", by=approver)
    reviews.review(asked, verdict=Verdict.APPROVED, by=approver)
    holds.place(model, version=third, by=people.erin, reason="Case 7")
    checks.report(third, name="load", state="success", by=by)
    policies.set_policy(stage=Stage.ARCHIVED, rules={"report": True}, by=people.root)
    policies.set_policy(
        stage=Stage.PRODUCTION, team=people.risk, rules={"approvals": {"count": 0}}, by=people.erin
    )
    retention.set_policy(stage=Stage.STAGING, keep_last=1, then="archive", by=people.root)
    checks.report(first, name="ci", state="success", by=by)
    AuditCheckpoint.objects.create(position=1, hash="0" * 64, public_key="", signature="")
    webhook(people)
    token(by)
    service_account(people, "bot")


def service_account(people, name: str) -> None:
    made = service_accounts.create_account(name, roles={people.risk: "contributor"}, by=people.erin)
    people_verbs.create_token(user=made, name="nightly", scopes=["read"], by=people.erin)


def webhook(people) -> None:
    url, events = "https://93.184.215.14/hook", ["promotion.requested"]
    webhooks.create_webhook("hook", url=url, events=events, scheme="standard", by=people.erin)
    message = Delivery.objects.create(
        webhook=Webhook.objects.earliest("pk"), uid=str(uuid.uuid4()), name=events[0], body="{}"
    )
    DeliveryAttempt.objects.create(delivery=message, at=message.created_at, url=url)


def deployed(people) -> None:
    """The newest deployment is live."""
    lines = [f"line {number}" for number in range(3)]
    deployment_reports.report(Deployment.objects.latest("pk"), state="live", lines=lines, by=people.root)


def drifting(people) -> None:
    """The newest deployment observes more than its model may; a version is trained because of it."""
    deployment = Deployment.objects.select_related("model").latest("pk")
    thresholds.add(deployment.model, name_pattern="psi", value=0.2, in_a_row=1, by=people.root)
    incident = beyond(people, deployment, "amount")
    answers(people, deployment.version, incident)


def answers(people, version: ModelVersion, incident: Incident) -> None:
    tags.set_version_tag(version, key="modelry.retrains", value=str(incident.pk), by=people.alice)


def beyond(people, deployment: Deployment, feature: str) -> Incident:
    batch = [{"name": "psi", "feature": feature, "value": 0.3}, {"name": "traffic", "value": 7}]
    found = observations.observe(deployment, observations=batch, by=people.root).incident
    assert found is not None
    return found


def many_of_each(people) -> None:
    """As `one_of_each`, and more of everything that a list may show."""
    by, approver = people.alice, people.carol
    model = get_model("risk/m0", by=by)
    for number in range(query_counts.MANY):
        run = runs.create_run(
            by=by, name=f"run {number}", metrics={"loss": 0.1}, datasets=[{"name": f"d{number}"}]
        )
        version = builders.complete_version(
            model, by=by, run=run.uid, tags={f"t{number}": "x"}, aliases=[f"a{number}"], reports=REPORT
        )
        promotions.move(version, to=Stage.STAGING, by=by, reason="next")
        other = builders.model(f"risk/n{number}", by=by, owner="alice")
        other_version = builders.complete_version(other, by=by, base_model="risk/m0@1")
        promotions.move(other_version, to=Stage.PRODUCTION, by=approver, reason="good")
        deployed(people)
        drifting(people)
        beyond(people, Deployment.objects.earliest("pk"), f"f{number}")
        answers(people, version, model.incidents.get())
        catalog.set_model_tags(other, tags={"domain": f"d{number}"}, by=by)
        holds.place(model, version=version, by=people.erin, reason=f"Case {number}")
        holds.place(other, by=people.root, reason=f"Case {number}")
        checks.report(get_version("risk/m0", 1, by=by), name=f"check {number}", state="success", by=by)
        promotions.ask(builders.version(other, by=by), to=Stage.PRODUCTION, by=by)
        reviews.comment(PromotionRequest.objects.order_by("pk")[0], body=f"Comment {number}.", by=approver)
        policies.set_policy(stage=Stage.STAGING, model=other, rules={}, by=people.erin)
        policies.set_policy(stage=Stage.ARCHIVED, rules={"hours_in_stage": number}, by=people.root)
    for number in range(query_counts.MANY):
        # Only now: promotions need not go to all of them.
        place = environments.set_up(f"e{number}", by=people.root)
        if number < 10:
            deployments.deploy(get_version("risk/m0", 2, by=by), place, by=people.root)
            deployed(people)
    bot = User.objects.get(username="bot")
    for number in range(10):
        webhook(people)
        token(by)
        service_account(people, f"bot-{number}")
        people_verbs.create_token(user=bot, name=f"t{number}", scopes=["read"], by=people.erin)


def read(response) -> None:
    """To the last byte: a stream asks while it is read."""
    if response.streaming:
        b"".join(response.streaming_content)


def measure(people, secret: str) -> dict[str, tuple[int, list[str]]]:
    page = Client(raise_request_exception=False)
    page.force_login(people.alice.user)
    api = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})
    # What takes an admin of the team.
    admin_page = Client(raise_request_exception=False)
    admin_page.force_login(people.erin.user)
    root_page = Client(raise_request_exception=False)
    root_page.force_login(people.root.user)
    admin_api = Client(headers={"Authorization": f"Bearer {token(people.erin)}"})
    ids = {
        "run": Run.objects.order_by("pk")[0].uid,
        "dataset": Dataset.objects.order_by("pk")[0].pk,
        "deployment": Deployment.objects.order_by("pk")[0].pk,
        "request": PromotionRequest.objects.order_by("pk")[0].pk,
        "policy": Policy.objects.order_by("pk")[0].pk,
        "retention": RetentionPolicy.objects.order_by("pk")[0].pk,
        "incident": Incident.objects.order_by("pk")[0].pk,
        "threshold": Threshold.objects.order_by("pk")[0].pk,
        "hold": LegalHold.objects.order_by("pk")[0].pk,
        "hook": Webhook.objects.order_by("pk")[0].uid,
        "message": Delivery.objects.order_by("pk")[0].uid,
    }
    there = {name for _, name, _ in ROWS}
    root_api = Client(headers={"Authorization": f"Bearer {token(people.root)}"})
    of_root = {
        "web:leaving": root_page,
        "web:environment_new": root_page,
        "web:storage": root_page,
        "api:storage": root_api,
    }
    found, refused = {}, []
    for name, path in ROUTES.items():
        if name not in there:
            continue
        path = path.format(**ids)
        of_admins = name.partition(":")[2].startswith(("audit", "bundle", "webhook", "deliver", "service"))
        pages, calls = (admin_page, admin_api) if of_admins else (page, api)
        client = of_root.get(name, calls if name.startswith("api:") else pages)
        first = client.get(path)  # also warms what is asked for once per process
        read(first)
        if first.status_code != 200:
            refused.append(f"{name}: {path} answers {first.status_code}")
            continue
        found[name] = query_counts.counted(lambda client=client, path=path: read(client.get(path)))
    assert not refused, "\n".join(refused)
    return found


@pytest.mark.sqlite_is_enough
def test_costs_stay_as_they_are(people):
    secret = token(people.alice)
    one_of_each(people)
    storage_count.count()
    with_one = measure(people, secret)
    many_of_each(people)
    storage_count.count()
    told = query_counts.problems(with_one, measure(people, secret))
    assert not told, "\n".join(told)


def test_every_address_is_counted_or_has_a_reason_not_to_be():
    assert ROUTES.keys() & UNCOUNTED.keys() == set()
    ours = {name for _, name, _ in ROWS if name.startswith(("web:", "api:"))}
    assert sorted(ours - ROUTES.keys() - UNCOUNTED.keys()) == []
    assert sorted((ROUTES.keys() | UNCOUNTED.keys()) - ours) == []
