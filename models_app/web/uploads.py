"""Upload a version in the browser: one form with files and metadata, streamed into storage.

With script the files go over the upload sessions of the API instead, as those of the command-line client. The form
comes without them: first to be checked, and when all files are here to seal their session.
"""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from models_app.formats import paths
from models_app.http.bodies import Form, check_csrf, receive_form, size_at_least
from models_app.http.errors import problem_response
from models_app.http.middleware import STRICT, policy
from models_app.models import ModelVersion, RegisteredModel
from models_app.registry import admission, catalog, quotas
from models_app.registry.access import Right, get_model
from models_app.registry.artifacts import storage, upload_sealing, upload_sessions
from models_app.registry.errors import (
    Conflict,
    FieldProblem,
    Invalid,
    OverQuota,
    RegistryError,
    TooLarge,
    Unavailable,
)

from .context import site_address
from .door import PageRequest, page, show_problems, status_of, tell_refusal
from .version_forms import UploadForm, metadata_from, prefilled


@csrf_exempt  # The token is in the streamed form: check_csrf looks at it before the first file.
@page("GET", "HEAD", "POST", login=True)
def upload(request: PageRequest, name: str) -> HttpResponse:
    """The form, prefilled from the newest version; script is answered in JSON."""
    if request.method == "POST" and "application/json" in request.headers.get("Accept", ""):
        return _answer_script(request, name)
    model = get_model(name, by=request.actor, right=Right.REGISTER)
    if request.method == "POST":
        return _receive(request, model)
    return _show(request, model, UploadForm(initial=prefilled(model.newest)))


def _show(
    request: PageRequest, model: RegisteredModel, form: UploadForm, *, error: RegistryError | None = None
) -> HttpResponse:
    base = site_address(request)
    context: dict[str, Any] = {
        "model": model,
        "form": form,
        "error": error,
        "section": "models",
        "base": base,
        "standing": quotas.standing_of(model.team_id),
    }
    url = f"{base}/api/v1/models/{quote(model.name)}/versions"
    push = shlex.join(["python3", "client.py", "push", "FOLDER", f"--model={model.name}"])
    context["push"] = f"export MODELRY_URL={base} MODELRY_TOKEN=mdl_…\ncurl -fsSO {base}/client.py\n{push}"
    context["command"] = (
        f'curl -H "Authorization: Bearer $MODELRY_TOKEN" \\\n'
        f'  -F \'metadata={{"metrics": {{"f1": 0.91}}}}\' \\\n'
        f"  -F 'file=@model.safetensors' \\\n  \"{url}\""
    )
    response = render(request, "versions/upload.html", context, status=422 if error or form.errors else 200)
    with suppress(Unavailable):
        if origin := storage.direct_origin():
            response["Content-Security-Policy"] = policy({**STRICT, "connect-src": f"'self' {origin}"})
    return response


def _receive(request: PageRequest, model: RegisteredModel) -> HttpResponse:
    form = UploadForm()
    try:
        received = receive_form(request, before_files=lambda sent: _before_files(request, model, sent))
        form = UploadForm(received.as_post())
        version = _register(request, model, form, received)
    except (Invalid, Conflict, TooLarge, OverQuota) as error:
        tell_refusal(request, error, name=model.name)
        if form.is_bound and not isinstance(error, TooLarge | OverQuota):
            show_problems(form, error)
            return _show(request, model, form)
        return _show(request, model, UploadForm(initial=prefilled(model.newest)), error=error)
    return redirect(_registered(request, version))


def _before_files(request: PageRequest, model: RegisteredModel, sent: Form) -> None:
    check_csrf(request, sent)
    quotas.check(model.team_id, size_at_least(request))


def _register(request: PageRequest, model: RegisteredModel, form: UploadForm, received: Form) -> ModelVersion:
    # A browser without script sends one empty part when no file was chosen.
    files = [file for file in received.files if file.path]
    form.full_clean()
    return catalog.register_version(model, files=files, metadata=metadata_from(form), by=request.actor)


def _registered(request: PageRequest, version: ModelVersion) -> str:
    """The page to go to."""
    messages.success(request, f"v{version.number} is registered and sealed.")
    return reverse("web:version", args=[version.model.name, version.number])


# --- With script ----------------------------------------------------------------------------------------------


def _answer_script(request: PageRequest, name: str) -> HttpResponse:
    try:
        model = get_model(name, by=request.actor, right=Right.REGISTER)
        received = receive_form(request, file_fields=(), before_files=lambda sent: check_csrf(request, sent))
        form = UploadForm(received.as_post())
        form.full_clean()
        metadata = metadata_from(form)
        uid = received.get("upload")
        if not uid:
            _check_paths(received.get("paths"))
            admission.check_registration(
                model.name, create_model=False, fields={}, data=metadata, by=request.actor
            )
            return JsonResponse({"checked": True})
        version = upload_sealing.seal(
            upload_sessions.find(uid, by=request.actor),
            create_model=False,
            model_fields={},
            metadata=metadata,
            by=request.actor,
        )
    except RegistryError as error:
        tell_refusal(request, error, name=name)
        wrong = [vars_of(item) for item in error.problems] if isinstance(error, Invalid) else None
        status = 422 if isinstance(error, Invalid) else status_of(error)
        return problem_response(request, status, detail=error.why, errors=wrong, next_step=error.next_step)
    return JsonResponse({"version": version.number, "page_url": _registered(request, version)}, status=201)


def _check_paths(sent: str) -> None:
    """Names that no version takes are told before anything is hashed and sent."""
    try:
        found = json.loads(sent or "[]")
    except (ValueError, RecursionError) as error:
        raise Invalid("file", "Not a list of paths.") from error
    if not isinstance(found, list) or not all(isinstance(path, str) for path in found):
        raise Invalid("file", "Not a list of paths.")
    if wrong := paths.refusals(found):
        raise Invalid.many([FieldProblem("file", why) for why in wrong])


def vars_of(problem: Any) -> dict[str, str]:
    """A wrong field as JSON has it."""
    return {"field": problem.field, "message": problem.message}
