"""Retention as people see it: what is kept, what would go, and that a version is announced before it goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command

from models_app.models import RetentionPolicy
from models_app.registry import retention, retention_work
from tests import builders
from tests.web.reading import page

HERE = "/teams/risk/retention/"


@pytest.mark.sqlite_is_enough
def test_try_save_and_remove(pages, people, model):
    old = builders.version(model, by=people.bob, files={"big.bin": b"x" * 2048})
    builders.version(model, by=people.bob)
    assert "Nothing: every version is kept or needed." in page(pages.dave.get(HERE)).text()
    rule = {"stage": "dev", "keep_last": "1", "keep_days": "", "then": "delete"}
    tried = page(pages.dave.post(HERE, {**rule, "action": "try"})).text("plan")
    assert "Dev as if kept were the last one of a model. Nothing is saved." in tried
    assert "2 versions deleted, which makes 2.0" in tried
    assert not RetentionPolicy.objects.exists()
    shown = page(pages.alice.post(HERE, {**rule, "keep_last": "0", "action": "save"}), 422)
    assert "A whole number from 1" in shown.text("id_keep_last_error")
    pages.alice.post(HERE, {**rule, "reason": "Room", "action": "save"})
    assert RetentionPolicy.objects.get().then == "delete"
    text = page(pages.alice.get(f"{HERE}?stage=dev")).text()
    assert "risk/fraud-detector v4" in text
    assert "not announced yet" in text
    retention_work.run()
    assert "in 6 days" in page(pages.alice.get(HERE)).text("plan")
    told = page(pages.dave.get(f"/models/risk/fraud-detector@{old.number}/")).text("goes")
    assert told.startswith("To be deleted by retention in 6 days In dev; kept are the last one of a model")
    assert "Policies of their own: Risk." in page(pages.root.get("/retention/")).text()
    pages.alice.post(HERE, {"stage": "dev", "action": "remove"})
    assert not RetentionPolicy.objects.exists()


@pytest.mark.django_db
def test_rest_sets_tells_and_removes(api, people, model):
    assert (
        api.alice.put("/api/v1/retention", {"stage": "dev", "team": "risk", "cold_days": 3}).status_code
        == 400
    )
    cold = api.alice.put("/api/v1/retention", {"stage": "archived", "team": "risk", "cold_days": 3}).json()
    assert (cold["cold_days"], cold["keep_days"]) == (3, None)
    assert api.alice.delete(cold["url"]).status_code == 204
    rule = {"stage": "dev", "team": "risk", "keep_days": 30, "then": "archive"}
    saved = api.alice.put("/api/v1/retention", rule)
    assert (saved.status_code, saved.json()["keep_days"], saved.json()["keep_last"]) == (200, 30, None)
    assert api.dave.get("/api/v1/retention?team=risk").json()["items"] == [saved.json()]
    proposal = {"stage": "dev", "team": "risk", "keep_last": 1, "then": "delete"}
    builders.version(model, by=people.bob)
    found = api.dave.post("/api/v1/retention/dry-run", {"team": "risk", "proposal": proposal}).json()
    assert [(one["version"], one["then"], one["due_at"]) for one in found["items"]] == [(3, "delete", None)]
    assert found["deleted"] == 1
    assert found["freed_bytes"] > 0
    for wrong in ({"stage": "dev", "keep_last": "3"}, {"stage": "x"}, {"stage": "dev", "then": "delete"}):
        assert api.alice.put("/api/v1/retention", {**wrong, "team": "risk"}).status_code == 400
    assert api.alice.delete(saved.json()["url"] + "?reason=Over").status_code == 204
    assert api.alice.delete(saved.json()["url"]).status_code == 404


@pytest.mark.django_db
def test_the_worker_does_it(people, settings, model):
    settings.RETENTION_WAIT = timedelta(0)
    builders.version(model, by=people.bob)
    retention.set_policy(stage="dev", keep_last=1, then="delete", by=people.root)
    call_command("run_worker", "--once")
    assert sorted(model.versions.values_list("number", flat=True)) == [1, 2, 4]
