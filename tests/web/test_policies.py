"""Policies on pages: read, written, tried on a version without saving."""

import json

import pytest

from models_app.models import Policy, PolicyVersion
from models_app.registry import policies, policy_rules
from models_app.web.policies import EXAMPLE
from tests.web.hostile import MARKUP
from tests.web.reading import beside, page

SITE, TEAM = "/policies/", "/teams/risk/policies/"
FULL = {"approvals": {"count": 2}, "metrics": [{"name": "f1", "at_least": 0.95}], "checks": ["load"]}


def save(browser, path, rules, **more):
    text = rules if isinstance(rules, str) else json.dumps(rules)
    data = {"rules": text, "is_active": "on", "action": "save", "reason": "Audit.", **more}
    return browser.post(path, data)


def test_a_team_writes_its_policy_and_reads_it_in_words(pages, people):
    answer = save(pages.erin, TEAM, FULL)
    assert answer.status_code == 302
    text = page(pages.dave.get(answer["Location"])).text()
    assert "f1 is at least 0.95." in text
    assert "These checks passed: load." in text
    assert "2 approvals from approver or admin of the model's team, never its author" in text
    assert "#1 erin" in text
    save(pages.erin, TEAM, {"approvals": {"count": 1}})
    assert PolicyVersion.objects.count() == 2
    assert "Team Risk entering Production 1 approval" in page(pages.dave.get(SITE)).text()


def test_scopes(pages, people, model):
    save(pages.root, SITE, {"report": True}, scope="risk:high", stage="staging")
    save(pages.erin, TEAM, {"report": True}, scope=f"model:{model.name}")
    found = [(one.stage, one.risk_level, one.model_id) for one in Policy.objects.order_by("id")]
    assert found == [("staging", "high", None), ("production", "", model.pk)]
    assert page(pages.erin.get(f"{TEAM}?scope=model:{model.name}")).text("edit").startswith(model.name)
    assert pages.charlie.get("/teams/vision/policies/?scope=model:risk/fraud-detector").status_code == 404
    assert pages.charlie.get("/teams/vision/policies/?scope=model:risk/nothing").status_code == 404


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "rules,told",
    [
        ("{", "Line 1, column 2"),
        ("[1]", "object"),
        ('{"hours_in_stage": NaN}', "not JSON"),
        ("[" * 20_000, "not JSON"),
        ('{"hours_in_stage": 1' + "0" * 5_000 + "}", "not JSON"),
        ('{"fields": ["nothing"]}', "fields: There is no field “nothing”"),
        ('{"expressions": [{"name": "x", "cel": "version.("}]}', "does not compile"),
        ('{"unknown": 1}', "unknown"),
        (f'{{"fields": [{json.dumps(MARKUP)}]}}', "There is no field"),
    ],
)
def test_rules_that_make_no_sense_are_told_beside_them(pages, people, rules, told):
    answer = save(pages.erin, TEAM, rules)
    assert told in beside(answer, "rules")
    assert page(answer, 422).executable() == []
    assert not Policy.objects.exists()


@pytest.mark.sqlite_is_enough
def test_trying_saves_nothing(pages, people, model):
    answer = save(pages.dave, TEAM, FULL, action="try", version=f"{model.name}@3")
    text = page(answer).text("try")
    assert "misses 3 of 7." in text
    assert "f1: at least 0.95 team risk0.91 is below 0.95" in text
    assert "2 approvals from approver or admin" in text
    assert not Policy.objects.exists()
    policies.set_policy(stage="production", rules=FULL, team=people.risk, by=people.erin)
    assert "misses 3 of 7." in page(pages.dave.get(f"{TEAM}?version={model.name}@3")).text("try")
    answer = save(pages.dave, "/teams/vision/policies/", {}, action="try", version=f"{model.name}@3")
    assert "This policy would not apply to it." in page(answer).text("try")


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("name", ["", "risk/fraud-detector", "risk/fraud-detector@99", "risk/secret@1", "@"])
def test_trying_on_what_is_not_there(pages, people, model, private, name):
    assert beside(save(pages.charlie, TEAM, {}, action="try", version=name), "version")
    page(pages.charlie.get(TEAM, {"version": name}))


@pytest.mark.sqlite_is_enough
def test_the_example_is_well_formed():
    assert policy_rules.check(json.loads(EXAMPLE))


@pytest.mark.sqlite_is_enough
def test_others_may_not_write(pages, people):
    for who in ("alice", "carol", "charlie"):
        assert save(getattr(pages, who), TEAM, {}).status_code == 403
    assert save(pages.erin, SITE, {}).status_code == 403
    assert not Policy.objects.exists()
