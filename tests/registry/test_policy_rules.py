"""How policies are written, and what is refused when they are."""

import pytest

from models_app.registry.errors import Invalid
from models_app.registry.policy_rules import check, read, write


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
        ("nonsense", "object"),
    ],
)
def test_what_is_refused(rules, says):
    with pytest.raises(Invalid) as refused:
        check(rules)
    assert says in str(refused.value)
