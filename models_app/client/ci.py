"""What a CI system says of the run it is in: GitHub Actions, GitLab CI, Jenkins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def facts(environment: Mapping[str, str]) -> dict[str, Any]:
    """Metadata of a version from the environment: commit, repository, branch, the run and its address.

    MODELRY_DATASET_NAME and MODELRY_DATASET_VERSION are taken over wherever it runs. Empty outside of CI.
    """
    get = environment.get
    found: dict[str, Any] = {}
    if get("GITHUB_ACTIONS") == "true":
        repository = f"{get('GITHUB_SERVER_URL', 'https://github.com')}/{get('GITHUB_REPOSITORY', '')}"
        run = f"{repository}/actions/runs/{get('GITHUB_RUN_ID', '')}"
        # Of a pull request the other is the number of its merge.
        branch = get("GITHUB_HEAD_REF") or get("GITHUB_REF_NAME")
        found = _run("GitHub Actions", repository, get("GITHUB_SHA"), branch, run, get("GITHUB_RUN_ID"))
    elif get("GITLAB_CI"):
        run = get("CI_JOB_URL") or get("CI_PIPELINE_URL") or ""
        found = _run(
            "GitLab CI",
            get("CI_PROJECT_URL"),
            get("CI_COMMIT_SHA"),
            get("CI_COMMIT_REF_NAME"),
            run,
            get("CI_JOB_ID"),
        )
    elif get("JENKINS_URL"):
        branch = (get("BRANCH_NAME") or get("GIT_BRANCH") or "").removeprefix("origin/")
        found = _run("Jenkins", get("GIT_URL"), get("GIT_COMMIT"), branch, get("BUILD_URL"), get("BUILD_TAG"))
    for name in ("dataset_name", "dataset_version"):
        if get(f"MODELRY_{name.upper()}"):
            found[name] = get(f"MODELRY_{name.upper()}")
    return found


def _run(
    system: str,
    repository: str | None,
    commit: str | None,
    branch: str | None,
    run: str | None,
    number: str | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "code_repository": _without_login(repository),
        "code_commit": commit,
        "training_run_id": number,
    }
    found = {name: value for name, value in found.items() if value}
    if branch:
        found["tags"] = {"branch": branch}
    if run:
        found["reports"] = [{"title": f"Run in {system}", "url": run}]
    return found


def _without_login(address: str | None) -> str | None:
    """Without the password that CI clones with: it is nobody's business."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
