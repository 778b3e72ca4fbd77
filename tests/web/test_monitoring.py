"""The Monitoring tab: curves, and on them what was promoted and deployed."""

import json
from datetime import timedelta

from django.utils import timezone

from models_app.models import Deployment
from models_app.registry import deployment_reports, environments, observations, thresholds
from tests import builders
from tests.web.reading import page

JSON = "application/json"
HERE = "/models/risk/fraud-detector/monitoring/"


def test_marks_of_promotions_and_deployments_are_on_the_curves(people, pages):
    environments.set_up("eu", by=people.root)
    model = builders.model("risk/fraud-detector", by=people.alice)
    thresholds.add(model, name_pattern="psi", value=0.25, by=people.alice)
    soon = timezone.now() + timedelta(minutes=1)
    for nth in range(2):
        builders.promoted(model, by=people.alice, approver=people.carol)
        deployment = Deployment.objects.latest("pk")
        deployment_reports.report(deployment, by=people.root, state="live")
        seen = [
            {"name": "psi", "at": soon + timedelta(seconds=2 * nth + one), "value": 0.1} for one in (0, 1)
        ]
        observations.observe(deployment, observations=seen, by=people.root)
    shown = page(pages.dave.get(HERE))
    (drawn,) = [json.loads("".join(text)) for _, attrs, text in shown.elements if attrs.get("type") == JSON]
    labels = ["v1 promoted", "v1 live in eu", "v2 promoted", "v2 live in eu"]
    assert [mark["label"] for mark in drawn["marks"]] == labels
    assert [series["name"].split(" (")[0] for series in drawn["series"]] == ["eu v2", "eu v1"]
    assert drawn["levels"] == [{"y": 0.25, "label": "limit: above 0.25"}]
    for label in labels:
        assert label in shown.text()
