"""Each kind of rule, met and unmet, and which policies apply."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from models_app.models import Dataset, ModelVersion, PolicyVersion
from models_app.registry import catalog, checks, policies, requirements
from models_app.registry.errors import Forbidden, Invalid
from tests import builders


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice, owner="alice")


def unmet(version, **rules):
    # Facts of its own time, as each call of a door has them.
    version = ModelVersion.objects.get(pk=version.pk)
    found = requirements.trial(version, rules=rules, to="production", scope="model risk/fraud")
    return {demand.key: demand.detail for demand in found if not demand.met}


def test_the_default_of_the_site(people, model):
    bare = builders.version(model, by=people.bob)
    lacks = [demand.key for demand in requirements.requirements(bare, to="production") if not demand.met]
    assert lacks == ["dataset_version", "metrics", "license"]
    assert requirements.requirements(bare, to="staging") == []


def test_fields_metrics_and_reports(people, model):
    version = builders.complete_version(model, by=people.bob, metrics={"f1": 0.9, "latency_ms": 40})
    assert unmet(version, fields=["license", "metrics", "owner"]) == {}
    assert unmet(version, fields=["pii_notes", "purpose"]).keys() == {"pii_notes", "model.purpose"}
    assert (
        unmet(version, metrics=[{"name": "f1", "at_least": 0.9}, {"name": "latency_ms", "at_most": 40}]) == {}
    )
    below = unmet(version, metrics=[{"name": "f1", "at_least": 0.95}, {"name": "auc", "at_least": 0.5}])
    assert list(below.values()) == ["0.9 is below 0.95", "It was not measured."]
    assert "report" in unmet(version, report=True)
    catalog.update_version(
        version, by=people.bob, metadata={"reports": [{"title": "R", "url": "https://example.com/r"}]}
    )
    assert unmet(version, report=True) == {}


def test_not_worse_than_production(people, model):
    builders.promoted(model, by=people.bob, approver=people.carol, metrics={"f1": 0.9, "loss": 0.2})
    next_one = builders.complete_version(model, by=people.bob, metrics={"f1": 0.885, "loss": 0.25})
    assert unmet(next_one, metrics=[{"name": "f1", "not_worse_by": 0.02}]) == {}
    worse = unmet(
        next_one, metrics=[{"name": "f1", "not_worse_by": 0.01}, {"name": "loss", "not_worse_by": 0.01}]
    )
    assert len(worse) == 2


@pytest.mark.parametrize(
    ("name", "now", "candidate", "told", "met"),
    [
        ("f1", 0.9, 0.89, None, True),  # exactly as much as is allowed, though floats say a hair more
        ("f1", 0.9, 0.8899, None, False),
        ("loss", 0.2, 0.21, None, True),
        ("loss", 0.2, 0.2101, None, False),
        ("f1", 0.9, 0.5, False, False),  # who registers a version does not turn round what is better
        ("loss", 0.2, 0.9, True, False),
    ],
)
def test_how_much_worse_than_production(people, model, name, now, candidate, told, met):
    builders.promoted(model, by=people.bob, approver=people.carol, metrics={name: now})
    rows = [{"name": name, "value": candidate, "higher_is_better": told}]
    version = builders.complete_version(model, by=people.bob, metrics=rows)
    assert (unmet(version, metrics=[{"name": name, "not_worse_by": 0.01}]) == {}) is met


def test_licenses_of_everything_that_went_in(people, model):
    version = builders.complete_version(
        model, by=people.bob, license="Apache-2.0 OR GPL-3.0-only", dataset_license="CC-BY-NC-4.0"
    )
    assert unmet(version, licenses={"allowed": ["Apache-2.0", "CC-BY-NC-4.0"]}) == {}
    assert unmet(version, licenses={"forbidden": ["CC-BY-NC-4.0"]}).keys() == {"license:dataset_license"}
    assert unmet(version, licenses={"allowed": ["MIT"]}).keys() == {
        "license:license",
        "license:dataset_license",
    }


def test_licenses_of_base_models_here_and_of_their_data(people, model, django_assert_max_num_queries):
    root = builders.model("risk/encoder", by=people.alice)
    first = builders.version(
        root, by=people.bob, license="GPL-3.0-only", dataset_name="crawl", dataset_version="1"
    )
    Dataset.objects.filter(name="crawl").update(license="CC-BY-NC-4.0")
    second = builders.version(root, by=people.bob, license="MIT", base_model=str(first))
    version = builders.complete_version(model, by=people.bob, license="MIT", base_model=str(second))
    assert unmet(version, licenses={"allowed": ["MIT", "GPL-3.0-only", "CC-BY-NC-4.0"]}) == {}
    found = unmet(version, licenses={"forbidden": ["GPL-3.0-only", "CC-BY-NC-4.0"]})
    assert sorted(found.values()) == ["CC-BY-NC-4.0 is not acceptable", "GPL-3.0-only is not acceptable"]
    case = requirements.Case.of(version, to="production")
    with django_assert_max_num_queries(4):
        told = [one.what for one in case.ingredients]
    assert told == [str(second), str(first), "the data crawl@1"]


def test_time_checks_and_expressions(people, model):
    version = builders.complete_version(model, by=people.bob)
    assert "hours_in_stage" in unmet(version, hours_in_stage=1)
    ModelVersion.objects.update(stage_changed_at=timezone.now() - timedelta(hours=2))
    version.refresh_from_db()
    assert unmet(version, hours_in_stage=1) == {}
    assert unmet(version, from_stage="staging") == {"from_stage": "It is in dev."}
    now = timezone.now()
    freeze = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(hours=1)).isoformat()}
    assert len(unmet(version, freezes=[freeze])) == 1
    assert unmet(version, checks=["ci"]) == {"check:ci": "Not reported yet."}
    checks.report(version, name="ci", state="success", by=people.bob)
    assert unmet(ModelVersion.objects.get(), checks=["ci"]) == {}
    rule = {"name": "owner is bob", "cel": "version.owner == 'bob'", "message": "Ask bob."}
    assert unmet(version, expressions=[rule]) == {}
    assert unmet(version, expressions=[{**rule, "cel": "version.owner == 'alice'"}]) == {
        "rule:owner is bob": "Ask bob."
    }


def test_every_policy_that_applies_must_be_met(people, model):
    version = builders.complete_version(model, by=people.bob)
    policies.set_policy(stage="production", team=people.risk, rules={"fields": ["pii_notes"]}, by=people.erin)
    policies.set_policy(stage="production", model=model, rules={"report": True}, by=people.erin)
    policies.set_policy(
        stage="production", risk_level="high", rules={"fields": ["bias_fairness_notes"]}, by=people.root
    )
    lacks = {d.key: d.policy for d in requirements.requirements(version, to="production") if not d.met}
    assert lacks == {"pii_notes": "team risk", "report": "model risk/fraud"}
    catalog.update_model(model, by=people.alice, risk_level="high")
    version = ModelVersion.objects.get()
    lacks = {d.key: d.policy for d in requirements.requirements(version, to="production") if not d.met}
    assert lacks["bias_fairness_notes"] == "high risk"


def test_who_writes_policies(people, model):
    rules = {"fields": ["owner"]}
    for actor in (people.alice, people.carol, people.charlie):
        with pytest.raises(Forbidden):
            policies.set_policy(stage="production", team=people.risk, rules=rules, by=actor)
    with pytest.raises(Forbidden):
        policies.set_policy(stage="production", rules=rules, by=people.erin)
    first = policies.set_policy(stage="production", team=people.risk, rules=rules, by=people.erin)
    same = policies.set_policy(stage="production", team=people.risk, rules=rules, by=people.erin)
    assert (first.number, same.number) == (1, 1)
    second = policies.set_policy(stage="production", team=people.risk, rules={"report": True}, by=people.erin)
    assert (second.pk, second.number) == (first.pk, 2)
    assert [row.rules for row in second.versions.all()] == [{"report": True}, rules]


def test_a_policy_of_two_scopes_is_refused(people, model):
    with pytest.raises(Invalid):
        policies.set_policy(stage="production", team=people.risk, model=model, rules={}, by=people.root)
    with pytest.raises(Invalid):
        policies.set_policy(stage="dev", rules={}, by=people.root)


def test_texts_of_policies_stay_whatever_becomes_of_their_policy(people, model):
    policy = policies.set_policy(stage="production", model=model, rules={"report": True}, by=people.erin)
    for forbidden in (
        lambda: PolicyVersion.objects.update(rules={}),
        lambda: PolicyVersion.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            forbidden()
    catalog.delete_model(model, by=people.alice)
    kept = PolicyVersion.objects.get()
    assert (kept.policy_id, kept.rules) == (policy.pk, {"report": True})
