"""Stored bytes read again: damage is told with whom it hits, never served, and healed by the same bytes."""

from __future__ import annotations

import json
import resource
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from models_app.models import AuditEvent, Blob, StorageTask
from models_app.registry import catalog, promotions, requirements, runs
from models_app.registry.artifacts import integrity, reuse, storage, trees
from models_app.registry.errors import Damaged, Invalid, PolicyUnmet
from tests import builders
from tests.api.asking import form

pytestmark = pytest.mark.django_db
CONTENT = b"what it was"


def verify(*arguments: str) -> tuple[int, str]:
    told = StringIO()
    try:
        call_command("artifacts_verify", *arguments, stdout=told)
    except SystemExit as ended:
        return int(ended.code or 0), told.getvalue()
    return 0, told.getvalue()


def spoil(sha256: str, content: bytes) -> None:
    path = storage.local_path(sha256)
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.fixture
def version(people):
    model = builders.model(by=people.bob)
    return builders.version(model, by=people.bob, files={"a.bin": CONTENT, "b.bin": b"sound"})


@pytest.mark.parametrize("content", [b"what it wAs", b"shorter", None])
def test_damage_is_told_never_served_and_healed(version, people, api, content, tmp_path):
    sha256 = builders.sha256(CONTENT)
    run = runs.create_run(by=people.bob)
    trees.put(run, [builders.stored("log.bin", CONTENT)], by=people.bob)
    assert verify() == (0, "Read 2 blobs, 16 B.\nAll of them are what they were.\n")
    spoil(sha256, content) if content is not None else storage.delete(sha256)
    code, told = verify("--json")
    (hit,) = json.loads(told)["damaged"]
    assert (code, hit["sha256"]) == (1, sha256)
    assert hit["named_by"] == [f"{version.model.name}@1: a.bin", f"run {run.uid}: log.bin"]
    assert verify()[0] == 1, "told again till it is whole"
    assert AuditEvent.objects.filter(verb="storage.damaged", subject=sha256).count() == 1

    for address in (f"/api/v1/models/{version.model.name}/versions/1/files/a.bin",):
        answer = api.bob.get(address)
        assert answer.status_code == 500
        assert answer.json()["type"] == "urn:modelry:problem:damaged"
        assert "Send the same file again" in answer.content.decode()
    with pytest.raises(Damaged):
        storage.open_blob(sha256)
    # Whoever names it by its digest is asked for the bytes; sending them heals it everywhere.
    named = [{"path": "a.bin", "sha256": sha256}]
    with pytest.raises(Invalid):
        reuse.readable(named, by=people.bob)
    if content is None:
        lost = tmp_path / "from-backup"
        lost.write_bytes(CONTENT)
        call_command("artifacts_restore", str(lost), stdout=StringIO())
    else:
        file = builders.stored("a.bin", CONTENT)
        catalog.register_version(version.model, files=[file], metadata={}, by=people.bob)
    assert not Blob.objects.filter(damaged_at__isnull=False).exists()
    assert verify()[0] == 0
    assert api.bob.get(f"/api/v1/models/{version.model.name}/versions/1/files/a.bin").getvalue() == CONTENT
    assert not list(storage.store().walk("quarantine/"))


def test_it_goes_on_where_it_stopped(version):
    for number in range(6):
        builders.stored("x", bytes([number]))
    Blob.objects.bulk_create(
        Blob(sha256=kept.key[-64:], size=kept.size) for kept in storage.stored() if kept.size == 1
    )
    seen = []
    first = integrity.verify_all(told=lambda done: seen.append(done.blobs), stop=lambda: len(seen) == 3)
    assert first.blobs == 3
    assert StorageTask.objects.get(name="verify").position
    assert integrity.verify_all(told=lambda done: seen.append(done.blobs)).blobs == 8
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert integrity.verify_all().blobs == 8, "ended, so it begins anew"


def test_a_sample_and_a_rate(version):
    assert "Read 1 blobs" in verify("--sample", "50%", "--rate", "10M")[1]
    assert "Read 2 blobs" in verify("--sample", "99")[1]
    for wrong in (["--sample", "0"], ["--sample", "101%"], ["--rate", "fast"]):
        with pytest.raises(CommandError):
            call_command("artifacts_verify", *wrong)
    with pytest.raises(CommandError):
        call_command("artifacts_restore", __file__, stderr=StringIO())


def test_a_pace_is_kept(monkeypatch):
    slept = []
    monkeypatch.setattr(integrity.time, "sleep", slept.append)
    pace = integrity.Pace(1000)
    pace.took(500)
    assert slept == [pytest.approx(0.5, abs=0.1)]


