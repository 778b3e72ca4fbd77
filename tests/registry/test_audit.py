"""Who reads the audit, what of it, and what is known of its chain."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from models_app.models import AuditEvent, AuditVerification
from models_app.registry import audit, audit_chain, catalog
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict, Forbidden, Invalid, Unauthenticated
from models_app.tasks import governance
from models_app.web.sentences import WORDS
from tests import builders
from tests.append_only import lifted

CORE = Path(audit.__file__).parent


@pytest.fixture
def models(people):
    """One model of each team."""
    return {
        "risk": builders.model("risk/fraud", by=people.alice),
        "vision": builders.model("vision/defects", by=people.charlie),
    }


@pytest.fixture
def settled(monkeypatch):
    """Whatever was recorded is old enough to be sealed."""
    moment = timezone.now() + audit_chain.SETTLED + timedelta(minutes=1)
    monkeypatch.setattr(audit_chain.timezone, "now", lambda: moment)


def subjects(rows) -> list[str]:
    return [event.subject for event in rows]


def test_site_admins_read_all_team_admins_what_is_their_teams(people, models):
    assert audit.events_for(people.root).count() == AuditEvent.objects.count()
    assert subjects(audit.events_for(people.erin)) == ["risk/fraud"]


@pytest.mark.parametrize("who", ["alice", "bob", "carol", "dave", "charlie"])
def test_nobody_else_reads_it(people, models, who):
    actor = getattr(people, who)
    assert not audit.may_read(actor)
    with pytest.raises(Forbidden) as refusal:
        audit.events_for(actor)
    assert "Activity" in refusal.value.next_step


def test_strangers_are_asked_to_log_in(people, settings):
    settings.PUBLIC_READ = True
    with pytest.raises(Unauthenticated):
        audit.events_for(people.anonymous)


def test_filters(people, models):
    act = Actor.of(people.alice.user, door="mlflow", request_id="abc-123")
    audit.record("version.moved", by=act, subject="risk/fraud@1", model=models["risk"])
    audit.refuse(Forbidden("No."), by=people.dave, what="POST /x", model="risk/fraud")
    rows = audit.events_for(people.erin)

    def found(**filters):
        return subjects(audit.narrowed(rows, **filters))

    assert found() == ["POST /x", "risk/fraud@1", "risk/fraud"]
    assert found(person="dave") == found(refused=True) == ["POST /x"]
    assert found(refused=False, person="alice") == ["risk/fraud@1", "risk/fraud"]
    assert (
        found(verb="version.moved") == found(door="mlflow") == found(request_id="abc-123") == ["risk/fraud@1"]
    )
    assert found(q="FRAUD @1") == ["risk/fraud@1"]
    assert found(q="100%") == found(q="fr_ud") == []
    assert found(model="vision/defects") == []
    newest = rows[0].at
    assert found(after=newest) == ["POST /x"]
    assert found(before=newest) == ["risk/fraud@1", "risk/fraud"]
    with pytest.raises(Invalid):
        found(q="a " * 21)


def test_a_model_is_found_by_former_names_and_after_it_is_gone(people, models):
    model = models["risk"]
    catalog.rename_model(model, to="risk/scams", by=people.alice)
    rows = audit.events_for(people.root)
    assert len(audit.narrowed(rows, model="risk/fraud")) == len(audit.narrowed(rows, model="risk/scams")) == 2
    catalog.delete_model(model, by=people.alice)
    assert len(audit.narrowed(rows, model="risk/scams")) == 3


def test_refusals_are_of_the_model_but_not_on_its_activity_tab(people, api, models):
    before = audit.last_change()
    api.dave.patch("/api/v1/models/risk/fraud", {"purpose": "x"})
    assert audit.events_for(people.erin)[0].refused
    assert subjects(audit.of_model(models["risk"])) == ["risk/fraud"]
    assert audit.last_change() == before


@pytest.mark.usefixtures("people", "settled")
def test_where_the_chain_stands():
    total = AuditEvent.objects.count()
    at_first = audit_chain.standing()
    assert (at_first.sealed, at_first.waiting, at_first.checkpoint, at_first.verification) == (
        0,
        total,
        None,
        None,
    )
    assert not audit_chain.verification_is_due()
    audit_chain.seal()
    assert governance.prove_audit()
    assert not governance.prove_audit()
    made = audit_chain.ask_checkpoint(by=Actor.system())
    now = audit_chain.standing()
    assert (now.sealed, now.waiting, now.checkpoint) == (total, 1, made)
    assert (now.verification.links, now.verification.problem) == (total, "")


@pytest.mark.usefixtures("people", "settled")
def test_a_break_is_kept_and_told(caplog):
    audit_chain.seal()
    victim = AuditEvent.objects.order_by("id")[1]
    with lifted():
        AuditEvent.objects.filter(pk=victim.pk).update(reason="never said")
    assert governance.prove_audit()
    seen = audit_chain.standing().verification
    assert (seen.links, seen.event_ref) == (1, victim.pk)
    assert "not what was sealed" in seen.problem
    assert "DOES NOT HOLD at link 2" in caplog.text


@pytest.mark.usefixtures("people", "settled")
def test_a_look_that_was_cut_off_is_taken_up_again():
    audit_chain.seal()
    now = audit_chain.timezone.now()
    cut = AuditVerification.objects.create(started_at=now - timedelta(minutes=5))
    assert not audit_chain.verification_is_due()
    AuditVerification.objects.filter(pk=cut.pk).update(started_at=now - timedelta(hours=2))
    assert audit_chain.verification_is_due()
    assert audit_chain.standing().verification is None


def test_checkpoints_are_signed_for_site_admins_once_there_is_a_chain(people, settled):
    with pytest.raises(Forbidden):
        audit_chain.ask_checkpoint(by=people.erin)
    with pytest.raises(Conflict):
        audit_chain.ask_checkpoint(by=people.root)
    audit_chain.seal()
    made = audit_chain.ask_checkpoint(by=people.root)
    assert audit_chain.why_not_valid(made.as_dict()) == ""
    assert AuditEvent.objects.latest("id").verb == "audit.checkpoint_signed"


def test_every_verb_of_the_core_has_words():
    calls = re.compile(r'(?:audit\.record|_record)\(\s*(?:\w+ = )?"(\w+\.\w+)"|name="(promotion\.\w+)"')
    recorded = {a or b for path in CORE.rglob("*.py") for a, b in calls.findall(path.read_text())}
    assert len(recorded) > 40
    assert recorded - WORDS.keys() == set()
