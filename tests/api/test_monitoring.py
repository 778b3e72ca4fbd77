"""Observations, thresholds and incidents over REST, as a job of the environment and its people use them."""

from datetime import timedelta

from django.utils import timezone

from models_app.models import Deployment
from models_app.registry import deployment_reports, environments, service_accounts
from models_app.registry import people as people_verbs
from tests import builders
from tests.api.asking import V1, items, refused
from tests.conftest import ApiClient


def test_from_observations_to_the_retrained_version(api, people):
    environments.set_up("eu", team=people.risk, by=people.root)
    model = builders.model("risk/fraud", by=people.alice)
    builders.promoted(model, by=people.alice, approver=people.carol)
    deployment = Deployment.objects.get()
    deployment_reports.report(deployment, by=people.root, state="live")
    account = service_accounts.create_account("robot", roles={people.risk: "contributor"}, by=people.erin)
    _, secret = people_verbs.create_token(
        user=account, name="watch", scopes=["read", "write"], by=people.erin
    )
    robot = ApiClient(secret=secret)
    made = api.alice.post(
        f"{V1}/thresholds", {"model": "risk/fraud", "name_pattern": "psi", "value": 0.2, "in_a_row": 1}
    )
    assert (made.status_code, made.json()["comparison"]) == (201, "above")
    refused(
        api.alice.post(f"{V1}/thresholds", {"environment": "eu", "name_pattern": "psi", "value": 0.2}), 403
    )
    path = f"{V1}/deployments/{deployment.pk}/observations"
    noon = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT12:00:00}"
    batch = {
        "observations": [
            {"name": "psi", "feature": "amount", "at": f"{noon}+00:00", "value": 0.3},
            {"name": "traffic", "at": f"{noon}Z", "value": 81},
        ]
    }
    told = robot.post(path, batch).json()
    assert (told["added"], told["known"]) == (2, 0)
    assert robot.post(path, batch).json() == {"added": 0, "known": 2, "incident": told["incident"]}
    refused(api.dave.post(path, batch), 403)
    bad = {"observations": [{"name": "psi", "value": "1e999"}, {"value": 1}]}
    refused(robot.post(path, bad), 400)
    for wrong in ({"value": True}, {"value": 10**400}, {"value": 1, "at": "2026-01-01T00:00:00"}):
        refused(robot.post(path, {"observations": [{"name": "psi", **wrong}]}), 400)
    (curve,) = items(api.dave.get(f"{path}?name=psi"))
    assert (curve["feature"], curve["points"]) == (
        "amount",
        [{"at": f"{noon}Z", "value": 0.3}],
    )
    refused(api.dave.get(f"{path}?nmae=psi"), 400, fields={"nmae"})
    (incident,) = items(api.dave.get(f"{V1}/incidents?model=risk/fraud&state=open"))
    assert (incident["id"], incident["page"]) == (
        told["incident"],
        f"http://testserver/incidents/{incident['id']}/",
    )
    assert [(one["name"], one["environment"], one["limit"]) for one in incident["breaches"]] == [
        ("psi", "eu", 0.2)
    ]
    here = f"{V1}/incidents/{incident['id']}"
    refused(robot.post(f"{here}/resolve", {"reason": "Fine."}), 403)
    assert api.alice.post(f"{here}/acknowledge", {"reason": "On it."}).json()["state"] == "acknowledged"
    created = api.alice.post(
        f"{V1}/models/risk/fraud/versions", {"source": "s3://b/k", "retrains": incident["id"]}
    )
    assert (created.status_code, created.json()["retrains"]) == (201, incident["id"])
    listed = items(api.dave.get(f"{V1}/models/risk/fraud/versions"))
    assert [one["retrains"] for one in listed] == [incident["id"], None]
    after = api.dave.get(here).json()
    assert [(one["version"], one["by"]) for one in after["retrained"]] == [(2, "alice")]
    assert api.alice.post(f"{here}/resolve", {"reason": "Known."}).json()["resolution"] == "person"
    threshold = made.json()["url"].removeprefix("http://testserver")
    assert api.alice.patch(threshold, {"value": 0.9}).json()["value"] == 0.9
    assert api.alice.delete(threshold).status_code == 204
