"""What deployers and environments report: states, lines of logs, what really runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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

from . import deployment_steps as steps
from . import environments, lifecycle, prepared
from .access import Actor
from .deployment_failures import fail
from .deployments import held
from .errors import Conflict, Invalid, Mismatch
from .metadata import clean_text, clean_url

MAX_LINES = 1_000
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

    Saying the same state again does no harm. `live` is believed where nothing is checked here; else the health check
    has to agree. Raises Forbidden for who does not speak for the environment, Conflict when it is over or another agent
    has it in hand, Mismatch when it runs something else, Invalid.
    """
    if state and state not in REPORTED:
        raise Invalid("state", f"One of {', '.join(REPORTED)}.")
    endpoint = clean_text("endpoint", endpoint, limit=500)
    if endpoint:
        clean_url("endpoint", endpoint)
    reason = lifecycle.clean_reason(reason)
    clean = [clean_line(number, line) for number, line in enumerate(lines)]
    if len(clean) > LINES_AT_ONCE:
        raise Invalid("lines", f"At most {LINES_AT_ONCE} at once.")
    with held(deployment) as current:
        environments.require_reporting(current.environment, by=by)
        _require_holding(current, agent)
        add_lines(current, clean)
        if endpoint:
            current.endpoint = endpoint
            prepared.update(current, "endpoint")
        if state:
            _require_same(current, version, digest)
            _reach(current, state, by=by, reason=reason)
        if version is not None or digest or state == DeploymentState.LIVE:
            number = version or current.version.number
            _note(current.model, current.environment, version=number, digest=digest, detail="", by=by)
        return current


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
    """Keep the first MAX_LINES; the last of them says that there were more."""
    room = MAX_LINES - deployment.line_count
    if not lines or room <= 0:
        return
    taken = lines[:room]
    if len(taken) == room and len(lines) > room - 1:
        taken[-1] = {"text": f"More than {MAX_LINES} lines; the rest is not kept.", "url": ""}
    now = timezone.now()
    DeploymentLine.objects.bulk_create(
        [DeploymentLine(deployment=deployment, at=now, **line) for line in taken]
    )
    deployment.line_count += len(taken)
    prepared.update(deployment, "line_count")


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
    drift. Raises Forbidden, Invalid.
    """
    environments.require_reporting(environment, by=by)
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
