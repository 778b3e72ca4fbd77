"""Who outside the demo company is told of its models, and how that went: arrived, tried again, given up, held back.

The worker's own verbs send; what stands in for the receivers is here, so nothing calls out. At the end nothing is due:
what still waits, waits for a paused webhook.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from models_app import outbound
from models_app.models import DeliveryLane, OutboxEvent, Team, Webhook, WebhookScheme, WebhookStatus
from models_app.registry import deliveries, hook_sending, webhooks
from models_app.registry.access import Actor
from models_app.registry.deliveries import Sent

At = Callable[[datetime], AbstractContextManager[None]]
# Messages older than a month are forgotten.
SINCE, MADE = timedelta(days=28), timedelta(days=40)
# Handed on by the worker a moment after the commit.
SOON = timedelta(milliseconds=120)
MOVES = ["version.moved", "promotion.requested", "promotion.emergency"]
DEPLOYMENTS = ["deployment.queued", "deployment.started", "deployment.live", "deployment.failed"]


@dataclass(frozen=True)
class Receiver:
    """A webhook and what its receiver answers: `odd` ones by the number of the call, the `usual` one else."""

    name: str
    team: str
    by: str
    url: str
    events: list[str]
    description: str
    usual: tuple[int, str]
    odd: Mapping[int, tuple[int, str]]
    # From this call on nothing comes back.
    gone_from: int = 1_000
    fields: Mapping[str, Any] | None = None


RECEIVERS = (
    Receiver(
        "releases",
        "",
        "admin",
        "https://chat.acme.example/services/T04/B07/releases",
        [*MOVES, "promotion.reviewed", "deployment.failed", "model.drifted"],
        "The channel #model-releases.",
        (200, "ok"),
        {4: (503, "upstream connect error")},
        fields={"kind": "slack"},
    ),
    Receiver(
        "risk-rollout",
        "risk",
        "li.wei",
        "https://rollout.fra.acme.example/hooks/modelry",
        DEPLOYMENTS,
        "Starts the pipelines that roll out in Frankfurt and Virginia.",
        (202, '{"accepted": true}'),
        {
            2: (502, "<html><title>502 Bad Gateway</title></html>"),
            3: (503, '{"error": "restarting"}'),
            6: (422, '{"error": "unknown environment risk-virginia"}'),
        },
        fields={"environments": ["risk-frankfurt", "risk-virginia"]},
    ),
    Receiver(
        "shared-rollout",
        "",
        "admin",
        "https://git.acme.example/api/v4/projects/31/trigger/pipeline",
        ["deployment.started"],
        "Starts the pipeline of the platform team, which deploys to these and no others.",
        (201, '{"status": "created"}'),
        {},
        fields={
            "kind": "gitlab",
            "secret": "token-of-the-demo",
            "ref": "main",
            "environments": ["forecasts", "shadow", "shared"],
        },
    ),
    Receiver(
        "shop-pipeline",
        "discovery",
        "priya",
        "https://git.acme.example/api/v3/repos/discovery/shop/dispatches",
        ["deployment.started"],
        "",
        (204, ""),
        {},
        fields={"kind": "github", "secret": "token-of-the-demo", "environments": ["shop"]},
    ),
    Receiver(
        "train-anew",
        "discovery",
        "priya",
        "https://git.acme.example/api/v3/repos/discovery/product-ranker/dispatches",
        ["model.drifted"],
        "The nightly training, at once. Its job registers with `retrains`.",
        (204, ""),
        {},
        fields={"kind": "github", "secret": "token-of-the-demo"},
    ),
    Receiver(
        "line-gateway",
        "vision",
        "jonas",
        "https://gateway.plant-12.acme.example/models",
        [*MOVES, "deployment.queued"],
        "Plant 12: what the cameras should load next.",
        (200, '{"cameras": 9}'),
        {},
        gone_from=4,
    ),
)


def tell(actors: dict[str, Actor], *, at: At, now: datetime) -> None:
    """A month of messages. `at` sets the clock."""
    told = {}
    with _played(Stage()):
        with at(now - MADE):
            for one in RECEIVERS:
                told[one.name] = _made(one, actors)
        recent = OutboxEvent.objects.filter(created_at__range=(now - SINCE, now - SOON))
        for event in recent.order_by("created_at", "id"):
            _deliver(until=event.created_at, at=at)
            with at(event.created_at + SOON):
                deliveries.enqueue(event)
        _deliver(until=now, at=at)
    with at(now - timedelta(hours=3)):
        webhooks.rotate_secret(told["risk-rollout"], by=actors["li.wei"])


def _made(one: Receiver, actors: dict[str, Actor]) -> Webhook:
    return webhooks.create_webhook(
        one.name,
        url=one.url,
        events=one.events,
        description=one.description,
        scheme=WebhookScheme.STANDARD,
        team=Team.objects.get(slug=one.team) if one.team else None,
        by=actors[one.by],
        **(one.fields or {}),
    )


def _deliver(*, until: datetime, at: At) -> None:
    """What the worker sends till then, each when it is due."""
    noise = random.Random(until.isoformat())
    while (due := _next_due()) is not None and due <= until:
        with at(due):
            for batch in deliveries.take(limit=100):
                sent = []
                for delivery in batch.messages:
                    attempt = hook_sending.send(batch.hook, delivery_id=delivery.uid, body=delivery.body)
                    took = 5_000 if attempt.reply is None else noise.randrange(40, 200)
                    sent.append(Sent(batch, delivery, replace(attempt, duration_ms=took)))
                    if attempt.may_retry:
                        break
                deliveries.note(sent, [(batch, sent)])


def _next_due() -> datetime | None:
    lanes = DeliveryLane.objects.filter(webhook__status=WebhookStatus.ACTIVE)
    times = lanes.values_list("not_before", "webhook__hold_until")
    return min((max(lane, hold) if hold else lane for lane, hold in times), default=None)


class Stage:
    """Plays every receiver."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.known = {one.url: one for one in RECEIVERS}

    def post(self, url: str, **_: Any) -> outbound.Reply:
        """As outbound.post answers."""
        one = self.known[url]
        self.calls[url] += 1
        number = self.calls[url]
        if number >= one.gone_from:
            raise outbound.Unreachable(f"Cannot connect to {url.split('/')[2]}: timed out.")
        return outbound.Reply(*one.odd.get(number, one.usual))


@contextmanager
def _played(stage: Stage) -> Iterator[None]:
    """Within, nothing calls out: addresses are taken as they are, and the stage answers."""
    check, post = outbound.check, outbound.post
    outbound.check, outbound.post = (lambda url: None), stage.post
    try:
        yield
    finally:
        outbound.check, outbound.post = check, post
