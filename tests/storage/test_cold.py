"""What is archived moves to a colder class when the policies say so, and back: over a real S3 server."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import AuditEvent, Blob, ModelVersion, Stage
from models_app.registry import cold_storage, promotions, retention, storage_report
from models_app.registry.artifacts import storage, storage_tasks
from models_app.registry.errors import Invalid, Unavailable
from models_app.registry.retention_plan import plan
from tests import builders
from tests.storage.servers import Refusing, s3_at
from tests.web.conftest import Browsers
from tests.web.reading import page

pytestmark = pytest.mark.django_db
SIZE = cold_storage.SMALLEST
KEPT = {name: name.encode() * SIZE for name in "abc"}


def cold_at(entry, cold_class="GLACIER_IR"):
    return {**entry, "OPTIONS": {**entry["OPTIONS"], "cold_class": cold_class}}


@pytest.fixture
def s3(servers, use):
    """A bucket that was told its colder class."""
    return use(cold_at(servers["s3"].storage(f"tests/{secrets.token_hex(4)}")))


def classes(store) -> dict[str, str]:
    """As the server says, by the first letter of the content."""
    found = {}
    for letter, content in KEPT.items():
        key = storage.blob_name(builders.sha256(content))
        if store.measure(key) is not None:
            found[letter] = store.client.head_object(**store._at(key)).get("StorageClass", "STANDARD")
    return found


@pytest.fixture
def pages(people):
    return Browsers(people)


@pytest.fixture
def archived(people):
    """v1 (a, b and a small file) and v2 (c) archived 40 days ago, v3 (b) in dev."""
    model = builders.model(by=people.alice)
    made = [
        builders.version(model, by=people.bob, files={name: KEPT.get(name, b"small") for name in names})
        for names in ("abs", "c", "b")
    ]
    for version in made[:2]:
        promotions.move(version, to=Stage.ARCHIVED, by=people.bob)
    ModelVersion.objects.filter(stage="archived").update(stage_changed_at=timezone.now() - timedelta(days=40))
    return made


def test_what_only_archived_versions_name_is_cooled_and_warmed_when_it_is_wanted(s3, people, archived, pages):
    assert cold_storage.run().facts() == dict.fromkeys(cold_storage.Moved().facts(), 0)
    retention.set_policy(stage="archived", cold_days=30, by=people.root)
    assert (plan(by=people.root).cold, plan(by=people.root).cold_class) == (2, "GLACIER_IR")
    done = storage_tasks.TASKS["cold"][1](lambda: False)
    assert done == {"cooled": 2, "cooled_bytes": 2 * SIZE, "warmed": 0, "warmed_bytes": 0}
    assert classes(s3) == {"a": "GLACIER_IR", "b": "STANDARD", "c": "GLACIER_IR"}
    assert cold_storage.run().cooled.count == 0
    assert storage.read(builders.sha256(KEPT["a"]), limit=SIZE) == KEPT["a"]
    assert storage_report.health(by=people.root).cold_bytes == 2 * SIZE
    assert "128 KiB in a colder class" in page(pages.bob.get("/models/risk/fraud-detector@1/")).text()
    assert "2 archived versions kept in GLACIER_IR" in page(pages.bob.get("/retention/")).text("cold")

    promotions.move(archived[1], to=Stage.DEV, by=people.bob)
    assert cold_storage.run().facts() == {"cooled": 0, "cooled_bytes": 0, "warmed": 1, "warmed_bytes": SIZE}
    assert classes(s3) == {"a": "GLACIER_IR", "b": "STANDARD", "c": "STANDARD"}
    # A team can have its own stay for longer, not for less.
    retention.set_policy(stage="archived", team=people.risk, cold_days=7, by=people.alice)
    assert cold_storage.run().warmed.count == 0
    retention.set_policy(stage="archived", team=people.risk, cold_days=60, by=people.alice)
    assert cold_storage.run().warmed.count == 1
    assert set(classes(s3).values()) == {"STANDARD"}
    told = AuditEvent.objects.filter(verb="storage.cooled").order_by("id")
    assert [one.after["cooled"] for one in told] == [2, 0, 0]
    with pytest.raises(Invalid, match="Only what is archived"):
        retention.set_policy(stage="dev", cold_days=3, by=people.root)


@pytest.mark.sqlite_is_enough
def test_a_pass_that_was_killed_or_refused_is_caught_up(s3, people, archived, servers, use, settings):
    retention.set_policy(stage="archived", cold_days=30, by=people.root)
    good = settings.STORAGES["artifacts"]
    with Refusing(403) as server:
        use(cold_at(s3_at(server.url)))
        with pytest.raises(Unavailable):
            cold_storage.run()
    store = use(good)
    # It was about to: the row says so, the bytes are where they were.
    assert set(classes(store).values()) == {"STANDARD"}
    assert cold_storage.run().cooled.count == 2
    # The bytes are in the class, the row does not say so yet; then nobody wants them cold any more.
    Blob.objects.exclude(cold_place="").update(cooled_at=None)
    retention.remove_policy(retention.policies_for(people.root).get(), by=people.root)
    assert cold_storage.run().warmed.count == 2
    assert set(classes(store).values()) == {"STANDARD"}
    # Another class is another place; without one all comes back.
    retention.set_policy(stage="archived", cold_days=30, by=people.root)
    cold_storage.run()
    store = use(cold_at(good, "STANDARD_IA"))
    cold_storage.run()
    assert classes(store)["a"] == "STANDARD_IA"
    store = use(cold_at(good, ""))
    assert cold_storage.run().warmed.count == 2
    assert set(classes(store).values()) == {"STANDARD"}


def test_on_a_disk_nothing_is_colder_and_nobody_is_told_so(people, archived, pages):
    # They came from a bucket.
    Blob.objects.update(cold_place="s3://before/ GLACIER_IR", cooled_at=timezone.now())
    assert cold_storage.run().cooled.count == 0
    assert not Blob.objects.exclude(cold_place="").exists()
    policy = retention.set_policy(stage="archived", cold_days=1, by=people.root)
    assert (plan(by=people.root).cold, plan(by=people.root).cold_class) == (0, "")
    for path in ("/retention/?stage=archived", "/teams/risk/retention/?stage=archived", "/storage/"):
        assert not re.search(r"(?i)\bcold", page(pages.root.get(path)).text())
    said = {"stage": "archived", "keep_days": "30", "then": "delete", "action": "save"}
    assert pages.root.post("/retention/", said).status_code == 302
    policy.refresh_from_db()
    assert (policy.keep_days, policy.cold_days) == (30, 1)  # What was said for a bucket still holds there.
