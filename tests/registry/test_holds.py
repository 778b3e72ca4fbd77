"""Legal holds, and everything else that keeps a version or a model from being deleted."""

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import AuditEvent, LegalHold, ModelVersion, Run
from models_app.registry import catalog, deletion, experiments, holds, lifecycle, logged_models, runs, sources
from models_app.registry.artifacts import sweep, trees
from models_app.registry.errors import Conflict, Forbidden, Invalid, NothingToDo, StillNeeded
from tests import builders

pytestmark = pytest.mark.django_db


def keys(version, by):
    return [one.key for one in deletion.obstacles(version, by=by)]


def test_everything_that_stands_in_the_way_is_told_at_once(people):
    model = builders.model(by=people.alice)
    first, second = (builders.promoted(model, by=people.bob, approver=people.carol) for _ in range(2))
    first.refresh_from_db()
    lifecycle.set_alias(model, name="old", version=first, by=people.bob)
    builders.version(model, by=people.bob, base_model=f"{model.name}@1")
    holds.place(model, version=first, by=people.erin, reason="Case 7")
    with pytest.raises(StillNeeded) as refused:
        catalog.delete_version(first, by=people.alice)
    found = [one.key for one in refused.value.obstacles]
    assert found == ["alias", "rollback_target", "legal_hold", "base"]
    assert "is under legal hold (erin, " in refused.value.why
    assert "Case 7." in refused.value.why
    assert "Move or delete the alias first." in refused.value.next_step
    assert keys(second, people.alice) == ["stage"]
    # The rules as a query say the same of every version, whoever asks.
    free = builders.version(model, by=people.bob)
    everything = ModelVersion.objects.select_related("model").order_by("number")
    alone = [one.number for one in everything if not set(keys(one, people.root)) - {"stage"}]
    unneeded = deletion.unneeded(everything).values_list("number", flat=True)
    assert list(unneeded) == alone == [2, 3, free.number]
    holds.place(model, by=people.erin, reason="Case 8")
    assert not deletion.unneeded(everything).exists()
    assert keys(free, people.alice) == ["legal_hold"]


def test_a_hold_is_placed_and_lifted_by_admins_with_a_reason(people):
    model = builders.model(by=people.alice)
    version = builders.version(model, by=people.bob)
    for who in (people.alice, people.carol, people.charlie):
        with pytest.raises(Forbidden):
            holds.place(model, version=version, by=who, reason="Case 7")
    with pytest.raises(Invalid, match="reason"):
        holds.place(model, by=people.erin, reason="  ")
    ours = holds.place(model, version=version, by=people.erin, reason="Case 7")
    theirs = holds.place(model, by=people.root, reason="The authority asked")
    for delete, subject in ((catalog.delete_version, version), (catalog.delete_model, model)):
        with pytest.raises(StillNeeded, match="The authority asked"):
            delete(subject, by=people.root)
    with pytest.raises(Forbidden, match="site admin"):
        holds.lift(theirs, by=people.erin, reason="Over")
    holds.lift(theirs, by=people.root, reason="Over")
    holds.lift(ours, by=people.erin, reason="Settled")
    with pytest.raises(NothingToDo):
        holds.lift(ours, by=people.erin, reason="Settled")
    catalog.delete_version(version, by=people.alice)
    told = AuditEvent.objects.filter(verb__startswith="hold.").order_by("id")
    assert list(told.values_list("verb", "subject", "reason")) == [
        ("hold.placed", "risk/fraud-detector@1", "Case 7"),
        ("hold.placed", "risk/fraud-detector", "The authority asked"),
        ("hold.lifted", "risk/fraud-detector", "Over"),
        ("hold.lifted", "risk/fraud-detector@1", "Settled"),
    ]
    catalog.delete_model(model, by=people.alice)
    assert not LegalHold.objects.exists()


def test_what_a_held_version_came_from_stays(people, monkeypatch):
    fraud = experiments.create_experiment("fraud", team=people.risk, by=people.alice)
    run = runs.create_run(experiment=fraud, by=people.bob)
    logged = logged_models.create_logged_model(fraud, name="m", by=people.bob, source_run=run)
    trees.put(logged, [builders.stored("model.bin")], by=people.bob)
    trees.put(run, [builders.stored("log.txt", b"log")], by=people.bob)
    logged_models.finalize(logged, status="ready", by=people.bob)
    model = builders.model(by=people.alice)
    version = sources.register_version(model, source=f"models:/{logged.uid}", by=people.bob)
    assert version.logged_model_id == logged.pk
    early = runs.create_run(experiment=fraud, by=people.bob)
    runs.delete_run(early, by=people.bob)
    hold = holds.place(model, by=people.erin, reason="Case 7")
    for refused in (
        lambda: runs.delete_run(run, by=people.bob),
        lambda: experiments.delete_experiment(fraud, by=people.alice),
        lambda: logged_models.delete_logged_model(logged, by=people.bob),
        lambda: trees.remove(run, "log.txt", by=people.bob),
        lambda: trees.put(run, [builders.stored("log.txt", b"other")], by=people.bob),
    ):
        with pytest.raises(Conflict, match=r"risk/fraud-detector@1 came from here and is under legal hold"):
            refused()
    # Deleted before anybody placed the hold: the sweep leaves it alone.
    Run.objects.filter(pk=run.pk).update(deleted_at=timezone.now() - timedelta(days=90))
    assert sweep.plan().files == sweep.sweep().files == 0
    holds.lift(hold, by=people.erin, reason="Over")
    assert sweep.plan().files == 1
