"""Health is asked for by the registry: hanging addresses delay nobody, and a worker that was away fails nobody."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from models_app.models import Deployment
from models_app.registry import deployment_checks, deployment_reports, environments
from models_app.registry.errors import Conflict
from models_app.tasks import deployments, health
from models_app.tasks.awake import Awake
from tests import builders

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback")]


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def verifying(people, model, environment, **fields):
    """A version whose deployer is done, so that its health is asked for."""
    there = environments.set_up(
        environment, by=people.root, name_pattern=f"{model.name}*", health_window=20, **fields
    )
    builders.promoted(model, by=people.alice, approver=people.carol)
    return reported(people, there)


def reported(people, there):
    newest = Deployment.objects.filter(environment=there).latest("id")
    return deployment_reports.report(newest, by=people.root, state="live")


def state(deployment) -> str:
    return Deployment.objects.get(pk=deployment.pk).state


def at(seconds):
    """The clock of the registry, so many seconds on."""
    return mock.patch.object(timezone, "now", return_value=timezone.now() + timedelta(seconds=seconds))


def note(check, *, healthy, decides=True):
    deployment_checks.checked(check, healthy=healthy, said="?", at=timezone.now(), decides=decides)


def test_what_hangs_delays_neither_others_nor_the_rest_of_its_own_environment(people):
    go_on, hung = threading.Event(), []

    def call(check):
        healthy = "well" in check.address
        if not healthy:
            hung.append(check)
            go_on.wait()
        return health.Said(check, healthy, "?", timezone.now(), time.time(), 0.01 if healthy else 5.0)

    hangs = verifying(
        people, builders.model("risk/a", by=people.alice), "hangs", health_check="http://127.0.0.1:9/a"
    )
    names = [f"risk/a{number}" for number in range(health.OF_AN_ENVIRONMENT + 3)]
    for model in (builders.model(name, by=people.alice) for name in names):
        builders.promoted(model, by=people.alice, approver=people.carol)
        reported(people, hangs.environment)
    checker = health.Checker(Awake(), call=call)
    try:
        checker.step(wait=0)
        fine = verifying(
            people, builders.model("risk/b", by=people.alice), "fine", health_check="http://127.0.0.1:9/well"
        )
        deadline = time.monotonic() + 60
        while state(fine) != "live" and time.monotonic() < deadline:
            checker.step(wait=1)
            soon = timezone.now() + deployment_checks.CHECK_EVERY
            Deployment.objects.filter(pk=fine.pk, next_check_at__lte=soon).update(
                next_check_at=timezone.now()
            )
        assert state(fine) == "live"
        assert len(hung) == health.OF_A_SLOW_HOST
        assert Deployment.objects.filter(state="verifying").count() == len(names) + 1
    finally:
        go_on.set()
        checker.end()


def test_nothing_fails_unasked(people, settings):
    model = builders.model("risk/a", by=people.alice)
    one = verifying(people, model, "one", health_check="http://127.0.0.1:9/")
    # A worker took it and was killed; the window passed, and so did more.
    (lost,) = deployment_checks.take_checks(limit=9)
    with at(10):
        assert deployment_checks.take_checks(limit=9) == []
    with at(300):
        assert deployment_checks.fail_late() == 0
        (check,) = deployment_checks.take_checks(limit=9)
        # What the first one says at last, counts no more.
        note(lost, healthy=False)
        note(check, healthy=True)
    assert state(one) == "verifying"
    with at(304):
        (check,) = deployment_checks.take_checks(limit=9)
        # In a pause, or just after one, it may be us.
        note(check, healthy=False, decides=False)
        assert state(one) == "verifying"
    with at(308):
        (check,) = deployment_checks.take_checks(limit=9)
        # Nor does it count when we had no room to ask.
        health.note(health.Said(check, False, "?", timezone.now(), time.time(), took=5, is_ours=True))
        assert state(one) == "verifying"
    for later in (312, 316):
        with at(later):
            (check,) = deployment_checks.take_checks(limit=9)
            note(check, healthy=True)
    assert state(one) == "live"
    builders.promoted(model, by=people.alice, approver=people.carol)
    two = reported(people, one.environment)
    with at(19):
        (check,) = deployment_checks.take_checks(limit=9)
        note(check, healthy=False)
    two.refresh_from_db()
    assert (two.state, two.next_check_at) == ("verifying", two.due_at)
    settings.OUTBOUND_ALLOW = []
    with at(21):
        deployments.keep_up()
    two.refresh_from_db()
    assert two.state == "failed"
    assert two.failure.startswith(
        "Not healthy within 20 seconds. The last check said: 127.0.0.1 is not a public"
    )


def test_after_a_pause_late_words_are_waited_for(people):
    model = builders.model("risk/a", by=people.alice)
    verifying(people, model, "one", timeout=60)
    builders.promoted(model, by=people.alice, approver=people.carol)
    two = Deployment.objects.latest("id")
    clock = Clock()
    awake = Awake(clock)
    clock.now += 100
    assert awake.since() == clock.now
    with at(100), mock.patch.object(time, "time", clock):
        deployments.step(awake)
        assert state(two) == "deploying"
        for _ in range(16):
            clock.now += 1
            deployments.step(awake)
    assert state(two) == "failed"


@pytest.mark.parametrize(("pause", "decides"), [(1, True), (60, False)])
def test_what_a_pause_cut_off_decides_nothing(people, pause, decides):
    verifying(people, builders.model("risk/a", by=people.alice), "one", health_check="http://127.0.0.1:9/a")
    clock, told = Clock(), []
    awake = Awake(clock)
    awake._since -= 60
    began = clock.now
    checker = health.Checker(
        awake, call=lambda check: health.Said(check, False, "?", timezone.now(), began, took=9)
    )
    with mock.patch.object(health, "note", lambda said, *, decides: told.append(decides)):
        checker.step(wait=0)
        clock.now += pause
        checker.step(wait=60)
        checker.end()
    assert told == [decides]


def test_who_asks_for_health_does_not_change_while_a_deployment_waits_for_it(people):
    """Neither would a check that is set be made, nor could one that is gone say yes."""
    model = builders.model("risk/steady", by=people.alice)
    one = verifying(people, model, "one", health_check="http://127.0.0.1:9/")
    for fields in ({"health_check": ""}, {"kind": "agent"}):
        with pytest.raises(Conflict, match="being verified"):
            environments.change(one.environment, by=people.root, **fields)
    environments.change(one.environment, by=people.root, timeout=77)
