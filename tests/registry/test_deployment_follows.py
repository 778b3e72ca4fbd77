"""Where stage and environment disagree: what waits for somebody, what goes back where, and that both are seen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import Deployment, Notice, Stage
from models_app.registry import (
    deployment_plans,
    deployment_reports,
    deployment_views,
    deployments,
    environments,
    lifecycle,
    promotions,
)
from models_app.registry.errors import Conflict, Forbidden
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.registry.test_deployments import emitted, eu, go_live, newest, promote, report, states


@pytest.fixture
def model(people):
    return builders.model(by=people.alice, owner="alice")


def cell(model, environment, people):
    [row] = deployment_views.matrix([model], by=people.dave, environments=[environment])
    return row.cells[0]


def in_trouble(people):
    return [one.name for one in deployment_views.deployed_models(people.dave, in_trouble=True)]


def production(model):
    current = lifecycle.current_production(model)
    return current and current.number


def frozen():
    now = timezone.now()
    until = now + timedelta(hours=1)
    return [{"from": now.isoformat(), "until": until.isoformat(), "reason": "Inventory."}]


# --- what waits for somebody ----------------------------------------------------------------------------------


def test_what_failed_here_waits_in_sight_till_somebody_starts_it(people, model, settings):
    settings.MAIL_IS_ON = True
    environment = eu(people)
    go_live(model, environment, people)
    v2 = promote(model, people)
    report(environment, "failed", people, reason="It crashes.")
    report(environment, "live", people)
    assert in_trouble(people) == []
    promotions.move(v2, to=Stage.PRODUCTION, by=people.carol, reason="again")
    waiting = newest(environment)
    assert (waiting.state, waiting.released, production(model)) == ("queued", False, 2)
    failed = Deployment.objects.get(version=v2, started_at__isnull=False)
    why = f"v2 failed here before (deployment {failed.pk})"
    assert deployment_views.waits_for(waiting) == f"somebody to start it: {why}"
    assert emitted("deployment.queued")["held"] == why
    seen = cell(model, environment, people)
    assert (seen.state, seen.held, seen.is_in_trouble) == ("queued", why, True)
    assert in_trouble(people) == [model.name]
    for told in (deployment_views.trouble_of(model), deployment_views.places_of(v2)):
        assert [(one.state, why in one.told) for one in told] == [("queued", True)]
    dispatch()
    subjects = Notice.objects.filter(user=people.alice.user).values_list("subject", flat=True)
    assert f"Waits to be started in eu: risk/fraud-detector v2, {why}" in subjects
    assert deployments.start(waiting, by=people.alice, reason="It was the disk.").state == "deploying"
    report(environment, "live", people)
    assert not cell(model, environment, people).is_in_trouble


def test_what_was_live_since_it_failed_once_has_not_failed(people, model):
    environment = eu(people)
    go_live(model, environment, people)
    v2 = promote(model, people)
    report(environment, "failed", people)
    report(environment, "live", people)
    deployments.deploy(v2, environment, by=people.alice)
    report(environment, "live", people)
    v3 = go_live(model, environment, people)
    promotions.move(v2, to=Stage.PRODUCTION, by=people.carol, reason="again")
    assert states(environment)[-1] == (2, "deploying")
    report(environment, "live", people)
    v3.refresh_from_db()
    assert (v3.stage, newest(environment).rollback_target) == ("archived", v3)


def test_who_moves_an_alias_but_may_not_deploy_waits_for_who_may(people, model):
    environment = eu(people, follows="alias", followed="champion")
    v1, v2 = (builders.version(model, by=people.bob) for _ in range(2))
    lifecycle.set_alias(model, name="champion", version=v1, by=people.bob)
    waiting = newest(environment)
    assert (waiting.state, waiting.held) == ("queued", "bob may not deploy here")
    assert cell(model, environment, people).is_in_trouble
    with pytest.raises(Forbidden):
        deployments.start(waiting, by=people.bob)
    deployments.start(waiting, by=people.alice)
    report(environment, "live", people)
    lifecycle.set_alias(model, name="champion", version=v2, by=people.alice)
    assert states(environment) == [(1, "live"), (2, "deploying")]


def test_a_stage_that_no_policy_guards_asks_who_may_deploy(people, model):
    lab, eu_ = eu(people, "lab", followed="staging"), eu(people, deploy_role="admin")
    version = builders.complete_version(model, by=people.bob)
    promotions.move(version, to=Stage.STAGING, by=people.bob)
    assert (newest(lab).state, newest(lab).held) == ("queued", "bob may not deploy here")
    # What comes into production was let in.
    promotions.move(version, to=Stage.PRODUCTION, by=people.carol)
    assert states(eu_) == [(1, "deploying")]
    assert states(lab) == [(1, "superseded")]
    version = builders.complete_version(model, by=people.bob)
    promotions.move(version, to=Stage.STAGING, by=people.alice)
    assert states(lab)[-1] == (2, "deploying")


# --- rollbacks ------------------------------------------------------------------------------------------------


def test_of_two_rollbacks_the_latest_wins(people, model):
    environment, asking = eu(people), eu(people, "us", kind="agent")
    for _ in range(3):
        go_live(model, environment, people)
        report(asking, "live", people)
    for _ in range(2):
        lifecycle.rollback(model, by=people.alice, reason="Emergency.")
    assert production(model) == 1
    assert states(environment)[2:] == [(3, "live"), (2, "deploying"), (1, "queued")]
    # Nobody had begun there.
    assert states(asking)[2:] == [(3, "live"), (2, "superseded"), (1, "queued")]
    first = Deployment.objects.of_pair(model.pk, environment.pk).unfinished().get()
    deployment_reports.report(first, by=people.root, state="live")
    report(environment, "live", people)
    report(asking, "live", people)
    for one in (environment, asking):
        assert states(one)[-1] == (1, "live")
        assert not cell(model, one, people).is_in_trouble


def test_what_a_person_goes_back_to_is_never_held_back(people, model):
    environment = eu(people)
    v1, v2 = go_live(model, environment, people), go_live(model, environment, people)
    deployments.roll_back(model, environment, by=people.alice, reason="Slow.")
    report(environment, "failed", people, reason="No disk.")
    assert states(environment)[1:] == [(2, "live"), (1, "failed")]
    lifecycle.rollback(model, by=people.alice, reason="Emergency.")
    assert states(environment)[-1] == (1, "deploying")
    report(environment, "live", people)
    v1.refresh_from_db()
    v2.refresh_from_db()
    assert (v1.stage, v2.stage) == ("production", "archived")
    assert in_trouble(people) == []


def test_going_back_stops_what_is_under_way_of_what_is_taken_out(people, model):
    environment = eu(people)
    go_live(model, environment, people)
    promote(model, people)
    lifecycle.rollback(model, by=people.alice, reason="Wrong labels.")
    assert states(environment) == [(1, "live"), (2, "failed"), (1, "deploying")]
    report(environment, "live", people)
    assert states(environment) == [(1, "superseded"), (2, "rolled_back"), (1, "live")]


def test_going_back_starts_nothing_where_nothing_runs(people, model):
    running = eu(people)
    go_live(model, running, people)
    manual, frozen_, bare = (
        eu(people, "manual", start="manual"),
        eu(people, "frozen", freezes=frozen()),
        eu(people, "bare", kind="agent"),
    )
    go_live(model, running, people)
    deployments.call_off(newest(bare), by=people.alice)
    lifecycle.rollback(model, by=people.alice, reason="Wrong labels.")
    assert states(running)[-1] == (1, "deploying")
    for one in (manual, frozen_):
        # On the same terms as what waited there.
        assert states(one) == [(2, "superseded"), (1, "queued")]
        assert newest(one).kind == "followed"
    assert states(bare) == [(2, "superseded")]


def test_going_back_to_what_was_kept_lets_it_wait_where_the_other_waited(people, model):
    environment = eu(people, start="manual")
    promote(model, people)
    second = builders.complete_version(model, by=people.bob)
    move = {"to": "production", "reason": "Beside the other.", "keep_former": True}
    promotions.move(second, by=people.carol, **move)
    assert states(environment)[-1] == (2, "queued")
    lifecycle.rollback(model, by=people.alice, reason="Wrong labels.")
    assert production(model) == 1
    assert states(environment) == [(1, "superseded"), (2, "superseded"), (1, "queued")]
    assert newest(environment).kind == "followed"


def test_stage_and_environment_end_at_what_served(people, model):
    environment = eu(people)
    v1 = go_live(model, environment, people)
    v2, v3, v4 = (promote(model, people) for _ in range(3))
    assert states(environment) == [(1, "live"), (2, "deploying"), (3, "superseded"), (4, "queued")]
    # What never served is nothing to go back to.
    assert lifecycle.rollback_target(model) == v1
    deployment_reports.report(Deployment.objects.get(version=v2), by=people.root, state="live")
    assert lifecycle.rollback_target(model) == v2
    report(environment, "failed", people)
    report(environment, "live", people)
    assert (states(environment)[-1], production(model)) == ((2, "live"), 2)
    assert not cell(model, environment, people).is_in_trouble
    v3.refresh_from_db()
    v4.refresh_from_db()
    assert (v3.stage, v4.stage) == ("archived", "archived")


@pytest.mark.parametrize("everywhere", [True, False])
def test_both_ways_back_go_to_the_same_and_further_each_time(people, model, everywhere):
    environment, late = eu(people), eu(people, "late", kind="agent")
    v1 = go_live(model, environment, people)
    report(late, "live", people)
    go_live(model, environment, people)
    # Version 2 never came to the second one.
    go_live(model, environment, people)
    report(late, "live", people)
    plan = deployment_plans.going_back_from(model, by=people.alice)
    assert {(one.deployment.environment.name, one.target.number) for one in plan.returns} == {
        ("eu", 2),
        ("late", 2),
    }
    for expected in (2, 1):
        assert lifecycle.rollback_target(model).number == expected
        if everywhere:
            made = deployments.roll_back(model, by=people.alice, reason="Bad.")
            assert {one.version.number for one in made} == {expected}
        else:
            lifecycle.rollback(model, by=people.alice, reason="Bad.")
        for one in (environment, late):
            report(one, "live", people)
            assert states(one)[-1] == (expected, "live")
        assert production(model) == expected
    assert newest(environment).rollback_target is None
    assert lifecycle.rollback_target(model) is None
    v1.refresh_from_db()
    assert v1.stage == "production"
    with pytest.raises(Conflict, match="nothing to go back to"):
        deployments.roll_back(model, by=people.alice, reason="Bad.")


# --- where they disagree --------------------------------------------------------------------------------------


def test_what_runs_and_is_not_followed_any_more_is_seen(people, model):
    environment, other = eu(people), eu(people, "us", kind="agent")
    v1 = go_live(model, environment, people)
    deployments.call_off(newest(other), by=people.alice)
    v2 = go_live(model, environment, people)
    report(other, "live", people)
    assert in_trouble(people) == []
    deployments.roll_back(model, environment, by=people.alice, reason="Slow here.")
    # On its way it is no trouble yet.
    assert in_trouble(people) == []
    report(environment, "live", people)
    seen = cell(model, environment, people)
    assert (seen.state, seen.astray) == ("drift", "runs v1, production is v2")
    assert in_trouble(people) == [model.name]
    [place] = deployment_views.places_of(v1)
    assert (place.state, place.told) == ("drift", "runs v1, production is v2")
    assert [one.deployment.environment for one in deployment_views.trouble_of(model)] == [environment]
    promotions.move(v2, to=Stage.ARCHIVED, by=people.carol)
    assert {one.told for one in deployment_views.trouble_of(model)} == {
        "runs v1, nothing is in production",
        "runs v2, nothing is in production",
    }
    v2.refresh_from_db()
    assert v2.serving_endpoint == "https://fraud-detector.us.example.com"
    counted = deployment_views.with_counts([environment], by=people.dave)[0]
    assert (counted.live, counted.drifting) == (1, 1)
    promotions.move(v1, to=Stage.PRODUCTION, by=people.carol)
    assert not cell(model, environment, people).is_in_trouble


def test_what_went_on_to_production_is_well_in_staging_till_another_comes(people, model):
    lab, other = eu(people, "lab", followed="staging"), builders.complete_version(model, by=people.alice)
    version = builders.complete_version(model, by=people.alice)
    promotions.move(version, to=Stage.STAGING, by=people.alice)
    report(lab, "live", people)
    promotions.move(version, to=Stage.PRODUCTION, by=people.carol)
    assert not cell(model, lab, people).is_in_trouble
    environments.change(lab, start="manual", by=people.root)
    promotions.move(other, to=Stage.STAGING, by=people.alice)
    assert not cell(model, lab, people).is_in_trouble
    deployments.call_off(newest(lab), by=people.alice)
    assert cell(model, lab, people).astray == "runs v2, staging is v1"


def test_an_alias_that_left_is_seen(people, model):
    environment = eu(people, follows="alias", followed="champion")
    version = builders.version(model, by=people.alice)
    lifecycle.set_alias(model, name="champion", version=version, by=people.alice)
    report(environment, "live", people)
    assert not cell(model, environment, people).is_in_trouble
    lifecycle.delete_alias(model, name="champion", by=people.alice)
    assert cell(model, environment, people).astray == "runs v1, alias “champion” is gone"
    assert in_trouble(people) == [model.name]


def test_a_first_deployment_that_fails_leaves_no_other_in_silence(people, model):
    here, there = eu(people), eu(people, "us")
    promote(model, people)
    report(here, "live", people)
    report(there, "failed", people)
    assert production(model) is None
    assert cell(model, here, people).astray == "runs v1, nothing is in production"
    assert cell(model, there, people).state == "failed"
    assert states(there) == [(1, "failed")]


# --- for which models -----------------------------------------------------------------------------------------


def test_orders_and_reports_are_of_models_that_the_environment_takes(people, model):
    version = promote(model, people)
    taking = [eu(people), eu(people, "named", name_pattern="risk/*")]
    refusing = [
        eu(people, "vision", name_pattern="vision/*"),
        eu(people, "tagged", tag="real-time"),
        eu(people, "theirs", for_team=people.vision),
    ]
    eu(people, "lab", followed="staging")
    for one in refusing:
        with pytest.raises(Conflict, match="does not take"):
            deployments.deploy(version, one, by=people.alice)
        with pytest.raises(Conflict, match="does not take"):
            deployment_reports.observed(model, one, by=people.root, version=1)
    assert deployment_plans.open_to(version, by=people.alice) == taking
    assert deployment_plans.open_to(version, by=people.bob) == []
    deployments.deploy(version, taking[0], by=people.alice)
    environments.change(taking[0], name_pattern="vision/*", by=people.root)
    # What is there may be told of.
    deployment_reports.observed(model, taking[0], by=people.root, version=1)


def test_an_environment_that_goes_takes_its_addresses_along(people, model):
    environment, other = eu(people), eu(people, "us")
    version = promote(model, people)
    for one in (environment, other):
        report(one, "live", people)
    version.refresh_from_db()
    assert version.serving_endpoint == "https://fraud-detector.us.example.com"
    for one, left in ((other, "https://fraud-detector.eu.example.com"), (environment, "")):
        deployments.take_down(one, by=people.root, reason="The site is closed.")
        version.refresh_from_db()
        assert version.serving_endpoint == left
        assert emitted("deployment.superseded")["environment"] == one.name
