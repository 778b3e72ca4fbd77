"""Legal holds over REST, and what every door says to who deletes what is under one."""

import pytest

from models_app.models import ModelVersion
from tests import builders
from tests.web.reading import page

pytestmark = pytest.mark.django_db
HOLDS = "/api/v1/holds"
VERSION = "/api/v1/models/risk/fraud-detector/versions/1"


@pytest.fixture
def version(people):
    return builders.version(builders.model(by=people.alice), by=people.bob, aliases=["best"])


def test_place_read_and_lift(api, version):
    body = {"model": "risk/fraud-detector", "version": "best", "reason": "Case 7"}
    # The number as answers give it, too: this one she finds, and may not hold.
    answers = [api.dave.post(HOLDS, {**body, "version": number}).status_code for number in (1, 2, True)]
    assert answers == [403, 404, 400]
    placed = api.erin.post(HOLDS, body, headers={"Idempotency-Key": "x"})
    assert placed.status_code == 201, placed.json()
    again = api.erin.post(HOLDS, body, headers={"Idempotency-Key": "x"})
    assert again.json() == placed.json()
    assert placed.json()["version"] == 1
    etag = api.dave.get(VERSION)
    assert etag.json()["legal_holds"] == [placed.json()["id"]]
    assert api.dave.get("/api/v1/versions").json()["items"][0]["legal_holds"] == [placed.json()["id"]]
    assert api.dave.get(placed["Location"]).json()["reason"] == "Case 7"
    assert len(api.dave.get(f"{HOLDS}?in_force=true&team=risk&version=1").json()["items"]) == 1
    refused = api.alice.delete(VERSION)
    assert refused.status_code == 409
    assert [one["key"] for one in refused.json()["obstacles"]] == ["alias", "legal_hold"]
    assert "Case 7" in refused.json()["detail"]
    for wrong in ({"reason": ""}, {}, {"reason": "x", "more": 1}):
        assert api.erin.post(placed["Location"] + "/lift", wrong).status_code == 400
    lifted = api.erin.post(placed["Location"] + "/lift", {"reason": "Settled"})
    assert (lifted.status_code, lifted.json()["lift_reason"]) == (200, "Settled")
    assert api.erin.post(placed["Location"] + "/lift", {"reason": "Settled"}).status_code == 409
    assert api.dave.get(VERSION, headers={"If-None-Match": etag["ETag"]}).json()["legal_holds"] == []
    assert api.dave.get(f"{HOLDS}?in_force=true").json()["items"] == []


def test_every_door_refuses_in_its_own_shape(api, people, version, client):
    api.root.post(HOLDS, {"model": "risk/fraud-detector", "reason": "The authority asked"})
    api.alice.delete("/api/v1/models/risk/fraud-detector/aliases/best")
    people.alice.user.is_staff = True
    people.alice.user.save()
    client.force_login(people.alice.user)
    here = "/models/risk/fraud-detector@1/"
    told = [
        page(client.post(here + "delete/"), 409).text(),
        page(client.get(here)).text("holds-in-force"),
        client.post(
            f"/admin/models_app/modelversion/{version.pk}/delete/", {"post": "yes"}, follow=True
        ).content.decode(),
        client.post(
            "/models/risk/fraud-detector/delete/", {"delete-confirm": "risk/fraud-detector"}
        ).content.decode(),
    ]
    mlflow = "/api/2.0/mlflow/"
    for call, more in (("model-versions", {"version": "1"}), ("registered-models", {})):
        answer = api.alice.delete(
            f"{mlflow}{call}/delete",
            {"name": "risk--fraud-detector", **more},
            content_type="application/json",
        )
        assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
        told.append(answer.json()["message"])
    for text in told:
        assert "The authority asked" in text
        assert "only a site admin lifts it" in text or text is told[1]
    assert ModelVersion.objects.filter(pk=version.pk).exists()


def test_pages_place_and_lift(people, version, client):
    client.force_login(people.erin.user)
    here = "/models/risk/fraud-detector@1/"
    page(client.post(here + "hold/", {"reason": ""}), 422)
    assert client.post(here + "hold/", {"reason": "<b>Case</b>"}).status_code == 302
    shown = page(client.get(here))
    assert "by erin: <b>Case</b>" in shown.text("holds-in-force")
    number = version.holds.get().pk
    assert client.post(here + "hold/", {"reason": "Over", "lift": f"{number}0"}).status_code == 404
    settings = "/models/risk/fraud-detector/settings/"
    assert "v1, since" in page(client.get(settings)).text("holds-in-force")
    sent = {"hold-reason": "Over", "lift": str(number)}
    assert client.post(settings + "hold/", sent).status_code == 302
    assert "holds-in-force" not in client.get(here).content.decode()
    assert client.post(settings + "hold/", sent).status_code == 422
