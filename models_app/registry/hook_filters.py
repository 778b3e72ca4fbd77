"""Which webhooks hear of an event: by name, team, pattern of the model's name, stage, and environment."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.db.models import Q

from models_app.models import Environment, Follows, RegisteredModel, Webhook, WebhookScheme, WebhookStatus

# Where an outbox event says which stages it is about.
_STAGES = ("from", "to", "stage")
STARTED = "deployment.started"


def hearing(
    names: Mapping[str, list[str]], payload: Mapping[str, Any], *, model: int | None
) -> list[tuple[int, str, str]]:
    """(hook, scheme, name) of everyone who hears of an event that has these names in each scheme; one query.

    Hooks of a team hear of its models only. When the model is gone nobody knows whose it was: only hooks of the whole
    site may hear. Filters for stages and environments let through what speaks of none.
    """
    theirs = Q(team__in=RegisteredModel.objects.filter(pk=model or 0).values("team"))
    hooks = Webhook.objects.exclude(status=WebhookStatus.DISABLED).filter(Q(team=None) | theirs)
    columns = ("pk", "scheme", "events", "model_patterns", "stages", "environments")
    called = payload.get("name")
    about = {payload[key] for key in _STAGES if key in payload}
    where = payload.get("environment")
    return [
        (pk, scheme, name)
        for pk, scheme, events, patterns, stages, places in hooks.order_by("pk").values_list(*columns)
        for name in names[scheme]
        if name in events
        and _fits(called, patterns)
        and (not stages or not about or about & {*stages})
        and (not places or where is None or where in places)
    ]


def deploying(environment: Environment) -> list[Webhook]:
    """The hooks that hear when something is to be deployed in an environment: all of it, or what they are narrowed to
    by team and names of models. Those that are paused hear later.
    """
    hooks = Webhook.objects.filter(scheme=WebhookScheme.STANDARD).exclude(status=WebhookStatus.DISABLED)
    if environment.for_team_id is not None:
        hooks = hooks.filter(Q(team=None) | Q(team=environment.for_team_id))
    stage = environment.followed if environment.follows == Follows.STAGE else ""
    return [
        hook
        for hook in hooks.select_related("team").order_by("name", "pk")
        if STARTED in hook.events
        and (not hook.stages or not stage or stage in hook.stages)
        and (not hook.environments or environment.name in hook.environments)
    ]


def _fits(called: str | None, patterns: list[str]) -> bool:
    return not patterns or (called is not None and any(_pattern(one).match(called) for one in patterns))


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    # A star also stands for a slash; `team/*` and `*/name` are what people write. It takes no longer than the name is.
    return re.compile(fnmatch.translate(glob))
