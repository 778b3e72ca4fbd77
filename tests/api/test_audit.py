"""The audit over REST."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.models import AuditCheckpoint, AuditEvent
from models_app.registry import audit_chain
from tests import builders
from tests.api.asking import V1, content, items, refused

AUDIT = f"{V1}/audit"


@pytest.fixture
def model(people):
    builders.model("vision/defects", by=people.charlie)
    return builders.model("risk/fraud", by=people.alice)


@pytest.fixture
def sealed(model, monkeypatch):
    moment = timezone.now() + audit_chain.SETTLED + timedelta(minutes=1)
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: moment)
    audit_chain.seal()


def test_admins_read_theirs_and_others_hear_why_not(api, model):
    (record,) = items(api.erin.get(AUDIT))
    assert (record["verb"], record["subject"], record["actor_name"]) == (
        "model.registered",
        "risk/fraud",
        "alice",
    )
    assert record["position"] is record["hash"] is None
    assert "vision/defects" in {row["subject"] for row in items(api.root.get(AUDIT))}
    for who in ("alice", "bob", "carol", "dave", "charlie"):
        for path in (AUDIT, f"{AUDIT}/export", f"{AUDIT}/checkpoint"):
            assert "Activity" in refused(getattr(api, who).get(path), 403)["next_step"]
    refused(api.anonymous.get(AUDIT), 401)


def test_filters_are_those_of_the_page(api, model):
    api.dave.patch(f"{V1}/models/risk/fraud", {"purpose": "x"})
    (record,) = items(api.erin.get(f"{AUDIT}?refused=true"))
    assert record["actor_name"] == "dave"
    assert items(api.erin.get(f"{AUDIT}?request_id={record['request_id']}")) == [record]
    assert items(api.erin.get(f"{AUDIT}?person=dave&model=risk/fraud&door=api&verb=refused&q=models")) == [
        record
    ]
    assert items(api.erin.get(f"{AUDIT}?after={record['at']}")) == [record]
    assert len(items(api.erin.get(f"{AUDIT}?before={record['at']}"))) == 1
    assert [row["id"] for row in items(api.erin.get(f"{AUDIT}?ordering=id"))][-1] == record["id"]
    refused(api.erin.get(f"{AUDIT}?who=dave"), 400, fields={"who"})
    refused(api.erin.get(f"{AUDIT}/export?who=dave"), 400, fields={"who"})
    refused(api.erin.get(f"{AUDIT}?after=soon"), 400, fields={"after"})
    refused(api.erin.get(f"{AUDIT}?q={'a+' * 21}"), 400, fields={"q"})


def test_pages_follow_each_other(api, model):
    first = api.root.get(f"{AUDIT}?limit=3").json()
    second = items(api.root.get(first["next"]))
    assert second[0]["id"] < first["items"][-1]["id"]


def test_listed_records_are_those_that_are_hashed(api, sealed):
    former = audit_chain.START
    for record in items(api.root.get(f"{AUDIT}?ordering=id&limit=200")):
        del record["position"]
        claimed = record.pop("hash")
        if claimed is None:  # the token of this call
            break
        former = audit_chain.link_hash(former, record)
        assert former == claimed


def test_the_export_has_the_filters_and_costs_the_same_however_long(api, people, model):
    counts = []
    for more in (1, 4000):
        AuditEvent.objects.bulk_create(
            AuditEvent(verb="test.done", actor_name="x", subject=f"s{n}") for n in range(more)
        )
        api.root.get(f"{AUDIT}/export?verb=test.done")
        with CaptureQueriesContext(connection) as asked:
            answer = api.root.get(f"{AUDIT}/export?verb=test.done")
            lines = content(answer).splitlines()
        counts.append(len(asked))
    assert answer["Content-Type"] == "application/jsonl"
    assert len(lines) == 4001
    assert json.loads(lines[0])["subject"] == "s0"
    assert counts[0] == counts[1]


def test_checkpoints(api, people, model, monkeypatch):
    where = f"{AUDIT}/checkpoint"
    refused(api.root.get(where), 404)
    refused(api.root.post(where), 409)
    moment = timezone.now() + audit_chain.SETTLED + timedelta(minutes=1)
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: moment)
    audit_chain.seal()
    refused(api.erin.post(where), 403)
    refused(api.client(people.root, "read").post(where), 403)
    once = {"headers": {"Idempotency-Key": "daily"}}
    made = api.root.post(where, **once)
    assert made.status_code == 201
    assert api.root.post(where, **once).json() == made.json()
    assert AuditCheckpoint.objects.count() == 1
    assert audit_chain.why_not_valid(made.json()) == ""
    assert api.erin.get(where).json() == made.json()