def test_the_version_page_says_so(version, people, client):
    client.force_login(people.bob.user)
    address = f"/models/{version.model.name}@1/"
    assert "Stored files are damaged" not in client.get(address).content.decode()
    spoil(builders.sha256(CONTENT), b"what it wAs")
    assert integrity.verify_sample(99).damaged == [builders.sha256(CONTENT)]
    told = client.get(address).content.decode()
    assert "Stored files are damaged" in told
    assert "<code>a.bin</code>" in told


def test_a_full_disk_is_told_and_keeps_nothing(people, api):
    """As a limit of the system tells it, which is how a full disk does."""
    model = builders.model(by=people.bob)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 20, hard))
    try:
        body = form(("big.bin", bytes(25 << 20)), metadata={})
        answer = api.bob.post(f"/api/v1/models/{model.name}/versions", **body)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answer.status_code == 507
    assert answer.json()["type"] == "urn:modelry:problem:out-of-space"
    assert "make room" in answer.content.decode()
    assert not list(storage.incoming().iterdir())
    assert not list(storage.stored())
    assert not model.versions.exists()


def test_whoever_finds_damage_says_so_and_sending_again_heals(version, api):
    """What nobody has verified yet: cut short or gone, it is never half sent, and is not taken for being here."""
    base, sha256 = f"/api/v1/models/{version.model.name}/versions/1", builders.sha256(CONTENT)
    for harm in (lambda: spoil(sha256, CONTENT[:3]), lambda: storage.delete(sha256)):
        harm()
        for extra in ({}, {"HTTP_RANGE": "bytes=5-"}):
            answer = api.bob.get(f"{base}/files/a.bin", **extra)
            assert (answer.status_code, answer.json()["type"]) == (500, "urn:modelry:problem:damaged")
        assert api.bob.head(f"{base}/files/a.bin").status_code == 500
        assert Blob.objects.get(pk=sha256).damaged_at
        # An archive is refused before it begins.
        for kind in ("zip", "tar"):
            assert api.bob.get(f"{base}/archive.{kind}").status_code == 500
        again = form(("a.bin", CONTENT))
        assert api.bob.post(f"/api/v1/models/{version.model.name}/versions", **again).status_code == 201
        assert not Blob.objects.get(pk=sha256).damaged_at
        assert b"".join(api.bob.get(f"{base}/files/a.bin").streaming_content) == CONTENT


def test_a_drive_that_is_not_there_damages_nothing(version, api, artifacts):
    artifacts.rename(artifacts.with_name("elsewhere"))
    answer = api.bob.get(f"/api/v1/models/{version.model.name}/versions/1/files/a.bin")
    assert (answer.status_code, "drive" in answer.json()["detail"]) == (503, True)
    assert not Blob.objects.filter(damaged_at__isnull=False).exists()


def test_bytes_that_came_back_while_the_old_were_read_stay(version, monkeypatch, tmp_path):
    sha256, found = builders.sha256(CONTENT), integrity._found
    spoil(sha256, b"what it wAs")
    backup = tmp_path / "backup"
    backup.write_bytes(CONTENT)

    def slowly(*asked):
        told = found(*asked)
        monkeypatch.setattr(integrity, "_found", found)
        assert integrity.restore(backup) == (sha256, True)
        return told

    monkeypatch.setattr(integrity, "_found", slowly)
    assert integrity.verify_all().damaged == []
    assert storage.read(sha256, limit=99) == CONTENT
    assert not Blob.objects.exclude(damaged_at=None).exists()


def test_who_reads_what_is_known_to_be_damaged_says_nothing_new(version, api):
    sha256 = builders.sha256(CONTENT)
    spoil(sha256, b"what it wAs")
    assert integrity.verify_all().damaged == [sha256]
    assert api.bob.get(f"/api/v1/models/{version.model.name}/versions/1/files/a.bin").status_code == 500
    assert Blob.objects.get(pk=sha256).damage == "other bytes of the same size"
    assert AuditEvent.objects.filter(verb="storage.damaged").count() == 1


def test_what_is_damaged_is_not_promoted(version, people):
    def missing():
        case = requirements.Case.of(version, to="production")
        return [one.detail for one in case.requirements() if one.key == "damaged"]

    assert missing() == []
    storage.delete(builders.sha256(CONTENT))
    integrity.verify_all()
    assert missing() == ["Damaged in storage: a.bin. Whoever has them sends the same files again."]
    with pytest.raises(PolicyUnmet) as refused:
        promotions.move(version, to="production", by=people.root, reason="x")
    assert "damaged" in {one.key for one in refused.value.missing}
