"""Requests that may be sent again: one key, one effect, one answer."""

import pytest

from models_app.models import IdempotencyRecord, ModelVersion, RegisteredModel, StageTransition
from tests import builders
from tests.api.asking import V1, form, refused

KEY = {"Idempotency-Key": "ci-job-4711"}
URL = f"{V1}/models/risk/fraud/versions"


def test_a_repeated_registration_is_one_version(api):
    sent = form(("model.bin", b"weights"), metadata={"create_model": True})
    first = api.bob.post(URL, **sent, headers=KEY)
    again = api.bob.post(URL, **sent, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first["Location"] == again["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert ModelVersion.objects.count() == 1


def test_other_bytes_under_the_same_key_are_refused(api):
    api.bob.post(URL, **form(("model.bin", b"1"), metadata={"create_model": True}), headers=KEY)
    other = form(("model.bin", b"2"), metadata={"create_model": True})
    refused(api.bob.post(URL, **other, headers=KEY), 422, fields={"Idempotency-Key"})
    refused(api.bob.post(f"{V1}/models", {"name": "risk/x"}, headers=KEY), 422)
    assert ModelVersion.objects.count() == 1


def test_keys_belong_to_a_person(api):
    assert api.bob.post(f"{V1}/models", {"name": "risk/x"}, headers=KEY).status_code == 201
    assert api.alice.post(f"{V1}/models", {"name": "risk/y"}, headers=KEY).status_code == 201


def test_refusals_are_not_remembered(api, people):
    refused(api.bob.post(URL, **form(("a", b"1")), headers=KEY), 404)
    builders.model("risk/fraud", by=people.alice)
    assert api.bob.post(URL, **form(("a", b"1")), headers=KEY).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "ümlaut", "a\tb"])
def test_malformed_keys_are_refused(api, key):
    answer = api.bob.post(f"{V1}/models", {"name": "risk/x"}, headers={"Idempotency-Key": key})
    refused(answer, 400, fields={"Idempotency-Key"})
    assert not RegisteredModel.objects.exists()


def test_every_post_that_changes_something_takes_a_key(api, people):
    model = builders.model("risk/fraud", by=people.alice)
    for _ in range(3):
        builders.complete_version(model, by=people.alice)
    base = f"{V1}/models/risk/fraud"
    run = api.alice.post(f"{V1}/runs", {"name": "nightly"}).json()["url"]
    calls = [
        (f"{base}/versions/1/metrics", {"metrics": {"auc": 1}}),
        (f"{base}/versions/1/stage", {"to": "production"}),
        (f"{base}/versions/2/stage", {"to": "production"}),
        (f"{base}/rollback", {"reason": "It drifts."}),
        (f"{V1}/runs", {"name": "weekly"}),
        (f"{V1}/datasets", {"name": "tx"}),
        (run, None),
        (f"{run}/log", {"metrics": [{"key": "loss", "value": 1}]}),
        (f"{base}/rename", {"to": "risk/fraud 2"}),
    ]
    for number, (url, body) in enumerate(calls):
        if body is None:
            continue
        headers = {"Idempotency-Key": f"key-{number}"}
        first = api.erin.post(url, body, headers=headers)
        again = api.erin.post(url, body, headers=headers)
        assert first.status_code in (200, 201), (url, first.content)
        assert again["Idempotency-Replayed"] == "true", url
        assert again.json() == first.json()
    assert StageTransition.objects.count() == 5
    assert IdempotencyRecord.objects.count() == len(calls) - 1


def test_secrets_are_not_kept_for_repetition(api):
    answer = api.bob.post(f"{V1}/tokens", {"name": "ci", "scopes": ["read"]}, headers=KEY)
    refused(answer, 400, fields={"Idempotency-Key"})
    assert not IdempotencyRecord.objects.exists()
