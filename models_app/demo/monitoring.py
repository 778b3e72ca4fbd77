"""What the demo company's models observe where they serve: two drifted, one of them until it was trained anew."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from models_app.models import Deployment, RegisteredModel
from models_app.registry import access, incidents, observations, thresholds
from models_app.registry.access import Actor

At = Callable[[datetime], AbstractContextManager[None]]
# The one whose last version was trained because of drift, and the one that drifts today.
RETRAINED, DRIFTING = "risk/fraud-detector", "discovery/product-ranker"
FEATURES = {RETRAINED: ("amount", "merchant_category"), DRIFTING: ("query_length", "season")}
EVERY = timedelta(hours=8)
MOST_DAYS = 70


def retrains(model: RegisteredModel, actors: dict[str, Actor], moment: datetime) -> dict[str, Any]:
    """What led to the next version of a model, if that is why there is one: as facts of it."""
    if model.name != RETRAINED:
        return {}
    _watched(model, actors)
    incident = _observed(model, actors, until=moment, drifts=True)
    return {"retrains": str(incident)} if incident else {}


def tell(actors: dict[str, Actor], *, at: At, now: datetime) -> None:
    """How they do till today."""
    admin, today = actors["admin"], now - timedelta(minutes=20)
    retrained, drifting = (access.get_model(name, by=admin) for name in (RETRAINED, DRIFTING))
    with at(today):
        _observed(retrained, actors, until=today, drifts=False)
        _watched(drifting, actors)
        found = _observed(drifting, actors, until=today, drifts=True)
    if found is None:
        return
    with at(now - timedelta(minutes=5)):
        reason = "Since the sale began people ask for other things: it is trained on the last weeks next."
        incident = incidents.get_incident(found, by=admin)
        incidents.acknowledge(incident, by=_owner(drifting, actors), reason=reason)


def _owner(model: RegisteredModel, actors: dict[str, Actor]) -> Actor:
    return next(one for one in actors.values() if one.user is not None and one.user.pk == model.owner_id)


def _watched(model: RegisteredModel, actors: dict[str, Actor]) -> None:
    owner = _owner(model, actors)
    thresholds.add(model, name_pattern="psi", value=0.25, by=owner)
    thresholds.add(model, name_pattern="error_rate", feature_pattern="", value=0.05, resolves=True, by=owner)


def _observed(
    model: RegisteredModel, actors: dict[str, Actor], *, until: datetime, drifts: bool
) -> int | None:
    """What the job beside the serving system posts of what is live; the number of the incident."""
    robot, found = actors["rollout"], None
    live = Deployment.objects.live().filter(model=model).select_related("environment").order_by("pk")
    for deployment in live[:1]:
        assert deployment.live_at is not None
        begins = max(deployment.live_at, until - timedelta(days=MOST_DAYS))
        rows = _rows(model.name, begins, until, drifts=drifts)
        for first in range(0, len(rows), observations.AT_ONCE):
            batch = rows[first : first + observations.AT_ONCE]
            told = observations.observe(deployment, observations=batch, by=robot)
            found = told.incident.pk if told.incident else found
    return found


def _rows(name: str, begins: datetime, until: datetime, *, drifts: bool) -> list[dict[str, Any]]:
    noise = random.Random(f"{name} {drifts}")
    count = max(int((until - begins) / EVERY), 4)
    rows = []
    for nth in range(count):
        at = until - EVERY * (count - 1 - nth)
        if at < begins:
            continue
        day = 1 + 0.4 * math.sin(at.hour / 24 * math.tau)
        share = nth / count
        values = {
            ("traffic", ""): 420 * day * noise.uniform(0.95, 1.05),
            ("latency_p95_ms", ""): 38 * day**0.3 * noise.uniform(0.95, 1.1),
            ("error_rate", ""): noise.uniform(0.001, 0.006),
        }
        for number, feature in enumerate(FEATURES[name]):
            grows = 0.3 * share**2 if drifts and number == 0 else 0.02 * share
            values["psi", feature] = 0.04 + grows + noise.uniform(0, 0.02)
        rows += [{"name": k, "feature": f, "at": at, "value": v} for (k, f), v in values.items()]
    return rows
