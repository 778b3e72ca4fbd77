"""Environments follow stages and aliases: queued, deployed, live, failed, rolled back, and never twice by itself."""

from __future__ import annotations

import pytest

from models_app.models import AuditEvent, Deployment, OutboxEvent, Stage
from models_app.registry import (
    catalog,
    deployment_reports,
    deployments,
    environments,
    lifecycle,
    promotions,
)
from models_app.registry.errors import Conflict, Invalid
from tests import builders


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
    promotions.move(v2, to=Stage.PRODUCTION, by=people.carol, reason="again")
    assert states(one)[-1] == (1, "live")
    assert AuditEvent.objects.filter(verb="deployment.withheld").count() == 1
    deployments.deploy(v2, one, by=people.alice, reason="It was the disk.")
    assert states(one)[-1] == (2, "deploying")


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
    environments.delete(environment, reason="The site is closed.", by=people.root)
    catalog.delete_model(model, by=people.alice)
