"""What is held, as people see it and set it: the team's page, everybody's, REST, the admin."""

import pytest

from models_app.models import AuditEvent, Blob, StorageDay, StorageQuota, User
from models_app.registry import quotas, storage_count
from models_app.registry.artifacts.stores.disk import DiskStore
from tests import builders
from tests.web.reading import page

HERE = "/teams/risk/storage/"


@pytest.fixture(autouse=True)
def _there_is_room(monkeypatch):
    """Whoever runs this may be short of it, which is not well."""
    monkeypatch.setattr(DiskStore, "room_left", lambda store: (1 << 40, 2 << 40))


@pytest.mark.sqlite_is_enough
def test_a_team_sees_what_it_holds(pages, people, model):
    builders.version(model, by=people.bob, files={"big.bin": b"x" * 2048})
    storage_count.count()
    text = page(pages.dave.get(HERE)).text()
    assert "risk/fraud-detector" in text
    assert "The line begins on the second day" in text
    assert "Save quota" not in text
    StorageDay.objects.update(day="2026-01-02")
    storage_count.count()
    quotas.set_quota(people.risk, soft=2000, hard=4096, by=people.root)
    shown = page(pages.dave.get(HERE)).text()
    assert "Team risk holds 2.1 KiB of 4.0 KiB; past that nothing is registered." in shown
    assert "Warned from 2.0 KiB" in shown
    assert "2 Jan 2026" in shown
    assert "Team risk holds" in page(pages.bob.get("/models/risk/fraud-detector/upload/")).text()
    told = page(pages.bob.get("/models/risk/fraud-detector/versions/")).text("held")
    assert told.startswith(
        "All versions hold 2.1 KiB; 2.1 KiB are stored, equal files once, and 2.1 KiB are in"
    )
    assert "2.0 KiB in nothing else of Risk" in page(pages.bob.get("/models/risk/fraud-detector@4/")).text()
    assert "in nothing else" not in page(pages.charlie.get("/models/risk/fraud-detector@4/")).text()


@pytest.mark.sqlite_is_enough
def test_site_admins_set_quotas_and_see_how_storage_is(pages, people, model):
    wrong = page(pages.root.post(HERE, {"soft": "3 GiB", "hard": "2 GiB", "action": "save"}), 422)
    assert "before the hard quota" in wrong.text("id_soft_error")
    assert "A size, like 500 GiB" in page(pages.root.post(HERE, {"hard": "lots"}), 422).text("id_hard_error")
    pages.root.post(HERE, {"soft": "", "hard": "1.5 GiB", "action": "save"})
    pages.root.post("/storage/", {"hard": "2TB", "action": "save"})
    assert dict(StorageQuota.objects.values_list("team__slug", "hard")) == {"risk": 3 << 29, None: 2 << 40}
    assert page(pages.root.get(HERE))["id_hard"]["value"] == "1536 MiB"
    shown = page(pages.root.get("/storage/")).text()
    assert "Storage is well: no damaged files known." in shown
    assert "Under 1 % of 1.5 GiB" in shown
    quotas.set_quota(people.risk, soft=1, hard=None, by=people.root)
    held = quotas.standing_of(people.risk.pk).used
    assert f"Past, {held * 100} % of 1 B" in page(pages.root.get("/storage/")).text()
    assert "more than the 1 B that it was given" in page(pages.root.get(HERE)).text()
    Blob.objects.filter(pk=Blob.objects.first().pk).update(damaged_at="2026-01-02T00:00Z", damage="missing")
    shown = page(pages.root.get("/storage/")).text()
    assert "1 file damaged, 1 of them missing." in shown
    pages.root.post(HERE, {"action": "drop"})
    assert StorageQuota.objects.get().team is None


@pytest.mark.django_db
def test_rest_tells_and_sets(api, people, model):
    storage_count.count()
    limits = {"team": "risk", "soft": 10, "hard": 4096}
    assert api.root.put("/api/v1/storage/quota", limits).json() == {"soft": 10, "hard": 4096}
    found = api.dave.get("/api/v1/storage/teams/risk").json()
    assert found["standing"]["state"] == "warning"
    assert found["standing"]["is_own"] is True
    assert found["models"][0]["model"] == "risk/fraud-detector"
    assert found["versions"][0]["size"] == found["standing"]["used"] // model.versions.count()
    assert [day["versions"] for day in found["days"]] == [found["standing"]["used"]]
    held = api.dave.get("/api/v1/storage/models/risk/fraud-detector").json()
    assert held["size"] == held["stored"] == held["only_here"] == found["standing"]["used"]
    path = "/api/v1/storage/models/risk/fraud-detector/versions/1"
    assert api.charlie.get(path).json() | {"size": 0, "stored": 0} == {
        "size": 0,
        "stored": 0,
        "only_here": None,
        "counted_at": None,
        "cold": 0,
    }
    everything = api.root.get("/api/v1/storage").json()
    assert everything["health"]["is_well"] is True
    assert [team["team"] for team in everything["teams"]] == ["risk", "vision"]
    assert everything["quota"] == {"soft": None, "hard": None}
    for wrong in ({"hard": "5"}, {"hard": -1}, {"soft": 2, "hard": 1}, {"much": 1}):
        assert api.root.put("/api/v1/storage/quota", wrong).status_code == 400
    assert api.root.put("/api/v1/storage/quota", {"team": "nobody"}).status_code == 404
    assert api.root.delete("/api/v1/storage/quota?team=risk").status_code == 204
    assert api.dave.get("/api/v1/storage/teams/risk").json()["standing"]["warning"] == ""


@pytest.mark.sqlite_is_enough
def test_the_admin_sets_quotas_through_the_verb(pages, people):
    User.objects.filter(username="root").update(is_staff=True)
    add = "/admin/models_app/storagequota/add/"
    assert (
        "after."
        in pages.root.post(add, {"team": people.risk.pk, "soft": "3T", "hard": "2T"}).content.decode()
    )
    pages.root.post(add, {"team": people.risk.pk, "soft": "", "hard": "2 TiB"})
    row = StorageQuota.objects.get()
    assert row.hard == 2 << 40
    assert AuditEvent.objects.filter(verb="quota.set", subject="risk").count() == 1
    shown = pages.root.get(f"/admin/models_app/storagequota/{row.pk}/change/").content.decode()
    assert "2 TiB" in shown
    pages.root.post(f"/admin/models_app/storagequota/{row.pk}/delete/", {"post": "yes"})
    assert not StorageQuota.objects.exists()
    assert AuditEvent.objects.filter(verb="quota.dropped").count() == 1
