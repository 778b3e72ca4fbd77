"""The clock's part in governance, and the commands that prove the audit."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from models_app.models import AuditEvent, AuditLink, RegisteredModel
from models_app.registry import audit_chain
from models_app.tasks.governance import keep_up
from tests import builders
from tests.append_only import lifted


@pytest.fixture
def later(people, monkeypatch):
    builders.complete_version(builders.model(by=people.alice), by=people.bob)
    moment = timezone.now() + audit_chain.SETTLED + timedelta(seconds=1)
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: moment)


def test_the_worker_seals_what_settled(later):
    assert keep_up() == AuditEvent.objects.count() == AuditLink.objects.count()
    assert keep_up() == 0


def test_the_commands_prove_and_sign(later, capsys, tmp_path):
    call_command("audit_checkpoint")
    kept = tmp_path / "checkpoint.json"
    kept.write_text(capsys.readouterr().out)
    assert json.loads(kept.read_text())["position"] == AuditLink.objects.count()
    call_command("audit_verify", verbosity=0, checkpoint=kept)
    assert "The chain holds" in capsys.readouterr().out
    with lifted():
        AuditEvent.objects.filter(pk=AuditEvent.objects.earliest("id").pk).update(reason="never said")
    with pytest.raises(CommandError, match="not what was sealed"):
        call_command("audit_verify", verbosity=0)


def test_what_was_refused_is_on_record(api, people):
    builders.complete_version(builders.model("risk/fraud", by=people.alice), by=people.bob)
    api.dave.post("/api/v1/models/risk/fraud/versions/1/stage", {"to": "staging"})
    api.dave.get("/api/v1/models/risk/nothing")
    (record,) = AuditEvent.objects.filter(refused=True)
    assert (record.actor_name, record.door) == ("dave", "api")
    assert "role contributor" in record.reason
    api.dave.post("/api/2.0/mlflow/registered-models/rename", {"name": "risk--fraud", "new_name": "x"})
    assert AuditEvent.objects.filter(refused=True, door="mlflow", actor_name="dave").count() == 1
    record = AuditEvent.objects.get(refused=True, door="mlflow", actor_name="dave")
    assert record.model_ref is None
    api.dave.post("/api/2.0/mlflow/registered-models/update", {"name": "risk/fraud", "description": "x"})
    record = AuditEvent.objects.filter(refused=True, door="mlflow").latest("id")
    assert record.model_ref == RegisteredModel.objects.get().pk
