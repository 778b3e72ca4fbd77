"""What deployers and environments report: states, lines of logs, what really runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone

from models_app.models import (
    Deployment,
    DeploymentLine,
    DeploymentState,
    Environment,
    RegisteredModel,
    Running,
)
from models_app.models.deployments import FIRST_LINES, KEPT_LINES

from . import address_templates, audit, environments, lifecycle, prepared
from . import deployment_steps as steps
from .access import Actor
from .deployment_failures import fail
from .deployments import held
from .errors import Conflict, Invalid, Mismatch
from .metadata import clean_text, clean_url

MAX_LINE = 2_000
LINES_AT_ONCE = 200
REPORTED = ("deploying", "verifying", "live", "failed")


def report(
    deployment: Deployment,
    *,
    by: Actor,
    state: str = "",
    lines: Iterable[Mapping[str, Any] | str] = (),
    endpoint: str = "",
    version: int | None = None,
    digest: str = "",
    reason: str = "",
    agent: str = "",
) -> Deployment:
    """What a deployer says of its work: a state, lines of its log, where the version serves, what it really runs.

    Saying the same again does no harm. `live` is believed where nothing is checked here; else the health check has to
    agree. Raises Forbidden for who does not speak for the environment, Conflict when it is over or another agent has it
    in hand, Mismatch when it runs something else, Invalid.
    """
    if state and state not in REPORTED:
        raise Invalid("state", f"One of {', '.join(REPORTED)}.")
    endpoint = _clean_endpoint(endpoint)
    reason = lifecycle.clean_reason(reason)
    clean = [clean_line(number, line) for number, line in enumerate(lines)]
    if len(clean) > LINES_AT_ONCE:
        raise Invalid("lines", f"At most {LINES_AT_ONCE} at once.")
    with held(deployment) as current:
        environments.require_reporting(current.environment, by=by)
        _require_holding(current, agent)
        add_lines(current, clean)
        if endpoint and endpoint != current.endpoint:
            _serve_at(current, endpoint, state=state, by=by)
        if state:
            _require_same(current, version, digest)
            _reach(current, state, by=by, reason=reason)
        if version is not None or digest or state == DeploymentState.LIVE:
            number = version or current.version.number
            _note(current.model, current.environment, version=number, digest=digest, detail="", by=by)
        return current


def _clean_endpoint(value: str) -> str:
    endpoint = clean_text("endpoint", value, limit=500)
    if endpoint and urlsplit(clean_url("endpoint", endpoint)).username is not None:
        raise Invalid("endpoint", "An address without user and password: everybody sees it.")
    return endpoint


def _serve_at(deployment: Deployment, endpoint: str, *, state: str, by: Actor) -> None:
    """It serves elsewhere than was known. Health that was found elsewhere counts no more. Once it is live that is a
    change on record, which its version follows, unless it is live because the former address was healthy; what is over
    keeps the address that it had. Raises Conflict.
    """
    environment = deployment.environment
    is_checked = steps.is_checked_here(environment) and address_templates.ADDRESS in environment.health_check
    if deployment.is_over:
        raise Conflict(
            f"Deployment {deployment.pk} is {deployment.get_state_display().lower()} already: "
            "where it served stays on record.",
            next_step="Look at what is declared now.",
        )
    if deployment.state == DeploymentState.QUEUED and not state:
        raise Conflict(
            f"Deployment {deployment.pk} only waits yet.", next_step="Wait for deployment.started."
        )
    if deployment.state == DeploymentState.LIVE and is_checked:
        raise Conflict(
            f"Deployment {deployment.pk} is live because {deployment.endpoint or 'its address'} was healthy.",
            next_step="Deploy the version again if it serves elsewhere.",
        )
    former, deployment.endpoint = deployment.endpoint, endpoint
    prepared.update(deployment, "endpoint")
    if deployment.state == DeploymentState.VERIFYING and is_checked:
        # Also of a check that is being made: it finds that it is not the one that was due.
        deployment.healthy_in_a_row, deployment.next_check_at = 0, timezone.now()
        prepared.update(deployment, "healthy_in_a_row", "next_check_at")
    if deployment.state != DeploymentState.LIVE:
        return
    version = deployment.version
    if version.serving_endpoint in ("", former):
        version.serving_endpoint, version.updated_at = endpoint, timezone.now()
        prepared.update(version, "serving_endpoint", "updated_at")
    audit.record(
        "deployment.endpoint_changed",
        by=by,
        subject=str(version),
        model=deployment.model,
        before={"endpoint": former},
        after={
            "endpoint": endpoint,
            "environment": environment.name,
            "deployment": deployment.pk,
        },
    )


def _require_holding(deployment: Deployment, agent: str) -> None:
    if deployment.holder and deployment.is_unfinished and agent != deployment.holder:
        raise Conflict(
            f"Deployment {deployment.pk} is in the hands of agent {deployment.holder}.",
            next_step="Claim again: what you had in hand was given to another.",
        )


def _require_same(deployment: Deployment, version: int | None, digest: str) -> None:
    declared = deployment.version
    known = declared.manifest.digest if declared.manifest else ""
    if version is not None and version != declared.number:
        raise Mismatch(
            "version", f"Deployment {deployment.pk} is of version {declared.number}, not {version}."
        )
    if digest and digest.lower().removeprefix("sha256:") != known:
        raise Mismatch("digest", f"{declared} has the digest {known or 'none'}.")


def _reach(deployment: Deployment, state: str, *, by: Actor, reason: str) -> None:
    """Go on to the reported state; what was reported before, or is past it, changes nothing."""
    if state == deployment.state:
        return
    if deployment.is_over:
        raise Conflict(
            f"Deployment {deployment.pk} is {deployment.get_state_display().lower()} already.",
            next_step="Look at what is declared now.",
        )
    if deployment.state == DeploymentState.LIVE:
        if state == DeploymentState.FAILED:
            raise Conflict(f"Deployment {deployment.pk} is live.", next_step="Roll it back.")
        return
    if deployment.state == DeploymentState.QUEUED:
        if not steps.may_start(deployment):
            raise Conflict(
                f"Deployment {deployment.pk} may not start yet.", next_step="Wait for deployment.started."
            )
        steps.start(deployment, by=by)
    if state == DeploymentState.FAILED:
        fail(deployment, by=by, why=reason or "The deployer reported failure.")
    elif deployment.state == DeploymentState.DEPLOYING and state in (
        DeploymentState.VERIFYING,
        DeploymentState.LIVE,
    ):
        if state == DeploymentState.VERIFYING or steps.is_checked_here(deployment.environment):
            steps.verify(deployment, by=by)
        else:
            steps.go_live(deployment, by=by)
    elif state == DeploymentState.LIVE and not steps.is_checked_here(deployment.environment):
        steps.go_live(deployment, by=by)


def clean_line(number: int, line: Mapping[str, Any] | str) -> dict[str, str]:
    where = f"lines[{number}]"
    if isinstance(line, str):
        line = {"text": line}
    if not isinstance(line, Mapping) or not set(line) <= {"text", "url"}:
        raise Invalid(where, "A text, or an object of text and url.")
    text = clean_text(f"{where}.text", line.get("text"), limit=MAX_LINE, lines=True)
    url = clean_text(f"{where}.url", line.get("url"), limit=1_000)
    if url:
        clean_url(f"{where}.url", url)
    if not text and not url:
        raise Invalid(where, "Says nothing.")
    return {"text": text, "url": url}


def add_lines(deployment: Deployment, lines: list[dict[str, str]]) -> None:
    """Add to its log. Of a long one the first lines and the newest are kept, which say how it began and why it ended;
    `line_count` counts all. What it costs depends on these lines, not on how many there were.
    """
    if not lines:
        return
    now = timezone.now()
    DeploymentLine.objects.bulk_create(
        [DeploymentLine(deployment=deployment, at=now, **line) for line in lines]
    )
    kept = deployment.line_count - deployment.lines_left_out + len(lines)
    deployment.line_count += len(lines)
    prepared.update(deployment, "line_count")
    if (surplus := kept - KEPT_LINES) > 0:
        middle = deployment.lines.order_by("pk").values_list("pk", flat=True)[FIRST_LINES:][:surplus]
        DeploymentLine.objects.filter(pk__in=list(middle)).delete()


@transaction.atomic
def observed(
    model: RegisteredModel,
    environment: Environment,
    *,
    by: Actor,
    version: int | None,
    digest: str = "",
    detail: str = "",
) -> Running:
    """Note what an environment runs of a model now; no version means nothing. What differs from what is declared is
    drift. Raises Forbidden, Invalid, Conflict for a model that it neither takes nor has.
    """
    environments.require_reporting(environment, by=by)
    if not Deployment.objects.of_pair(model.pk, environment.pk).current().exists():
        environments.require_taking(environment, model)
    return _note(model, environment, version=version, digest=digest, detail=detail, by=by)


def _note(
    model: RegisteredModel,
    environment: Environment,
    *,
    version: int | None,
    digest: str,
    detail: str,
    by: Actor,
) -> Running:
    if version is not None and not 0 < version < 2**31:
        raise Invalid("version", "The number of a version.")
    digest = clean_text("digest", digest, limit=71).lower().removeprefix("sha256:")
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
        raise Invalid("digest", "A SHA-256 in hexadecimal.")
    detail = clean_text("detail", detail, limit=500)
    row, _ = Running.objects.update_or_create(
        model=model,
        environment=environment,
        defaults={
            "version_number": version,
            "digest": digest,
            "detail": detail,
            "at": timezone.now(),
            "by": by.user,
        },
    )
    return row
