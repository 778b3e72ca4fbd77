"""Observations are judged: one incident per model, added to, answered by people or by a retrained version."""

from __future__ import annotations

import threading
from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from models_app.models import AuditEvent, Deployment, Incident, Notice, Observation, OutboxEvent
from models_app.registry import (
    deployment_reports,
    deployments,
    environments,
    incidents,
    lifecycle,
    observations,
    promotions,
    tags,
    thresholds,
    webhooks,
)
from models_app.registry.errors import Conflict, Forbidden, Invalid, TooLarge
from models_app.tasks.deliveries import deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders

from .test_parallel import in_parallel


def live(people, model=None):
    """A version live in an environment that the company's admins speak for."""
    if model is None:
        environments.set_up("eu", by=people.root)
        model = builders.model(by=people.alice, owner="alice")
    builders.promoted(model, by=people.alice, approver=people.carol)
    deployment = Deployment.objects.latest("id")
    deployment_reports.report(deployment, by=people.root, state="live")
    deployment.refresh_from_db()
    return deployment


def points(*values, name="psi", feature="amount", since=None):
    """One a minute, the last one now."""
    now = since or timezone.now()
    first = len(values) - 1
    return [
        {"name": name, "feature": feature, "at": now - timedelta(minutes=first - nth), "value": value}
        for nth, value in enumerate(values)
    ]


def post(deployment, people, batch):
    return observations.observe(deployment, by=people.root, observations=batch)


def how(incident):
    incident.refresh_from_db()
    return incident.state, incident.reason


def report_newest(people, state, **more):
    deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state=state, **more)


def limit(deployment, people, **more):
    fields = {"name_pattern": "psi", "value": 0.25, "in_a_row": 2, **more}
    return thresholds.add(deployment.model, by=people.alice, **fields)


def test_a_batch_counts_once_and_comes_back_as_curves(people):
    deployment = live(people)
    batch = [*points(0.1, 0.2, 0.3), *points(12.5, name="traffic", feature="")]
    assert (post(deployment, people, batch).added, post(deployment, people, batch).known) == (4, 4)
    curves = observations.curves([deployment])
    assert [(c.series.name, c.series.feature, [v for _, v in c.points]) for c in curves] == [
        ("psi", "amount", [0.1, 0.2, 0.3]),
        ("traffic", "", [12.5]),
    ]
    assert (curves[0].series.count, curves[0].series.last_value) == (3, 0.3)
    # What comes late takes its place, and is not the newest for that.
    post(deployment, people, points(0.9, since=timezone.now() - timedelta(days=1)))
    (one,) = observations.curves([deployment], name="psi", after=timezone.now() - timedelta(hours=1))
    assert (one.count, one.series.count, one.series.last_value) == (3, 4, 0.3)


def test_curves_are_thinned_and_series_are_cut(people, monkeypatch):
    monkeypatch.setattr(observations, "POINTS", 40)
    monkeypatch.setattr(observations, "SLACK", 5)
    monkeypatch.setattr(observations, "CURVE_POINTS", 10)
    deployment = live(people)
    post(deployment, people, points(*range(44)))
    (curve,) = observations.curves([deployment])
    assert len(curve.points) <= 10
    assert curve.points[-1][1] == 43
    post(deployment, people, points(100.0, 101.0, since=timezone.now() + timedelta(minutes=2)))
    assert (Observation.objects.count(), deployment.series.get().count) == (40, 40)
    with mock.patch.object(timezone, "now", return_value=timezone.now() + timedelta(days=401)):
        assert observations.forget_old() == 40
    assert not deployment.series.exists()


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": "psi", "value": float("nan")}, "value"),
        ({"name": "psi", "value": 10**400}, "value"),
        ({"name": "psi", "value": True}, "value"),
        ({"name": " ", "value": 1}, "name"),
        ({"name": "psi", "value": 1, "at": "2026-05-03T12:00:00"}, "at"),
        ({"name": "psi", "value": 1, "at": "9999-12-31T23:59:59-23:59"}, "at"),
        ({"name": "psi", "value": 1, "at": "1999-12-31T23:59:59Z"}, "at"),
        ({"name": "psi", "value": 1, "colour": "red"}, None),
    ],
)
def test_what_is_no_observation_is_refused(row, field):
    with pytest.raises(Invalid) as refused:
        observations._clean([row])
    where = f"observations[0].{field}" if field else "observations[0]"
    assert {problem.field for problem in refused.value.problems} == {where}


