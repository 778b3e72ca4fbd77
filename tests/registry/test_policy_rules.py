"""How policies are written, and what is refused when they are."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.registry import policy_rules
from models_app.registry.errors import Invalid
from models_app.registry.policy_rules import Expression, check, is_true, read, write

FACTS = {"version": {"tags": {"a": "b"}, "number": 3}, "metrics": {"f1": 0.9}, "checks": {}}


def test_what_is_written_is_read():
    rules = {
        "fields": ["license", "owner"],
        "metrics": [{"name": "f1", "at_least": 0.9, "not_worse_by": 0.01}],
        "licenses": {"allowed": ["MIT", "Apache-2.0"]},
        "approvals": {"count": 2, "roles": ["approver"]},
        "hours_in_stage": 24.0,
        "freezes": [{"start": "2026-12-20T00:00:00Z", "end": "2027-01-02T00:00:00Z", "reason": "Holidays"}],
        "report": True,
        "checks": ["integration-tests"],
        "expressions": [{"name": "fast", "cel": "metrics.latency_ms < 50.0"}],
    }
    assert write(check(rules)) == rules
    assert write(read({})) == {}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"approvals": {"count": -1}}, "0 to 20"),
        ({"approvals": {"count": 1, "roles": ["viewer"]}}, "viewer"),
        ({"fields": ["shoe_size"]}, "shoe_size"),
        ({"metrics": [{"name": "f1"}]}, "no bound"),
        ({"metrics": [{"name": "f1", "not_worse_by": -1}]}, "negative"),
        ({"licenses": {"forbidden": ["No-Such-License"]}}, "No-Such-License"),
        ({"freezes": [{"start": "2026-12-20T00:00:00", "end": "2027-01-01T00:00:00Z"}]}, "zone"),
        ({"freezes": [{"start": "2026-12-20T00:00:00Z", "end": "2026-01-01T00:00:00Z"}]}, "after its start"),
        ({"from_stage": "heaven"}, "staging"),
        ({"checks": ["\n"]}, "no name"),
        ({"surprise": 1}, "surprise"),
        ({"expressions": [{"name": "x", "cel": "1 +"}]}, "does not compile"),
        ({"expressions": [{"name": "x", "cel": ""}]}, "empty"),
        ({"expressions": [{"name": "x", "cel": "1 == 1 || " * 200 + "true"}]}, "characters"),
        ({"expressions": [{"name": "x", "cel": "[1].all(a, [1].all(b, [1].all(c, true)))"}]}, "At most 2"),
        ("nonsense", "object"),
    ],
)
def test_what_is_refused(rules, says):
    with pytest.raises(Invalid) as refused:
        check(rules)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("cel", "met"),
    [
        ("metrics.f1 > 0.85", True),
        ("metrics.f1 > 0.95", False),
        ("metrics.nothing > 0.95", False),
        ("'a' in version.tags && version.number == 3", True),
        ("nobody.knows == 1", False),
        ("1 / 0 == 1", False),
        ("'text'", False),
    ],
)
def test_an_expression_that_fails_does_not_hold(cel, met):
    assert is_true(Expression(name="x", cel=cel), FACTS)[0] is met


def test_the_dearest_expression_ends_soon():
    most = {"version": {"risk_flags": [str(n) for n in range(policy_rules.MAX_SEEN)]}}
    cel = "version.risk_flags.all(a, version.risk_flags.all(b, a + b != 'x'))"
    began = time.monotonic()
    assert is_true(Expression(name="x", cel=cel), most) == (True, "")
    assert time.monotonic() - began < 5


@given(st.text(max_size=200))
def test_no_expression_breaks_the_judge(text):
    if not policy_rules.why_not_cel(text):
        is_true(Expression(name="x", cel=text), FACTS)
