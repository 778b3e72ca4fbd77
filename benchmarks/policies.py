"""How long one version takes to be judged: `python benchmarks/policies.py`, on what DATABASE_URL names (empty, its own).

Under policies of site, risk, team and model with every kind of rule and three expressions, with 20 metrics, lineage,
checks, reports, a version in production to compare with, and an open request with two reviews; in process, statements
included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")

import django

django.setup()

from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.models import ModelVersion
from models_app.registry import approvals, checks, policies, promotions, reviews
from models_app.registry.access import get_version
from tests import builders, people

METRICS = {f"m{n}": 0.5 + n / 100 for n in range(20)}
RULES: dict[str, dict[str, Any]] = {
    "site": {"fields": ["dataset_version", "metrics", "owner", "license"], "freezes": []},
    "risk": {"fields": ["pii_usage", "bias_fairness_notes"], "report": True, "approvals": {"count": 2}},
    "team": {
        "licenses": {"allowed": ["Apache-2.0", "MIT", "CC-BY-4.0"], "forbidden": ["AGPL-3.0-only"]},
        "checks": ["integration-tests", "load"],
        "from_stage": "dev",
        "hours_in_stage": 0.0001,
        "freezes": [{"start": "2020-12-20T00:00:00Z", "end": "2021-01-02T00:00:00Z"}],
        "approvals": {"count": 1},
        "expressions": [
            {"name": "a person owns it", "cel": "!version.owner.startsWith('ci-')"},
            {"name": "flags are known", "cel": "version.risk_flags.all(flag, flag in ['drift', 'bias'])"},
        ],
    },
    "model": {
        "metrics": [{"name": f"m{n}", "at_least": 0.1, "not_worse_by": 0.5} for n in range(20)],
        "fields": ["purpose", "card"],
        "expressions": [{"name": "checks pass", "cel": "checks.all(name, checks[name] == 'success')"}],
    },
}


def build() -> tuple[int, int]:
    """A version before production, and its open request."""
    who = people.build()
    model = builders.model(
        by=who.alice, owner="alice", purpose="Finds fraud.", card="# Fraud", risk_level="high"
    )
    builders.promoted(model, by=who.bob, approver=who.carol, metrics=METRICS)
    version = builders.complete_version(
        model,
        by=who.bob,
        metrics=METRICS,
        risk_flags=["drift"],
        base_model="bert",
        base_model_license="Apache-2.0",
        dataset_license="CC-BY-4.0",
        pii_usage="none",
        bias_fairness_notes="None found.",
        reports=[{"title": "R", "url": "https://example.com/r"}],
    )
    for scope, rules in RULES.items():
        own = {"risk": {"risk_level": "high"}, "team": {"team": who.risk}, "model": {"model": model}}
        policies.set_policy(stage="production", rules=rules, by=who.root, **own.get(scope, {}))
    checks.report(version, name="integration-tests", state="success", by=who.bob)
    checks.report(version, name="load", state="pending", by=who.bob)
    request = promotions.ask(version, to="production", by=who.alice)
    for reviewer in (who.carol, who.erin):
        reviews.review(request, verdict="approved", by=reviewer)
    return version.pk, request.pk


def measure(name: str, times: int, work: Any) -> None:
    for _ in range(20):
        work()
    with CaptureQueriesContext(connection) as captured:
        work()
    taken = []
    busy = time.thread_time()
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    busy = 1000 * (time.thread_time() - busy) / times
    taken.sort()
    print(
        f"{connection.vendor:10} {name:28} p50 {statistics.median(taken):6.2f} ms"
        f"  p99 {taken[int(len(taken) * 0.99)]:6.2f} ms  cpu {busy:5.2f} ms  {len(captured)} statements"
    )
    if os.environ.get("SHOW"):
        print("\n".join(query["sql"][:160] for query in captured.captured_queries))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    call_command("migrate", verbosity=0)
    version_pk, request_pk = build()
    version = get_version(
        ModelVersion.objects.select_related("model").get(pk=version_pk).model.name,
        "2",
        by=people.Actor.system(),
    )
    request = approvals.PromotionRequest.objects.select_related("model__team", "version").get(pk=request_pk)

    def judge(asked: Any) -> None:
        # As a call finds it: nothing of it was read before.
        for name in ("_prefetched_objects_cache",):
            version.__dict__.pop(name, None)
        found = approvals.judge(version, to="production", request=asked)
        assert len(found.demands) > 30, len(found.demands)

    measure("judge a version", times, lambda: judge(None))
    measure("judge a request, 2 reviews", times, lambda: judge(request))


if __name__ == "__main__":
    main()
