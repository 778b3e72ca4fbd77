"""Stage moves over MLflow's wire: names, archiving, gates, roles."""

import pytest

from models_app.models import ModelVersion, PromotionRequest, StageTransition
from models_app.registry import catalog, policies
from tests import builders

from .registry_asking import ask, get_version, good, make_model, make_version, refused

MOVE = "model-versions/transition-stage"


@pytest.fixture
def fraud(api):
    make_model(api.alice)
    for _ in range(3):
        make_version(api.alice)


def move(client, version, stage, **more):
    return good(client, MOVE, name="fraud", version=str(version), stage=stage, **more)["model_version"]


def stages():
    return list(ModelVersion.objects.order_by("number").values_list("stage", flat=True))


@pytest.mark.parametrize("said", ["Staging", "staging", "STAGING", "sTaGiNg"])
def test_names_in_any_case_are_answered_in_one(api, fraud, said):
    assert move(api.bob, 1, said)["current_stage"] == "Staging"
    assert get_version(api.bob)["current_stage"] == "Staging"
    assert move(api.bob, 1, "NONE")["current_stage"] == "None"


@pytest.mark.parametrize("stage", ["dev", "prod", "Development", "x" * 5000])
def test_unknown_stages_are_refused(api, fraud, stage):
    said = refused(ask(api.bob, MOVE, name="fraud", version="1", stage=stage))
    assert "Value must be one of None, Staging, Production, Archived" in said
    refused(ask(api.bob, MOVE, name="fraud", version="1"))


def test_archive_existing_versions(api, fraud):
    move(api.bob, 1, "Staging")
    move(api.bob, 2, "Staging", archive_existing_versions=False)
    assert stages() == ["staging", "staging", "dev"]
    move(api.bob, 3, "Staging", archive_existing_versions=True)
    assert stages() == ["archived", "archived", "staging"]
    replaced = StageTransition.objects.filter(kind="replaced")
    assert {row.caused_by.version.number for row in replaced} == {3}


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_only_active_stages_have_something_to_archive(api, fraud, stage):
    answer = ask(api.bob, MOVE, name="fraud", version="1", stage=stage, archive_existing_versions=True)
    assert "not an Active stage" in refused(answer)
    refused(ask(api.bob, MOVE, name="fraud", version="1", stage=stage, archive_existing_versions="often"))


def test_to_where_it_is_changes_nothing(api, fraud):
    before = move(api.bob, 1, "Staging")
    assert move(api.bob, 1, "Staging") == before
    assert StageTransition.objects.count() == 1
    assert move(api.bob, 2, "None")["current_stage"] == "None"


def test_production_asks_the_policy_and_says_where_to_fill_in(api, people):
    model = builders.model("risk/credit", by=people.alice)
    builders.version(model, by=people.alice)
    said = refused(
        ask(api.carol, MOVE, name="risk--credit", version="1", stage="Production"), 409, "RESOURCE_CONFLICT"
    )
    assert "\n" not in said
    assert "it lacks dataset version, at least one metric, owner, license" in said
    assert "http://testserver/models/risk/credit@1/edit/" in said


def test_production_demands_content_that_is_held_here(api, people, fraud):
    version = ModelVersion.objects.get(number=1)
    catalog.update_version(version, by=people.alice, metadata={**builders.COMPLETE, "owner": "alice"})
    said = refused(
        ask(api.carol, MOVE, name="fraud", version="1", stage="Production"), 409, "RESOURCE_CONFLICT"
    )
    assert "it lacks files held by the registry" in said
    assert "It only points to s3://" in said
    assert "http://testserver/models/fraud@1/" in said
    assert "Fill it in" not in said


def test_what_waits_for_people_is_no_form_to_fill_in(api, people):
    model = builders.model("fraud", by=people.alice, team="risk")
    builders.complete_version(model, by=people.alice)
    policies.set_policy(
        stage="production", team=people.risk, rules={"approvals": {"count": 2}}, by=people.erin
    )
    said = refused(
        ask(api.carol, MOVE, name="fraud", version="1", stage="Production"), 409, "RESOURCE_CONFLICT"
    )
    assert "approvals" in said
    assert said.endswith(f"http://testserver/approvals/{PromotionRequest.objects.get().pk}/")


def test_production_takes_the_role_and_keeps_or_archives_the_former(api, people):
    model = builders.model("fraud", by=people.alice, team="risk")
    for _ in range(3):
        builders.complete_version(model, by=people.alice)
    said = refused(
        ask(api.bob, MOVE, name="fraud", version="1", stage="Production"), 403, "PERMISSION_DENIED"
    )
    assert "approver" in said
    assert f"waits for a review at http://testserver/approvals/{PromotionRequest.objects.get().pk}/" in said
    move(api.carol, 1, "production")
    move(api.carol, 2, "Production")
    assert stages() == ["production", "production", "dev"]
    move(api.carol, 3, "Production", archive_existing_versions=True)
    assert stages() == ["archived", "archived", "production"]
    said = refused(ask(api.bob, MOVE, name="fraud", version="3", stage="Archived"), 403, "PERMISSION_DENIED")
    model.refresh_from_db()
    assert model.newest_production.number == 3
    assert model.newest_archived.number == 2


def test_newest_of_each_stage_is_kept(api, people, fraud):
    model = ModelVersion.objects.first().model

    def newest():
        model.refresh_from_db()
        found = (model.newest_dev, model.newest_staging, model.newest_archived)
        return [version.number if version else None for version in found]

    assert newest() == [3, None, None]
    move(api.bob, 3, "Staging")
    assert newest() == [2, 3, None]
    move(api.bob, 1, "Staging")
    assert newest() == [2, 3, None]
    move(api.bob, 3, "Archived")
    assert newest() == [2, 1, 3]
    move(api.bob, 3, "None")
    assert newest() == [3, 1, None]
