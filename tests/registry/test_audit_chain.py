"""The audit only grows, and can prove it."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from models_app.models import AuditEvent, AuditLink
from models_app.registry import audit, audit_chain
from models_app.registry.access import Actor
from tests.append_only import lifted


@pytest.fixture
def records(people):
    """A few records, old enough to be sealed."""
    audit_chain_now = timezone.now() + audit_chain.SETTLED + timedelta(seconds=1)
    for number in range(5):
        audit.record("test.done", by=people.alice, subject=f"thing {number}", after={"n": number, "f": 0.1})
    return audit_chain_now


@pytest.fixture
def later(records, monkeypatch):
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: records)


def seal_all() -> int:
    count = 0
    while sealed := audit_chain.seal(batch=3):
        count += sealed
    return count


def test_records_are_linked_in_batches(later):
    total = AuditEvent.objects.count()
    assert seal_all() == total
    found = audit_chain.verify()
    assert (found.links, found.waiting, found.problem) == (total, 0, "")
    assert audit_chain.seal() == 0


@pytest.mark.usefixtures("people")
def test_young_records_wait():
    audit.record("test.done", by=Actor.system(), subject="young")
    assert audit_chain.seal() == 0
    assert audit_chain.verify().waiting == AuditEvent.objects.count()


@pytest.mark.parametrize("change", ["update", "delete"])
@pytest.mark.parametrize("table", ["models_app_auditevent", "models_app_auditlink"])
def test_the_database_refuses_to_change_it(later, change, table):
    seal_all()
    column = "verb" if table.endswith("event") else "hash"
    sql = f"UPDATE {table} SET {column} = 'x'" if change == "update" else f"DELETE FROM {table}"
    with (
        pytest.raises(DatabaseError, match="only grows"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)


def tamper(sql: str) -> None:
    """What somebody with all rights on the database could do."""
    with lifted(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_a_changed_record_is_found(later):
    seal_all()
    victim = AuditEvent.objects.order_by("id")[2]
    tamper(f"UPDATE models_app_auditevent SET actor_name = 'somebody' WHERE id = {victim.pk}")
    found = audit_chain.verify()
    assert found.event_id == victim.pk
    assert "not what was sealed" in found.problem


def test_a_missing_record_is_found(later):
    seal_all()
    victim = AuditEvent.objects.order_by("id")[1]
    tamper(f"DELETE FROM models_app_auditevent WHERE id = {victim.pk}")
    assert audit_chain.verify().event_id == victim.pk


def test_a_chain_cut_short_is_found_by_its_checkpoint(later):
    seal_all()
    kept = audit_chain.checkpoint().as_dict()
    assert audit_chain.why_not_valid(kept) == ""
    last = AuditLink.objects.order_by("-position").first()
    tamper(f"DELETE FROM models_app_auditlink WHERE position = {last.position}")
    assert "is not what the checkpoint" in audit_chain.verify().problem
    assert "not signed" in audit_chain.why_not_valid({**kept, "position": 1})
    assert "not signed" in audit_chain.why_not_valid(kept, public_key="00" * 32)
