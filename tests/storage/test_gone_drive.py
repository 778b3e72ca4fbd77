"""A drive that is not mounted leaves an empty folder: nothing is lost to it, and nothing taken for missing."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from models_app.models import Blob
from models_app.registry.artifacts import integrity, storage, sweep
from models_app.registry.errors import Unavailable
from tests import builders
from tests.api.test_uploads import begin, call, part, refused, targets
from tests.storage.test_contract import CONTENT, DIGEST, put, sha256

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]
OTHER = b"came while the drive was away"


@pytest.fixture
def unmounted(people, artifacts):
    """`unmounted()` takes the folder away and leaves an empty one; `unmounted(back=True)` brings it back."""
    model = builders.model("risk/kept", by=people.bob)
    builders.version(model, by=people.bob, files={"model.bin": CONTENT})
    drive = artifacts.with_name("drive")

    def work(*, back=False):
        if back:
            artifacts.rmdir()
            drive.rename(artifacts)
        else:
            artifacts.rename(drive)
            artifacts.mkdir()

    return work


def test_nothing_is_taken_or_called_damaged(unmounted, api, artifacts, people):
    upload = begin(api.bob, {"other.bin": OTHER}, model="risk/kept", create=False)
    (told,) = targets(api.bob, upload, OTHER)
    unmounted()
    for work in (
        lambda: put(OTHER),
        lambda: storage.read(DIGEST, limit=9),
        lambda: storage.BlobStream(DIGEST, start=0, length=9),
        lambda: storage.stays(DIGEST, len(CONTENT)),
        lambda: storage.remove_unless_younger(DIGEST, timezone.now()),
        lambda: storage.move_aside(DIGEST),
        lambda: integrity.verify_sample(9),
        lambda: integrity.verify_all(restart=True),
        sweep.sweep,
    ):
        with pytest.raises(Unavailable, match="is its drive there"):
            work()
    address = "/api/v1/models/risk/kept/versions/1/files/model.bin"
    refused(api.bob.get(address), 503)
    assert part(told["parts"][0], OTHER).status_code == 503
    refused(call(api.bob, upload, "seal"), 409)
    assert api.root.get("/api/v1/storage").json()["health"]["answers"] is False
    assert not [*artifacts.iterdir()]
    assert not Blob.objects.exclude(damaged_at=None).exists()

    unmounted(back=True)
    assert part(told["parts"][0], OTHER).status_code == 204
    assert call(api.bob, upload, "seal").status_code == 201
    assert api.bob.get(address).getvalue() == CONTENT
    done = integrity.verify_all(restart=True)
    assert (done.blobs, done.damaged) == (2, [])


def test_a_new_folder_is_begun_by_the_first_file(artifacts):
    (artifacts / "blobs").rmdir()
    assert storage.size_of(DIGEST) is None
    assert not storage.stays(DIGEST, 9)
    assert put().size == len(CONTENT)
    assert storage.size_of(sha256(CONTENT)) == len(CONTENT)


def test_a_place_that_is_no_folder(artifacts, api, people):
    (artifacts / "blobs").rmdir()
    artifacts.rmdir()
    artifacts.write_bytes(b"a file")
    builders.model("risk/kept", by=people.bob)
    upload = begin(api.bob, {"other.bin": OTHER}, model="risk/kept", create=False)
    (told,) = targets(api.bob, upload, OTHER)
    answer = part(told["parts"][0], OTHER)
    assert answer.status_code == 503
    assert "The folder of artifacts does not answer" in answer.json()["detail"]
    assert api.root.get("/api/v1/storage").json()["health"]["answers"] is False
    assert "modelry.E007" in {found.id for found in run_checks()}
    artifacts.unlink()
    assert "modelry.E007" not in {found.id for found in run_checks()}