def test_bounds_and_rights(people):
    deployment = live(people)
    with pytest.raises(TooLarge):
        post(deployment, people, points(*range(observations.AT_ONCE + 1)))
    with pytest.raises(TooLarge):
        post(deployment, people, [{"name": f"n{i}", "value": 1} for i in range(observations.SERIES + 1)])
    with pytest.raises(Forbidden):
        observations.observe(deployment, by=people.alice, observations=points(1.0))
    assert not Observation.objects.exists()
    for fields in ({"value": float("inf")}, {"in_a_row": 0}, {"in_a_row": True}, {"comparison": "near"}):
        with pytest.raises(Invalid):
            limit(deployment, people, **fields)
    with pytest.raises(Forbidden):
        thresholds.add(None, environment=deployment.environment, name_pattern="*", value=1, by=people.alice)
    with pytest.raises(Invalid):
        thresholds.add(None, name_pattern="*", value=1, by=people.root)


def test_enough_in_a_row_open_one_incident_that_grows(people):
    deployment = live(people)
    limit(deployment, people)
    thresholds.add(
        None,
        environment=deployment.environment,
        name_pattern="accuracy",
        feature_pattern="",
        comparison="below",
        value=0.8,
        in_a_row=1,
        by=people.root,
    )
    assert post(deployment, people, points(0.3, 0.1, 0.3)).incident is None
    now = timezone.now() + timedelta(minutes=1)
    incident = post(deployment, people, points(0.4, since=now)).incident
    assert incident.breaches.get().count == 2
    again = post(
        deployment,
        people,
        [*points(0.9, since=now + timedelta(minutes=1)), *points(0.7, name="accuracy", feature="")],
    ).incident
    assert again == incident
    first, second = incident.breaches.all()
    assert (first.worst_value, first.count, first.within_since) == (0.9, 3, None)
    assert (str(second), second.worst_value) == ("accuracy below 0.8", 0.7)
    (event,) = OutboxEvent.objects.filter(name="model.drifted")
    assert event.payload["text"] == "psi of amount in eu: 0.4, above 0.25 2 times in a row"
    assert AuditEvent.objects.filter(verb="incident.opened").count() == 1
    # Within again ends it only where the limit says so, and only while nobody took it up.
    post(deployment, people, points(0.1, 0.1, since=now + timedelta(minutes=3)))
    first.refresh_from_db()
    incident.refresh_from_db()
    assert (first.within_since is not None, incident.state) == (True, "open")


def test_it_may_end_by_itself(people):
    deployment = live(people)
    limit(deployment, people, resolves=True)
    incident = post(deployment, people, points(0.3, 0.3)).incident
    later = timezone.now() + timedelta(minutes=2)
    post(deployment, people, points(0.1, 0.1, since=later))
    incident.refresh_from_db()
    assert (incident.state, incident.resolution) == ("resolved", "recovered")


def test_people_answer_and_what_was_seen_before_is_settled(people, settings):
    settings.MAIL_IS_ON = True
    deployment = live(people)
    limit(deployment, people)
    incident = post(deployment, people, points(0.3, 0.3)).incident
    dispatch()
    assert set(Notice.objects.filter(name="model.drifted").values_list("user__username", flat=True)) == {
        "alice"
    }
    with pytest.raises(Forbidden):
        incidents.acknowledge(incident, by=people.dave)
    incidents.acknowledge(incident, by=people.alice, reason="Looking.")
    with pytest.raises(Conflict):
        incidents.acknowledge(incident, by=people.alice)
    with pytest.raises(Invalid):
        incidents.resolve(incident, by=people.alice, reason=" ")
    incidents.resolve(incident, by=people.alice, reason="The sensor was dirty.")
    assert incidents.unresolved(deployment.model) is None
    # One more of the same run is not enough: two after the end are.
    soon = timezone.now() + timedelta(minutes=1)
    assert post(deployment, people, points(0.3, since=soon)).incident is None
    other = post(deployment, people, points(0.3, since=soon + timedelta(minutes=1))).incident
    assert other is not None
    assert other.pk != incident.pk


