"""Pages of environments and deployments: what happened and when, who calls whom, what one can do."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from models_app.models import Deployment
from models_app.registry import deployment_reports, deployments, environments, promotions
from tests import builders
from tests.web.reading import page

HERE = "/models/risk/fraud-detector/"


@pytest.fixture
def eu(people):
    return environments.set_up("eu", by=people.root)


@pytest.fixture
def failed(people, eu):
    """v1 is live in eu; v2 failed there a minute ago, with a long log, and is on its way back since."""
    model = builders.model("risk/fraud-detector", by=people.alice)
    now = timezone.now()
    with mock.patch.object(timezone, "now", return_value=now - timedelta(minutes=1)):
        for state in ("live", "failed"):
            builders.promoted(model, by=people.alice, approver=people.carol)
            made = Deployment.objects.latest("id")
            deployment_reports.report(
                made, by=people.root, lines=[f"{state} {number}" for number in range(150)]
            )
            for _ in range(6):
                deployment_reports.report(made, by=people.root, lines=[f"more of {state}"] * 150)
            deployment_reports.report(made, by=people.root, state=state, reason="No memory.")
    return made


def test_a_failure_is_told_with_its_moments_and_what_its_log_kept(pages, people, failed):
    deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state="live")
    shown = page(pages.dave.get(f"/deployments/{failed.pk}/"))
    steps = [" ".join("".join(text).split()) for tag, _, text in shown.elements if tag == "li"]
    ended = [step for step in steps if step.startswith(("Failed", "Rolled back"))]
    assert ended == ["Failed1 minute ago", "Rolled backjust now"]
    assert "800 earlier lines. Of 1050 lines 50 in the middle are not kept" in shown.text()
    whole = page(pages.dave.get(f"/deployments/{failed.pk}/?lines=all")).text()
    assert whole.index("failed 99") < whole.index("50 lines left out here") < whole.index("more of failed")
    assert "failed 149" not in whole


def test_what_the_registry_moved_is_said_to_be_its_and_why(pages, failed):
    for tab in ("", "activity/"):
        told = page(pages.dave.get(HERE + tab)).text()
        assert "unknown" not in told
        assert "promoted 1 minute ago by the registry" in told
        assert "The registry" in told
        assert "failed in eu: No memory." in told


@pytest.mark.parametrize(
    ("kind", "told", "untold"),
    [
        ("agent", ["modelry deploy-agent --environment lab", "/environments/lab/claim"], "report_url"),
        ("webhook", ["is told what to deploy", "deployment.started", "report_url"], "claim"),
        ("ci", ["starts the pipeline", "deployment.started", "report_url"], "claim"),
    ],
)
def test_an_environment_says_who_calls_whom_and_how_long_it_may_take(pages, people, kind, told, untold):
    environments.set_up(
        "lab", kind=kind, timeout=86_400, health_check="https://{name}.example.com", by=people.root
    )
    shown = page(pages.dave.get("/environments/lab/")).text()
    for words in (*told, "within 1 day", "healthy within 5 min", "site admins, as no team is named"):
        assert words in shown
    assert untold not in shown


def test_a_way_back_is_offered_where_there_is_one_to_whom_it_is_for(pages, people, eu):
    model = builders.model("risk/fraud-detector", by=people.alice)
    back = f"{HERE}deployments/rollback/"
    for expected in (False, True):
        builders.promoted(model, by=people.alice, approver=people.carol)
        deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state="live")
        assert (back in page(pages.alice.get(f"{HERE}deployments/")).links()) is expected
        assert (
            f"{back}?environment=eu" in page(pages.alice.get(f"{HERE}deployments/eu/")).links()
        ) is expected
    for path in ("deployments/", "deployments/eu/"):
        assert not [link for link in page(pages.bob.get(HERE + path)).links() if link.startswith(back)]


@pytest.mark.parametrize("moves", [False, True])
def test_going_back_in_one_environment_moves_the_stage_when_asked(pages, people, eu, moves):
    model = builders.model("risk/fraud-detector", by=people.alice)
    made = []
    for _ in range(2):
        made.append(builders.promoted(model, by=people.alice, approver=people.carol))
        deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state="live")
    path = f"{HERE}deployments/rollback/?environment=eu"
    assert "Move production back, too" in page(pages.alice.get(path)).text()
    assert "too" not in page(pages.alice.get(f"{HERE}deployments/rollback/")).text()
    sent = pages.alice.submit(path, {"reason": "Slow.", "move_stage": moves})
    assert sent.status_code == 302
    back = Deployment.objects.latest("id")
    assert (back.version, back.kind) == (made[0], "rollback")
    for version in made:
        version.refresh_from_db()
    assert [version.stage for version in made] == (
        ["production", "archived"] if moves else ["archived", "production"]
    )


def test_where_stage_and_environment_disagree_is_seen_on_every_page(pages, people, eu):
    model = builders.model("risk/fraud-detector", by=people.alice)
    for state in ("live", "live", "failed", "live"):
        if state != "live" or Deployment.objects.count() < 2:
            version = builders.promoted(model, by=people.alice, approver=people.carol)
        deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state=state)
    promotions.move(version, to="production", by=people.carol, reason="again")
    failed = Deployment.objects.get(state="rolled_back")
    why = f"v3 failed here before (deployment {failed.pk})"
    waits = ("/deployments/?trouble=1", HERE, f"{HERE}deployments/", f"{HERE}deployments/eu/")
    for path in (*waits, "/models/risk/fraud-detector@3/"):
        assert why in page(pages.dave.get(path)).text()
    order = page(pages.alice.get("/models/risk/fraud-detector@1/deploy/")).text()
    assert "Deploy v1" in order
    waiting = Deployment.objects.latest("id")
    deployments.call_off(waiting, by=people.alice)
    told = "runs v2, production is v3"
    for path in (*waits, "/models/risk/fraud-detector@2/"):
        assert told in page(pages.dave.get(path)).text()
    deployments.deploy(version, eu, by=people.alice)
    deployment_reports.report(Deployment.objects.latest("id"), by=people.root, state="live")
    assert told not in page(pages.dave.get(HERE)).text()
