"""Environments follow stages and aliases: queued, deployed, live, failed, rolled back, and never twice by itself."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from models_app.models import Deployment, Notice, OutboxEvent, Stage
from models_app.registry import (
    catalog,
    deployment_checks,
    deployment_claims,
    deployment_reports,
    deployment_views,
    deployments,
    environments,
    lifecycle,
    promotions,
    service_accounts,
)
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict, Forbidden, Invalid, Mismatch, NothingToDo, Unauthenticated
from models_app.tasks.deployments import keep_up
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.receiver import receiver


@pytest.fixture
def model(people):
    return builders.model(by=people.alice, owner="alice")


def eu(people, name="eu", **fields):
    return environments.set_up(
        name, by=people.root, **{"serving_address": "https://{name}.{environment}.example.com", **fields}
    )


def promote(model, people):
    return builders.promoted(model, by=people.alice, approver=people.carol)


def states(environment):
    rows = Deployment.objects.filter(environment=environment).order_by("id")
    return [(row.version.number, row.state) for row in rows.select_related("version")]


def newest(environment):
    return Deployment.objects.filter(environment=environment).order_by("-id").first()


def report(environment, state, people, **more):
    return deployment_reports.report(newest(environment), by=people.root, state=state, **more)


def go_live(model, environment, people):
    version = promote(model, people)
    report(environment, "live", people)
    return version


def emitted(name):
    return OutboxEvent.objects.filter(name=name).order_by("-id").first().payload


# --- what follows ---------------------------------------------------------------------------------------------


def test_a_promotion_deploys_where_it_is_followed_and_the_next_goes_back_to_it(people, model):
    one, staging = eu(people), eu(people, "staging", followed="staging")
    v1 = go_live(model, one, people)
    v2 = promote(model, people)
    second = newest(one)
    assert states(one) == [(1, "live"), (2, "deploying")]
    assert states(staging) == []
    assert second.rollback_target == v1
    assert second.transition.version == v2
    told = emitted("deployment.started")
    assert told["version"] == 2
    assert told["digest"] == v2.manifest.digest
    assert told["rollback_target"] == 1
    assert told["serving_address"] == "https://fraud-detector.eu.example.com"
    report(one, "live", people, endpoint="https://there.example.com", digest=v2.manifest.digest)
    assert states(one) == [(1, "superseded"), (2, "live")]
    over = emitted("deployment.superseded")
    assert (over["version"], over["state"], over["text"]) == (1, "superseded", "Replaced by version 2.")
    v2.refresh_from_db()
    assert v2.serving_endpoint == "https://there.example.com"


@pytest.mark.parametrize(
    ("fields", "follows"),
    [
        ({"name_pattern": "risk/*"}, True),
        ({"name_pattern": "vision/*"}, False),
        ({"tag": "tier"}, True),
        ({"tag": "tier=1"}, True),
        ({"tag": "tier=2"}, False),
        ({"tag": "absent"}, False),
        ({"followed": "staging"}, False),
    ],
)
def test_which_models_an_environment_takes(people, fields, follows):
    model = builders.model(by=people.alice, tags={"tier": "1"})
    environment = eu(people, **fields)
    promote(model, people)
    assert bool(states(environment)) == follows


def test_an_environment_of_a_team_takes_its_models_only(people, model):
    ours = environments.set_up("risk-eu", team=people.risk, by=people.erin)
    theirs = eu(people, "theirs", for_team=people.vision)
    promote(model, people)
    assert states(ours) == [(1, "deploying")]
    assert states(theirs) == []
    with pytest.raises(Invalid, match="for_team"):
        environments.change(ours, for_team=None, by=people.erin)


def test_an_alias_brings_and_calls_off(people, model):
    environment = eu(people, follows="alias", followed="champion", start="manual")
    v1, v2 = builders.version(model, by=people.alice), builders.version(model, by=people.alice)
    lifecycle.set_alias(model, name="champion", version=v1, by=people.alice)
    lifecycle.set_alias(model, name="champion", version=v2, by=people.alice)
    assert states(environment) == [(1, "superseded"), (2, "queued")]
    lifecycle.delete_alias(model, name="champion", by=people.alice)
    assert states(environment) == [(1, "superseded"), (2, "superseded")]


def test_a_promotion_while_another_is_deployed_waits_and_the_newest_goes_next(people, model):
    environment = eu(people)
    for _ in range(3):
        promote(model, people)
    assert states(environment) == [(1, "deploying"), (2, "superseded"), (3, "queued")]
    deployment_reports.report(Deployment.objects.earliest("id"), by=people.root, state="live")
    assert states(environment) == [(1, "live"), (2, "superseded"), (3, "deploying")]


# --- failure --------------------------------------------------------------------------------------------------


def test_failure_goes_back_moves_the_stage_and_does_not_try_again(people, model):
    one, other = eu(people), eu(people, "us")
    v1 = go_live(model, one, people)
    report(other, "live", people)
    v2 = promote(model, people)
    report(other, "live", people)
    report(one, "failed", people, reason="It crashes.")
    v1.refresh_from_db()
    v2.refresh_from_db()
    assert (v1.stage, v2.stage) == (Stage.PRODUCTION, Stage.ARCHIVED)
    assert "It crashes." in lifecycle.history(model).first().reason
    assert states(one) == [(1, "live"), (2, "failed"), (1, "deploying")]
    # The other follows the stage: it goes back with it.
    assert states(other) == [(1, "superseded"), (2, "live"), (1, "deploying")]
    report(one, "live", people)
    assert states(one) == [(1, "superseded"), (2, "rolled_back"), (1, "live")]
    assert emitted("deployment.rolled_back")["version"] == 2
    report(other, "live", people)
    promotions.move(v2, to=Stage.PRODUCTION, by=people.carol, reason="again")
    assert states(one)[-1] == (2, "queued")
    # There it was well.
    assert states(other)[-1] == (2, "deploying")
    deployments.deploy(v2, one, by=people.alice, reason="It was the disk.")
    assert states(one)[-2:] == [(2, "superseded"), (2, "deploying")]


def test_nothing_goes_back_to_what_has_failed(people, model):
    environment = eu(people)
    v1 = go_live(model, environment, people)
    failed, overtook = promote(model, people), promote(model, people)
    deployment_reports.report(Deployment.objects.get(version=failed), by=people.root, state="failed")
    assert states(environment) == [(1, "live"), (2, "failed"), (3, "deploying")]
    overtook.refresh_from_db()
    assert (overtook.stage, overtook.rollback_target) == (Stage.PRODUCTION, v1)
    report(environment, "failed", people)
    v1.refresh_from_db()
    assert v1.stage == Stage.PRODUCTION
    assert states(environment)[2:] == [(3, "failed"), (1, "deploying")]


def test_a_rollback_that_fails_is_the_end(people, model):
    environment = eu(people)
    go_live(model, environment, people)
    promote(model, people)
    report(environment, "failed", people)
    report(environment, "failed", people, reason="No disk.")
    assert states(environment) == [(1, "live"), (2, "failed"), (1, "failed")]
    assert emitted("deployment.failed")["kind"] == "rollback"


def test_what_has_nothing_to_go_back_to_leaves_the_stage_all_the_same(people, model):
    environment = eu(people)
    v1 = promote(model, people)
    report(environment, "failed", people)
    v1.refresh_from_db()
    assert v1.stage != Stage.PRODUCTION
    assert states(environment) == [(1, "failed")]


def test_what_runs_or_is_gone_back_to_cannot_be_deleted(people, model):
    environment = eu(people)
    v1 = go_live(model, environment, people)
    v2 = go_live(model, environment, people)
    promotions.move(v2, to=Stage.ARCHIVED, by=people.carol)
    with pytest.raises(Conflict, match="deployed in eu, and would be rolled back to v1"):
        catalog.delete_version(v1, by=people.alice)
    deployments.take_down(environment, reason="The site is closed.", by=people.root)
    catalog.delete_model(model, by=people.alice)


# --- by hand --------------------------------------------------------------------------------------------------


def test_who_may_order_and_what(people, model):
    environment = eu(people, deploy_role="approver", kind="agent")
    bare = builders.version(model, by=people.alice)
    with pytest.raises(Conflict, match="never was in production"):
        deployments.deploy(bare, environment, by=people.carol)
    v2 = promote(model, people)
    for actor in (people.alice, people.bob, people.charlie):
        with pytest.raises(Forbidden, match="takes the role approver"):
            deployments.deploy(v2, environment, by=actor)
    deployments.deploy(v2, environment, by=people.carol)
    environments.change(environment, deploy_team=people.vision, by=people.root)
    deployments.deploy(v2, environment, by=people.charlie)
    assert states(environment) == [(2, "superseded"), (2, "superseded"), (2, "queued")]


def test_in_a_freeze_everything_waits_but_rollbacks(people, model):
    environment = eu(people)
    go_live(model, environment, people)
    now = timezone.now()
    freeze = {
        "from": now.isoformat(),
        "until": (now + timedelta(hours=1)).isoformat(),
        "reason": "Inventory.",
    }
    environments.change(environment, freezes=[freeze], by=people.root)
    v2 = promote(model, people)
    assert states(environment) == [(1, "live"), (2, "queued")]
    with pytest.raises(Conflict, match="Inventory"):
        deployments.deploy(v2, environment, by=people.alice)
    with pytest.raises(Invalid, match="reason"):
        deployments.deploy(v2, environment, by=people.root, past_freeze=True)
    with pytest.raises(Forbidden):
        deployments.deploy(v2, environment, by=people.alice, reason="Now.", past_freeze=True)
    assert deployment_checks.start_waiting() == 0
    later = now + timedelta(hours=2)
    with mock.patch.object(timezone, "now", return_value=later):
        assert deployment_checks.start_waiting() == 1
    report(environment, "live", people)
    (back,) = deployments.roll_back(model, environment, by=people.alice, reason="Too slow.")
    assert (back.state, back.version.number) == ("deploying", 1)
    report(environment, "live", people)
    assert states(environment) == [(1, "superseded"), (2, "rolled_back"), (1, "live")]


def test_what_is_started_by_hand_waits_for_it(people, model):
    environment = eu(people, start="manual")
    promote(model, people)
    waiting = newest(environment)
    assert (waiting.state, deployment_views.waits_for(waiting)) == ("queued", "somebody to start it")
    with pytest.raises(Forbidden):
        deployments.start(waiting, by=people.bob)
    assert deployments.start(waiting, by=people.alice).state == "deploying"
    with pytest.raises(NothingToDo):
        deployments.start(waiting, by=people.alice)
    with pytest.raises(Conflict, match="waits no more"):
        deployments.call_off(waiting, by=people.alice)


def test_everything_goes_back_at_once(people, model):
    one, two, staging = eu(people), eu(people, "us", kind="agent"), eu(people, "lab", followed="staging")
    v1 = go_live(model, one, people)
    for environment in (two,):
        report(environment, "live", people)
    v2 = go_live(model, one, people)
    deployment_claims.claim(two, agent="a", by=people.root)
    made = deployments.roll_back(model, by=people.alice, reason="Wrong labels.")
    assert {(row.environment.name, row.version.number, row.state) for row in made} == {
        ("eu", 1, "deploying"),
        ("us", 1, "queued"),
    }
    v1.refresh_from_db()
    v2.refresh_from_db()
    assert (v1.stage, v2.stage) == ("production", "archived")
    assert states(two) == [(1, "live"), (2, "failed"), (1, "queued")]
    assert states(staging) == []
    with pytest.raises(Conflict, match="on its way back already"):
        deployments.roll_back(model, by=people.alice, reason="Again.")


# --- deployers ------------------------------------------------------------------------------------------------


def test_who_speaks_for_an_environment(people, model):
    ours = environments.set_up("risk-eu", team=people.risk, by=people.erin)
    everybodys = eu(people)
    promote(model, people)
    robot = Actor.of(
        service_accounts.create_account("robot", roles={people.risk: "contributor"}, by=people.erin),
        door="api",
    )
    for actor in (people.bob, people.charlie, people.anonymous):
        with pytest.raises((Forbidden, Unauthenticated)):
            deployment_reports.report(newest(ours), by=actor, state="live")
    with pytest.raises(Forbidden):
        deployment_reports.report(newest(everybodys), by=robot, state="live")
    environments.change(everybodys, deploy_team=people.risk, by=people.root)
    for environment in (ours, everybodys):
        done = deployment_reports.report(
            newest(environment), by=robot, state="live", lines=["a", {"url": "https://x.example"}]
        )
        assert (done.state, done.line_count) == ("live", 2)


def test_what_is_not_declared_is_not_believed(people, model):
    environment = eu(people)
    promote(model, people)
    with pytest.raises(Mismatch):
        report(environment, "live", people, version=7)
    with pytest.raises(Mismatch):
        report(environment, "live", people, digest="0" * 64)
    endpoints = ["javascript:alert(1)", "ftp://x.example/", "https://u:p@x.example/", "https://u@x.example"]
    for bad in [
        {"lines": [{"what": "?"}]},
        {"lines": ["x"] * 201},
        *({"endpoint": one} for one in endpoints),
    ]:
        with pytest.raises(Invalid):
            report(environment, "live", people, **bad)
    assert states(environment) == [(1, "deploying")]


def test_agents_share_by_lease_and_go_on_where_they_were(people):
    environment = eu(people, kind="agent")
    models = [builders.model(name, by=people.alice) for name in ("risk/a", "risk/b")]
    for model in models:
        promote(model, people)

    def claim(agent):
        taken = deployment_claims.claim(environment, agent=agent, by=people.root)
        return taken and (taken.model.name, taken.state)

    assert claim("one") == ("risk/a", "deploying")
    assert claim("one") == ("risk/a", "deploying")
    assert claim("two") == ("risk/b", "deploying")
    assert claim("three") is None
    first = Deployment.objects.get(model=models[0])
    with pytest.raises(Conflict, match="agent one"):
        deployment_reports.report(first, by=people.root, state="live", agent="two")
    later = timezone.now() + timedelta(seconds=61)
    with mock.patch.object(timezone, "now", return_value=later):
        deployment_claims.renew(first, agent="one", by=people.root)
        assert claim("three") == ("risk/b", "deploying")
    with pytest.raises(Conflict):
        deployment_claims.renew(Deployment.objects.get(model=models[1]), agent="two", by=people.root)


def test_time_runs_out(people, model):
    environment = eu(people, timeout=60)
    go_live(model, environment, people)
    promote(model, people)
    later = timezone.now() + timedelta(seconds=61)
    assert deployment_checks.fail_late() == 0
    with mock.patch.object(timezone, "now", return_value=later):
        assert deployment_checks.fail_late() == 1
    assert states(environment) == [(1, "live"), (2, "failed"), (1, "deploying")]
    failed = Deployment.objects.get(state="failed")
    assert failed.failure == (
        "No word of success within 60 seconds. No webhook hears of deployment.started there."
    )


def test_health_decides(people, model, settings):
    settings.OUTBOUND_ALLOW, settings.WEBHOOK_SCHEMES = ["127.0.0.1"], ["http"]
    with receiver() as there:
        environment = eu(people, health_check=there.url + "/{version}", health_window=60)
        promote(model, people)
        report(environment, "live", people)
        assert states(environment) == [(1, "verifying")]
        there.answer(503)
        later = timezone.now()
        for status in (503, 200, 200):
            there.answer(status)
            later += deployment_checks.CHECK_EVERY
            with mock.patch.object(timezone, "now", return_value=later):
                keep_up()
        assert states(environment) == [(1, "live")]
        assert there.received[-1].path == "/hook/1"
        promote(model, people)
        report(environment, "verifying", people)
        settings.OUTBOUND_ALLOW = []
        keep_up()
        assert "not a public address" in newest(environment).last_check
        with mock.patch.object(timezone, "now", return_value=later + timedelta(seconds=90)):
            keep_up()
    assert states(environment) == [(1, "live"), (2, "failed"), (1, "deploying")]


def test_the_owners_are_told(people, model, settings):
    settings.MAIL_IS_ON = True
    environment = eu(people)
    go_live(model, environment, people)
    promote(model, people)
    report(environment, "failed", people, reason="No memory.")
    report(environment, "live", people)
    dispatch()
    told = Notice.objects.filter(user=people.alice.user, name__startswith="deployment.").order_by("id")
    assert [row.subject for row in told] == [
        "Failed in eu: risk/fraud-detector v2",
        "Rolled back in eu: risk/fraud-detector v2, v1 serves again",
    ]


# --- what is seen ---------------------------------------------------------------------------------------------


def test_the_matrix_shows_what_is_and_what_differs(people, model, django_assert_num_queries):
    one, two = eu(people), eu(people, "us")
    go_live(model, one, people)
    report(two, "failed", people)
    deployment_reports.observed(model, one, by=people.root, version=3)
    models = list(deployment_views.deployed_models(people.dave))
    with django_assert_num_queries(3):
        (row,) = deployment_views.matrix(models, by=people.dave)
        first, second = row.cells
        assert (first.state, first.drift) == ("drift", "runs v3, v1 is declared")
    assert second.state == "failed"
    assert [one.model for one in deployment_views.drifting(by=people.dave)] == [model]
    deployment_reports.observed(
        model, one, by=people.root, version=1, digest=first.live.version.manifest.digest
    )
    assert not deployment_views.drifting(by=people.dave).exists()
    assert [cell.environment.name for cell in deployment_views.of_model(model, by=people.dave)] == [
        "eu",
        "us",
    ]
    assert deployment_views.serving([first.live.version])[first.live.version_id] == [first.live]