def test_a_retrained_version_ends_it_when_it_serves(people):
    deployment = live(people)
    model = deployment.model
    limit(deployment, people)
    incident = post(deployment, people, points(0.3, 0.3)).incident
    with pytest.raises(Invalid):
        builders.version(model, by=people.alice, retrains="999")
    with pytest.raises(Invalid):
        builders.version(model, by=people.alice, tags={"modelry.retrains": "x"})
    tagged = builders.version(model, by=people.alice)
    tags.set_version_tag(tagged, key="modelry.retrains", value=str(incident.pk), by=people.alice)
    promotions.move(tagged, to="staging", by=people.alice)
    v3 = builders.promoted(model, by=people.alice, approver=people.carol, retrains=str(incident.pk))
    assert how(incident) == ("open", "")
    # It never serves: what drifted goes on.
    report_newest(people, "failed", reason="No memory.")
    report_newest(people, "live")
    assert how(incident) == ("open", "")
    v4 = builders.promoted(model, by=people.alice, approver=people.carol, retrains=str(incident.pk))
    report_newest(people, "live")
    assert how(incident) == ("resolved", "v4, trained because of it, is live in eu.")
    assert incident.transition.version == v4
    assert [one.version.number for one in incident.retrainings.order_by("pk")] == [2, v3.number, v4.number]
    # What it ended with is settled, till what drifted is back.
    later = timezone.now() + timedelta(minutes=4)
    deployments.roll_back(model, by=people.alice, reason="Slow.")
    assert how(incident) == ("resolved", "v4, trained because of it, is live in eu.")
    report_newest(people, "live")
    assert how(incident) == ("open", "")
    assert incident.reopened_because == "v1, on which it was opened, serves in eu again."
    assert OutboxEvent.objects.get(name="model.drift_reopened").payload["version"] == 1
    back = Deployment.objects.latest("id")
    assert post(back, people, points(0.5, 0.5, since=later)).incident == incident


def test_what_drifted_has_to_be_gone_everywhere(people):
    deployment = live(people)
    model = deployment.model
    environments.set_up("us", by=people.root)
    deployments.deploy(deployment.version, environments.get_environment("us", by=people.root), by=people.root)
    report_newest(people, "live")
    for one in Deployment.objects.live():
        limit(one, people)
        incident = post(one, people, points(0.3, 0.3)).incident
    builders.promoted(model, by=people.alice, approver=people.carol, retrains=str(incident.pk))
    ours = Deployment.objects.unfinished().order_by("environment__name")
    deployment_reports.report(ours[0], by=people.root, state="live")
    assert how(incident) == ("open", "")
    deployment_reports.report(ours[0], by=people.root, state="live")
    assert how(incident) == ("resolved", "v2, trained because of it, is live in eu and us.")


def test_where_nobody_deploys_production_is_what_serves(people):
    deployment = live(people)
    model = deployment.model
    limit(deployment, people)
    incident = post(deployment, people, points(0.3, 0.3)).incident
    deployments.take_down(deployment.environment, by=people.root, reason="Moved.")
    builders.promoted(model, by=people.alice, approver=people.carol, retrains=str(incident.pk))
    assert how(incident) == ("resolved", "v2, trained because of it, is in production.")
    lifecycle.rollback(model, by=people.alice, reason="Slow.")
    assert how(incident) == ("open", "")
    assert incident.reopened_because == "v1, on which it was opened, is in production again."


@pytest.mark.usefixtures("loopback")
def test_drift_starts_the_workflow_that_trains_anew(people, told):
    webhooks.create_webhook(
        "retrain",
        url=told.url.removesuffix("/hook") + "/repos/acme/fraud/dispatches",
        events=["model.drifted"],
        scheme="standard",
        kind="github",
        secret="ghp_s3cret",
        by=people.root,
    )
    deployment = live(people)
    limit(deployment, people)
    incident = post(deployment, people, points(0.3, 0.3)).incident
    dispatch()
    deliver()
    (got,) = told.received
    assert got.json["event_type"] == "model.drifted"
    said = got.json["client_payload"]["data"]
    assert (said["incident"], said["model"], said["version"]) == (incident.pk, deployment.model.name, 1)


@pytest.mark.django_db(transaction=True)
def test_two_batches_that_cross_together_open_one(people):
    deployment = live(people)
    limit(deployment, people, feature_pattern="*", in_a_row=1)
    together = threading.Barrier(4)

    def work(feature):
        together.wait()
        return post(deployment, people, points(0.9, feature=feature)).incident.pk

    results = in_parallel(work, ["a", "b", "c", "d"])
    incident = Incident.objects.get()
    assert set(results) == {incident.pk}
    assert incident.breaches.count() == 4
    assert OutboxEvent.objects.filter(name="model.drifted").count() == 1
