"""What a team may hold: the sums that are kept, what is refused, who is told."""

import threading

import pytest
from django.db import connection

from models_app.models import AuditEvent, Notice, OutboxEvent, RegisteredModel, StorageChange, StorageUse
from models_app.registry import catalog, quotas, storage_use
from models_app.registry.artifacts import upload_sessions
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.errors import Forbidden, Invalid, OverQuota
from models_app.tasks.dispatcher import dispatch
from tests import builders


def held(team) -> int:
    return quotas.standing_of(team.pk).used


def correct() -> bool:
    return list(storage_use.check()) == []


@pytest.mark.django_db
def test_sums_keep_in_step_with_every_change(people):
    fraud = builders.model(by=people.alice)
    first = builders.version(fraud, by=people.alice, files={"a.bin": b"x" * 100, "b.bin": b"y" * 50})
    # Equal bytes are stored once and count again.
    builders.version(fraud, by=people.alice, files={"a.bin": b"x" * 100})
    assert (held(people.risk), RegisteredModel.objects.get().size) == (250, 250)
    assert storage_use.fold() == 2
    assert storage_use.fold() == 0
    assert (held(people.risk), StorageChange.objects.count(), correct()) == (250, 0, True)

    catalog.delete_version(first, by=people.alice)
    assert (held(people.risk), RegisteredModel.objects.get().size) == (100, 100)

    other = catalog.register_model("churn", team="risk", by=people.alice)
    builders.version(other, by=people.alice, files={"c.bin": b"z" * 30})
    catalog.update_model(other, by=people.root, team="vision")
    assert (held(people.risk), held(people.vision)) == (100, 30)
    catalog.rename_model(RegisteredModel.objects.get(name="churn"), to="risk/churn", by=people.root)
    assert (held(people.risk), held(people.vision)) == (130, 0)
    fraud.refresh_from_db()
    catalog.delete_model(fraud, by=people.alice)
    storage_use.fold()
    assert (held(people.risk), correct()) == (30, True)


@pytest.mark.django_db
def test_wrong_sums_are_found_and_set_right(people):
    fraud = builders.model(by=people.alice)
    builders.version(fraud, by=people.alice, files={"a.bin": b"x" * 100})
    storage_use.fold()
    RegisteredModel.objects.update(size=7)
    StorageUse.objects.update(size=3)
    wrong = [("model risk/fraud-detector", 7, 100), ("team risk", 3, 7)]
    assert [(one.whose, one.kept, one.actual) for one in storage_use.check()] == wrong
    storage_use.rebuild()
    assert correct()
    assert held(people.risk) == 100
    assert storage_use.rebuild() == []


@pytest.mark.django_db
def test_a_hard_quota_refuses_and_changes_nothing(people):
    fraud = builders.model(by=people.alice)
    quotas.set_quota(None, soft=None, hard=150, by=people.root)
    builders.version(fraud, by=people.alice, files={"a.bin": b"x" * 100})
    with pytest.raises(OverQuota) as refused:
        builders.version(fraud, by=people.alice, files={"b.bin": b"y" * 51})
    assert (refused.value.limit, refused.value.used, refused.value.asked) == (150, 100, 51)
    assert "risk" in refused.value.why
    assert "site admin" in refused.value.next_step
    assert (held(people.risk), fraud.versions.count()) == (100, 1)
    # To the last byte; what has no bytes is always taken.
    builders.version(fraud, by=people.alice, files={"b.bin": b"y" * 50})
    catalog.register_version(fraud, files=[], metadata={"source": "s3://elsewhere/x"}, by=people.alice)
    # A team's own stands instead of everybody's, also when it is none.
    quotas.set_quota(people.risk, soft=None, hard=None, by=people.root)
    builders.version(fraud, by=people.alice, files={"c.bin": b"z" * 500})
    quotas.drop_quota(people.risk, by=people.root)
    with pytest.raises(OverQuota):
        builders.version(fraud, by=people.alice, files={"d.bin": b"z"})
    # Nor by the back door.
    plain = catalog.register_model("churn", team="vision", by=people.charlie)
    builders.version(plain, by=people.charlie, files={"a": b"1" * 10})
    with pytest.raises(OverQuota):
        catalog.update_model(plain, team="risk", by=people.root)


@pytest.mark.django_db
def test_only_site_admins_set_quotas(people):
    for actor in (people.erin, people.alice):
        with pytest.raises(Forbidden):
            quotas.set_quota(people.risk, soft=None, hard=1, by=actor)
        with pytest.raises(Forbidden):
            quotas.drop_quota(people.risk, by=actor)
    for soft, hard in ((-1, None), (None, 2**63), (10, 9)):
        with pytest.raises(Invalid):
            quotas.set_quota(people.risk, soft=soft, hard=hard, by=people.root)
    quotas.set_quota(people.risk, soft=5, hard=9, by=people.root)
    quotas.set_quota(people.risk, soft=5, hard=9, by=people.root)
    assert AuditEvent.objects.filter(verb="quota.set").count() == 1


@pytest.mark.django_db
def test_an_upload_is_refused_when_it_is_declared(people):
    quotas.set_quota(people.risk, soft=None, hard=100, by=people.root)
    about = {"registration": {}, "create_model": True, "model_fields": {}, "metadata": {}, "by": people.alice}
    file = StoredFile("a.bin", "0" * 64, 60)
    with pytest.raises(OverQuota):
        upload_sessions.begin("risk/new", files=[StoredFile("a.bin", "0" * 64, 101)], **about)
    session = upload_sessions.begin("risk/new", files=[file], **about)
    with pytest.raises(OverQuota):
        upload_sessions.declare(session, [StoredFile("b.bin", "1" * 64, 41)], by=people.alice)
    assert session.files.count() == 1


@pytest.mark.django_db
def test_people_are_told_once_when_they_come_near(people, settings):
    settings.MAIL_IS_ON = True
    fraud = builders.model(by=people.alice)
    quotas.set_quota(people.risk, soft=100, hard=200, by=people.root)
    first = builders.version(fraud, by=people.bob, files={"a.bin": b"x" * 101})
    assert "holds 101 B of 200 B" in quotas.standing_of(people.risk.pk).warning
    for _ in range(2):
        storage_use.fold()
        dispatch()
        builders.version(fraud, by=people.bob, files={"b.bin": b"y"})
    told = Notice.objects.order_by("user__username")
    assert [(notice.user.username, notice.name) for notice in told] == [
        ("alice", "quota.passed"),
        ("erin", "quota.passed"),
    ]
    assert "101 B of 200 B" in told[0].subject
    # Room again, and near again: a new warning.
    catalog.delete_version(first, by=people.alice)
    storage_use.fold()
    builders.version(fraud, by=people.bob, files={"a.bin": b"x" * 101})
    storage_use.fold()
    assert OutboxEvent.objects.filter(name="quota.passed").count() == 2


@pytest.mark.django_db(transaction=True)
def test_registrations_at_once_do_not_pass_the_quota_together(people):
    quotas.set_quota(people.risk, soft=None, hard=1000, by=people.root)
    models = [builders.model(f"risk/m{number}", by=people.alice) for number in range(6)]
    files = [builders.stored("a.bin", bytes([number]) * 300) for number in range(6)]
    ready, refused, broken = threading.Barrier(6), [], []

    def register(number):
        try:
            ready.wait(timeout=60)
            catalog.register_version(models[number], files=[files[number]], metadata={}, by=people.alice)
        except OverQuota:
            refused.append(number)
        except Exception as error:
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=register, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert (held(people.risk), len(refused), correct()) == (900, 3, True)
