"""Webhooks."""

from __future__ import annotations

from .case import (
    ABSENT,
    INVALID,
    REFUSED,
    TEXT,
    UNKNOWN,
    Call,
    Case,
    get,
    patch,
    post,
)

HOOK = {
    "name": "h-{u}",
    "url": "https://8.8.8.8/hook",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
}


def hook(**more):
    return post("webhooks", **{**HOOK, **more})


MADE = (Call("POST", "webhooks", HOOK, keep={"hook": "webhook.webhook_id"}),)


CASES = [
    # --- webhooks ---
    Case(
        "create a webhook",
        hook(description="d", secret="s3cret"),
        body={
            "webhook": {
                "webhook_id": TEXT,
                "name": "h-{u}",
                "url": "https://8.8.8.8/hook",
                "description": "d",
                "status": "ACTIVE",
                "secret": ABSENT,
                "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
                "creation_timestamp": int,
                "last_updated_timestamp": int,
            }
        },
    ),
    Case("create one switched off", hook(status="DISABLED"), body={"webhook": {"status": "DISABLED"}}),
    Case(
        "create one without name",
        post("webhooks", url="https://example.com", events=HOOK["events"]),
        **INVALID,
    ),
    Case("create one without address", post("webhooks", name="h-{u}", events=HOOK["events"]), **INVALID),
    Case("create one without events", post("webhooks", name="h-{u}", url="https://example.com"), **INVALID),
    Case("create one with no events", hook(events=[]), **INVALID),
    Case(
        "create one with a pair that is none",
        hook(events=[{"entity": "REGISTERED_MODEL", "action": "DELETED"}]),
        **INVALID,
    ),
    Case(
        "create one with an unknown entity",
        hook(events=[{"entity": "MOON", "action": "CREATED"}]),
        status=500,
        differs="no 500",
        ours=REFUSED,
    ),
    Case("create one over http", hook(url="http://example.com/hook"), **INVALID),
    Case("create one to this machine", hook(url="https://127.0.0.1/hook"), **INVALID),
    Case("create one to localhost", hook(url="https://localhost/hook"), **INVALID),
    Case("create one to a private network", hook(url="https://10.1.2.3/hook"), **INVALID),
    Case("create one to the cloud's own address", hook(url="https://169.254.169.254/latest"), **INVALID),
    Case("create one to a file", hook(url="file:///etc/passwd"), **INVALID),
    Case("create one with a bad name", hook(name="-a-"), **INVALID),
    Case("create one with a long name", hook(name="a" * 64), **INVALID),
    Case(
        "get a webhook",
        get("webhooks/{hook}"),
        given=MADE,
        body={"webhook": {"webhook_id": "{hook}", "secret": ABSENT}},
    ),
    Case("list webhooks", get("webhooks", max_results=100), given=MADE, body={"webhooks": list}),
    Case(
        "update a webhook",
        patch("webhooks/{hook}", name="other", status="DISABLED"),
        given=MADE,
        body={
            "webhook": {
                "webhook_id": "{hook}",
                "name": "other",
                "status": "DISABLED",
                "url": "https://8.8.8.8/hook",
            }
        },
    ),
    Case(
        "update a webhook to a private address",
        patch("webhooks/{hook}", url="https://10.0.0.1/"),
        given=MADE,
        **INVALID,
    ),
    Case("delete a webhook", Call("DELETE", "webhooks/{hook}"), given=MADE, body={}),
    Case(
        "a deleted webhook is gone",
        get("webhooks/{hook}"),
        given=(*MADE, Call("DELETE", "webhooks/{hook}")),
        **UNKNOWN,
    ),
    Case("get an unknown webhook", get("webhooks/{none}"), **UNKNOWN),
    Case("update an unknown webhook", patch("webhooks/{none}", name="other"), **UNKNOWN),
    Case("delete an unknown webhook", Call("DELETE", "webhooks/{none}"), **UNKNOWN),
    Case("list 0 webhooks", get("webhooks", max_results=0), status=200),
]
