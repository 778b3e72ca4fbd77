"""What deployers report besides states: long logs, and where a version serves."""

from __future__ import annotations

from unittest import mock

import pytest
from django.utils import timezone

from models_app.models import AuditEvent
from models_app.registry import deployment_checks, deployment_reports, deployments
from models_app.registry.errors import Conflict
from tests import builders
from tests.registry.test_deployments import eu, go_live, newest, promote, report, states


@pytest.fixture
def model(people):
    return builders.model(by=people.alice, owner="alice")


def test_of_a_long_log_the_beginning_and_the_end_are_kept(people, model, django_assert_max_num_queries):
    environment = eu(people)
    promote(model, people)
    for start in range(0, 1_600, 200):
        report(environment, "", people, lines=[str(number) for number in range(start, start + 200)])
    with django_assert_max_num_queries(12):
        report(environment, "", people, lines=["Killed."])
    told = report(environment, "failed", people, reason="No memory.")
    kept = [line.text for line in told.lines.all()]
    assert kept == [str(number) for number in (*range(100), *range(701, 1_600))] + ["Killed."]
    assert (told.line_count, told.lines_left_out) == (1_601, 601)


def test_where_it_serves_is_said_while_it_does_and_never_afterwards(people, model):
    environment = eu(people)
    v1 = go_live(model, environment, people)
    serving = newest(environment)
    deployment_reports.report(serving, by=people.root, state="live", endpoint="https://there.example.com")
    v1.refresh_from_db()
    assert v1.serving_endpoint == "https://there.example.com"
    moved = AuditEvent.objects.get(verb="deployment.endpoint_changed")
    assert moved.before == {"endpoint": "https://fraud-detector.eu.example.com"}
    v2 = go_live(model, environment, people)
    v1.refresh_from_db()
    assert v1.serving_endpoint == ""
    with pytest.raises(Conflict, match="stays on record"):
        deployment_reports.report(serving, by=people.root, endpoint="https://after.example.com")
    serving.refresh_from_db()
    assert serving.endpoint == "https://there.example.com"
    # The version is deployed once more, and serves elsewhere after.
    deployments.deploy(v2, environment, by=people.alice)
    report(environment, "live", people, endpoint="https://second.example.com")
    go_live(model, environment, people)
    v2.refresh_from_db()
    assert v2.serving_endpoint == ""


def test_what_was_healthy_is_the_address_that_is_told(people, model):
    environment = eu(people, health_check="{address}/health", health_window=600)
    promote(model, people)
    report(environment, "live", people, endpoint="https://one.example.com")
    moment = timezone.now()
    for number in range(3):
        moment += deployment_checks.CHECK_EVERY
        with mock.patch.object(timezone, "now", return_value=moment):
            (check,) = deployment_checks.take_checks(limit=1)
            if number == 0:
                # While it is asked, it says that it serves elsewhere.
                report(environment, "", people, endpoint="https://two.example.com")
            deployment_checks.checked(check, healthy=True, said="Answered.", at=moment)
            assert newest(environment).healthy_in_a_row == number
    assert states(environment) == [(1, "live")]
    with pytest.raises(Conflict, match="is live because https://two"):
        report(environment, "live", people, endpoint="https://three.example.com")
