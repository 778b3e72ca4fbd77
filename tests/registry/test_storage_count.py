"""What is counted by the clock: distinct bytes, who alone holds them, what only runs hold, and the line over time."""

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import ModelStorage, StorageDay, StorageTask, StorageUse
from models_app.registry import access, experiments, quotas, runs, storage_count, storage_report
from models_app.registry.artifacts import storage_tasks, trees
from models_app.registry.errors import Forbidden
from tests import builders


@pytest.fixture
def held(people):
    """Two models of risk that share a file, one of vision with the same one, and a run's own file."""
    fraud, churn = (builders.model(f"risk/{name}", by=people.alice) for name in ("fraud", "churn"))
    for _ in range(2):
        builders.version(fraud, by=people.alice, files={"own.bin": b"o" * 100, "shared.bin": b"s" * 40})
    builders.version(churn, by=people.alice, files={"shared.bin": b"s" * 40, "churn.bin": b"c" * 7})
    other = builders.model("vision/eyes", by=people.root)
    builders.version(other, by=people.root, files={"shared.bin": b"s" * 40})
    run = runs.create_run(
        experiment=experiments.create_experiment("nightly", team=people.risk, by=people.bob), by=people.bob
    )
    trees.put(run, [builders.stored("checkpoint.bin", b"k" * 11)], by=people.bob)
    return fraud


@pytest.mark.django_db
@pytest.mark.parametrize("at_a_look", [0, 20_000])
def test_a_count_says_what_is_distinct_and_held_alone(held, people, monkeypatch, at_a_look):
    monkeypatch.setattr(storage_count, "MOST_AT_A_LOOK", at_a_look)
    storage_count.count()
    counted = dict(ModelStorage.objects.values_list("model__name", "stored"))
    assert counted == {"risk/fraud": 140, "risk/churn": 47, "vision/eyes": 40}
    # What another team holds too is no secret that a number could tell.
    alone = dict(ModelStorage.objects.values_list("model__name", "only_here"))
    assert alone == {"risk/fraud": 100, "risk/churn": 7, "vision/eyes": 40}
    risk = StorageUse.objects.get(team=people.risk)
    assert (risk.run_size, risk.stored, risk.only_here) == (11, 158, 118)
    assert risk.largest[:2] == list(held.versions.order_by("-pk").values_list("pk", flat=True))
    assert quotas.standing_of(people.risk.pk).used == 280 + 47 + 11
    assert StorageDay.objects.filter(team=None).values_list("size", "run_size", "stored").get() == (
        367,
        11,
        158,
    )
    # Again on the same day: the day's last count stays.
    storage_count.count()
    assert StorageDay.objects.filter(team=people.risk).values_list("day", "size", "run_size").get() == (
        timezone.now().date(),
        327,
        11,
    )


@pytest.mark.django_db
def test_a_version_says_what_deleting_it_would_free(held, people):
    first = access.get_version("risk/fraud", "1", by=people.alice)
    assert storage_report.of_version(first, by=people.alice).only_here == 0  # Its equal holds the same.
    churn = access.get_version("risk/churn", "1", by=people.alice)
    use = storage_report.of_version(churn, by=people.alice)
    assert (use.size, use.stored, use.only_here) == (47, 47, 7)
    assert storage_report.of_version(churn, by=people.charlie).only_here is None
    assert storage_report.of_model(held, by=people.alice).only_here is None  # Not counted yet.
    with pytest.raises(Forbidden):
        storage_report.of_team(people.risk, by=people.charlie)


@pytest.mark.django_db
def test_the_last_point_is_now_and_what_came_is_counted_soon(held, people, monkeypatch):
    storage_count.count()
    StorageDay.objects.update(day="2026-01-02")
    builders.version(held, by=people.alice, files={"new.bin": b"n" * 1000})
    risk, everybody = quotas.standing_of(people.risk.pk), storage_report.of_teams(by=people.root)
    for team, standings in ((people.risk, [risk]), (None, everybody)):
        shown = storage_report.days(team, standings, by=people.root)
        assert [day.day for day in shown][1:] == [timezone.now().date()]
        assert shown[-1].used == sum(one.used for one in standings)
        assert shown[-1].used == shown[0].used + 1000
    assert storage_report.counted_at(by=people.root) == StorageUse.objects.get(team=people.risk).counted_at

    def due(*, took: float, ago: float) -> bool:
        ended = timezone.now() - timedelta(seconds=ago)
        times = {"began_at": ended - timedelta(seconds=took), "ended_at": ended}
        StorageTask.objects.update_or_create(name="count", defaults=times)
        return storage_tasks.any_due()

    monkeypatch.setattr(storage_tasks, "TASKS", {"count": storage_tasks.TASKS["count"]})
    assert storage_tasks.any_due()
    assert not due(took=0.1, ago=100)
    assert due(took=0.1, ago=130)
    assert not due(took=60, ago=5900)
    assert due(took=60, ago=6100)
    assert due(took=10_000, ago=25 * 3600)


@pytest.mark.django_db
def test_a_stopped_count_keeps_nothing(held):
    assert storage_count.count(stop=lambda: True) == {}
    assert not StorageDay.objects.exists()
