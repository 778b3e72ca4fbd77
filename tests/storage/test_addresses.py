"""MODELRY_ARTIFACTS: what it may say, and what is said when it says something else."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from models_app import checks
from models_app.registry.artifacts import storage
from models_app.registry.errors import Unavailable
from registry_site.artifacts import artifact_storage


def read(address, **secrets):
    found = artifact_storage(address, secrets=secrets)
    return found["BACKEND"].rpartition(".")[2], found.get("OPTIONS", {})


def test_each_scheme_has_its_storage():
    assert read("file:///mnt/a%20b") == ("DiskStore", {"location": "/mnt/a b"})
    assert read("s3://bucket") == ("S3Store", {"bucket_name": "bucket", "location": ""})
    address = "s3://bucket/in/here?endpoint_url=http://s3.internal:8333&region=eu-1&addressing_style=path"
    assert read(address, account_key="not for this one") == (
        "S3Store",
        {
            "bucket_name": "bucket",
            "location": "in/here",
            "endpoint_url": "http://s3.internal:8333",
            "region_name": "eu-1",
            "addressing_style": "path",
        },
    )
    assert read("azure://box/p?account_name=me", account_key="k", sas_token="") == (
        "AzureStore",
        {"azure_container": "box", "location": "p", "account_name": "me", "account_key": "k"},
    )
    assert read("gs://bucket?sign_as=m@x.iam")[1]["sa_email"] == "m@x.iam"


@pytest.mark.parametrize(
    "address, words",
    [
        ("ftp://x/y", "none of file, s3, azure and gs"),
        ("/mnt/artifacts", "said as file:///mnt/artifacts"),
        ("file://mnt/artifacts", "three/slashes"),
        ("s3://key:secret@bucket", "credentials"),
        ("s3:///prefix", "name of a bucket"),
        ("s3://bucket?regoin=x", "takes .*region.* not regoin"),
        ("file:///x?y=1", "takes nothing"),
    ],
)
def test_what_is_wrong_is_said(address, words):
    with pytest.raises(ImproperlyConfigured, match=words):
        artifact_storage(address)


def test_a_missing_library_is_named(settings, monkeypatch):
    def kept_in(backend, **options):
        settings.STORAGES = {**settings.STORAGES, "artifacts": {"BACKEND": backend, "OPTIONS": options}}
        return [(found.id, found.hint) for found in checks.artifacts_have_a_place(None)]

    stores = "models_app.registry.artifacts.stores"
    assert kept_in(f"{stores}.memory.MemoryStore") == []
    assert [found.id for found in checks.artifacts_survive_a_restart(None)] == ["modelry.E001"]
    assert kept_in("django.core.files.storage.InMemoryStorage")[0][0] == "modelry.E002"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    ((found, hint),) = kept_in(f"{stores}.s3.S3Store", bucket_name="models")
    assert found == "modelry.W003"
    assert "AWS_ACCESS_KEY_ID" in hint
    with pytest.raises(Unavailable, match="Modelry has no credentials for the bucket") as refusal:
        storage.store().measure("blobs/x")
    assert "give web processes and worker AWS_ACCESS_KEY_ID" in refusal.value.next_step
    monkeypatch.setitem(__import__("sys").modules, "storages.backends.gcloud", None)
    monkeypatch.delitem(__import__("sys").modules, f"{stores}.google", raising=False)
    assert kept_in(f"{stores}.google.GoogleStore") == [("modelry.E002", "Install modelry[google].")]
