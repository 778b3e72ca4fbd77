"""Deployments that meet: the database settles which comes first."""

import threading

import pytest

from models_app.models import Deployment
from models_app.registry import (
    deployment_checks,
    deployment_claims,
    deployment_reports,
    deployments,
    environments,
)
from models_app.registry.errors import Conflict
from tests import builders

from .test_parallel import in_parallel

pytestmark = pytest.mark.django_db(transaction=True)


def test_agents_at_once_get_each_deployment_once(people):
    environment = environments.set_up("eu", kind="agent", by=people.root)
    for number in range(3):
        builders.promoted(
            builders.model(f"risk/m{number}", by=people.alice), by=people.alice, approver=people.carol
        )
    together = threading.Barrier(6)

    def work(agent):
        together.wait()
        found = []
        # Who comes to a model that is locked goes on without; it is there the next time.
        while deployment_claims.waiting_for(environment, "nobody", by=people.root):
            if taken := deployment_claims.claim(environment, agent=agent, by=people.root):
                found.append(taken.pk)
        return found

    results = in_parallel(work, [f"agent-{number}" for number in range(6)])
    assert not [result for result in results if isinstance(result, Exception)]
    rows = Deployment.objects.all()
    assert {row.pk for row in rows} == {pk for found in results for pk in found}
    assert {row.state for row in rows} == {"deploying"}
    assert len({row.holder for row in rows} - {""}) == len({i for i, found in enumerate(results) if found})


def test_success_failure_and_rollback_at_once_leave_one_live(people):
    """One version goes live, fails and is rolled back by three at once: one is first, and then all is in order."""
    environment = environments.set_up("eu", timeout=10, by=people.root)
    model = builders.model(by=people.alice)
    for _ in range(2):
        builders.promoted(model, by=people.alice, approver=people.carol)
        newest = Deployment.objects.latest("id")
        if newest.version.number == 1:
            deployment_reports.report(newest, by=people.root, state="live")
    Deployment.objects.filter(pk=newest.pk).update(due_at=newest.started_at)
    together = threading.Barrier(4)

    def work(act):
        together.wait()
        return act()

    results = in_parallel(
        work,
        [
            lambda: deployment_reports.report(newest, by=people.root, state="live"),
            lambda: deployment_reports.report(newest, by=people.root, state="failed"),
            lambda: deployments.roll_back(model, environment, by=people.alice, reason="Bad."),
            deployment_checks.fail_late,
        ],
    )
    assert all(isinstance(result, Conflict) for result in results if isinstance(result, Exception))
    there = Deployment.objects.of_pair(model.pk, environment.pk)
    assert there.live().count() == 1
    assert there.unfinished().count() <= 1
    if waiting := there.unfinished().first():
        assert (waiting.kind, waiting.version.number) == ("rollback", 1)
        deployment_reports.report(waiting, by=people.root, state="live")
    newest.refresh_from_db()
    assert (newest.state, there.live().get().version.number) in [("live", 2), ("rolled_back", 1)]
