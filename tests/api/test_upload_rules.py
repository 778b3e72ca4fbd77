"""What an upload session refuses, and what happens to it meanwhile."""

from __future__ import annotations

import threading
import tracemalloc

import pytest
from django.db import connection

from models_app.formats.paths import check_paths
from models_app.models import Blob, ModelVersion, UploadSession
from models_app.registry import catalog
from models_app.registry import people as verbs
from models_app.registry.artifacts import integrity, manifests, storage, upload_sealing
from models_app.registry.errors import NotFound
from tests import builders
from tests.api.asking import V1, form, refused
from tests.api.test_uploads import begin, call, declared, part, sha, targets

pytestmark = pytest.mark.django_db
CONTENT = b"what was sent"


def send(client, upload, *contents):
    return client.post(f"{V1}/uploads/{upload['id']}/bundle", **form(*((sha(one), one) for one in contents)))


def stored():
    return [kept.key.rpartition("/")[2] for kept in storage.stored()]


def test_nothing_is_stored_of_what_was_not_declared(api):
    upload = begin(api.bob, {"a": CONTENT})
    refused(send(api.bob, upload, CONTENT, b"another"), 400, fields={"files"})
    refused(send(api.bob, upload, b"another"), 400, fields={"files"})
    assert stored() == []
    assert send(api.bob, upload, CONTENT).status_code == 200
    assert stored() == [sha(CONTENT)]


def test_what_was_damaged_since_it_came_is_sent_again(api):
    upload = begin(api.bob, {"a": CONTENT, "b": b"sound"})
    assert send(api.bob, upload, CONTENT, b"sound").status_code == 200
    storage.delete(sha(CONTENT))
    assert integrity.verify_all().damaged == [sha(CONTENT)]
    told = refused(call(api.bob, upload, "seal"), 409)
    assert told["detail"].startswith("1 of 2 files have not arrived: a.")
    (wanted,) = targets(api.bob, upload, CONTENT, b"sound")
    assert part(wanted["parts"][0], CONTENT).status_code == 204
    assert call(api.bob, upload, "seal").status_code == 201
    assert not Blob.objects.exclude(damaged_at=None).exists()


def test_who_may_not_register_any_more_sends_nothing_more(api, people):
    builders.model("risk/kept", by=people.alice)
    for model, create in (("risk/kept", False), ("risk/new", True)):
        upload = begin(api.bob, {"a": CONTENT}, model=model, create=create)
        verbs.remove_member(people.risk, user=people.bob.user, by=people.root)
        refused(send(api.bob, upload, CONTENT), 403)
        for verb in ("targets", "complete"):
            refused(call(api.bob, upload, verb, sha256=[sha(CONTENT)]), 403)
        refused(api.bob.post(f"{V1}/uploads/{upload['id']}/files", {"files": declared({"c": b"c"})}), 403)
        refused(call(api.bob, upload, "seal"), 403)
        assert stored() == []
        # What is hers she may look at, and give up.
        assert api.bob.get(f"{V1}/uploads/{upload['id']}").status_code == 200
        assert api.bob.delete(f"{V1}/uploads/{upload['id']}").status_code == 204
        verbs.set_role(people.risk, user=people.bob.user, role="contributor", by=people.root)


def test_a_renamed_model_takes_versions_under_its_former_name(api, people):
    model = builders.model("risk/once", by=people.alice)
    catalog.rename_model(model, to="risk/now", by=people.alice)
    upload = begin(api.bob, {"a": CONTENT}, model="risk/once", create=True)
    assert send(api.bob, upload, CONTENT).status_code == 200
    version = call(api.bob, upload, "seal")
    assert (version.status_code, version.json()["model"]) == (201, "risk/now")
    asked = {"create_model": True, "source": "https://example.com/model"}
    assert api.bob.post(f"{V1}/models/risk/once/versions", asked).json()["model"] == "risk/now"


def test_a_flag_is_true_or_false(api):
    upload = begin(api.bob, {"a": CONTENT})
    address = f"{V1}/uploads/{upload['id']}/files?present="
    refused(api.bob.get(address + "maybe"), 400, fields={"present"})
    assert [len(api.bob.get(address + word).json()["items"]) for word in ("true", "False", "")] == [0, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_an_upload_given_up_while_it_is_sealed_is_whole_or_gone(api, monkeypatch):
    upload = begin(api.bob, {"a": CONTENT}, source="https://example.com/model")
    assert send(api.bob, upload, CONTENT).status_code == 200
    session, seal = UploadSession.objects.get(), manifests.seal

    def give_up():
        try:
            upload_sealing.abort(session)
        finally:
            connection.close()

    thread = threading.Thread(target=give_up)

    def slowly(files):
        thread.start()
        thread.join(0.5)
        return seal(files)

    monkeypatch.setattr(manifests, "seal", slowly)
    assert call(api.bob, upload, "seal").status_code == 201
    thread.join()
    assert ModelVersion.objects.get().manifest.file_count == 1
    assert not UploadSession.objects.exists()
    with pytest.raises(NotFound):
        upload_sealing.seal(session, create_model=False, model_fields={}, metadata={}, by=None)


def test_deep_paths_take_little_memory():
    paths = [f"{number:05}{'/a' * 497}" for number in range(200)]
    tracemalloc.start()
    try:
        check_paths(paths)
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
