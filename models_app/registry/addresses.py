"""Where people find what they are told of: for mails and messages, which know no request."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

# Where script/server listens, for who tries things out on her own machine.
AT_HOME = "http://localhost:8000"


def of_request(number: int) -> str:
    """The page of a promotion request."""
    return reverse("web:promotion", kwargs={"number": number})


def of_model(name: str) -> str:
    """The page of a model."""
    return reverse("web:model", kwargs={"name": name})


def of_version(name: str, number: int) -> str:
    """The page of a version."""
    return reverse("web:version", kwargs={"name": name, "rev": str(number)})


def of_team_storage(slug: str) -> str:
    """What a team holds."""
    return reverse("web:team_storage", kwargs={"slug": slug})


def of_incident(number: int) -> str:
    """The page of an incident."""
    return reverse("web:incident", kwargs={"number": number})


def of_deployment_api(number: int) -> str:
    """A deployment in the API."""
    return reverse("api:deployment", kwargs={"number": number})


def of_report_api(number: int) -> str:
    """Where a deployer reports what became of a deployment."""
    return reverse("api:deployment_report", kwargs={"number": number})


def of_files_api(name: str, number: int) -> str:
    """The listing of a version's files in the API."""
    return reverse("api:files", kwargs={"name": name, "revision": str(number)})


def of_archive_api(name: str, number: int) -> str:
    """All files of a version as one archive."""
    return reverse("api:archive", kwargs={"name": name, "revision": str(number), "kind": "tar"})


def of_webhook(uid: str) -> str:
    """The page of a webhook."""
    return f"/webhooks/{uid}/"


def absolute(path: str) -> str:
    """The whole address of a path; MODELRY_PUBLIC_URL says where the site is."""
    return (settings.PUBLIC_URL.rstrip("/") or AT_HOME) + path
