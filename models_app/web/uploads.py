"""Upload a version in the browser: one form with files and metadata, streamed into storage."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt

from models_app.http.bodies import Form, check_csrf, receive_form
from models_app.http.errors import problem_response
from models_app.models import ModelVersion, RegisteredModel
from models_app.registry import catalog
from models_app.registry.access import Right, get_model
from models_app.registry.errors import Conflict, Invalid, RegistryError, TooLarge

from .context import site_address
from .door import PageRequest, page, show_problems
from .version_forms import UploadForm, metadata_from, prefilled


@csrf_exempt  # The token is in the streamed form: check_csrf looks at it before the first file.
@page("GET", "HEAD", "POST", login=True)
def upload(request: PageRequest, name: str) -> HttpResponse:
    """The form, prefilled from the newest version; with script it shows progress and answers in JSON."""
    model = get_model(name, by=request.actor, right=Right.REGISTER)
    if request.method == "POST":
        return _receive(request, model)
    return _show(request, model, UploadForm(initial=prefilled(model.newest)))


def _show(
    request: PageRequest, model: RegisteredModel, form: UploadForm, *, error: RegistryError | None = None
) -> HttpResponse:
    context = {"model": model, "form": form, "error": error, "section": "models"}
    url = f"{site_address(request)}/api/v1/models/{model.name}/versions"
    context["command"] = (
        f'curl -H "Authorization: Bearer $MODELRY_TOKEN" \\\n'
        f'  -F \'metadata={{"metrics": {{"f1": 0.91}}}}\' \\\n'
        f"  -F 'file=@model.safetensors' \\\n  \"{url}\""
    )
    return render(request, "versions/upload.html", context, status=422 if error or form.errors else 200)


def _receive(request: PageRequest, model: RegisteredModel) -> HttpResponse:
    with_script = "application/json" in request.headers.get("Accept", "")
    form = UploadForm()
    try:
        received = receive_form(request, before_files=lambda sent: check_csrf(request, sent))
        form = UploadForm(received.as_post())
        version = _register(request, model, form, received)
    except (Invalid, Conflict, TooLarge) as error:
        if with_script:
            status = 413 if isinstance(error, TooLarge) else 409 if isinstance(error, Conflict) else 422
            wrong = [vars_of(item) for item in error.problems] if isinstance(error, Invalid) else None
            return problem_response(
                request, status, detail=error.why, errors=wrong, next_step=error.next_step
            )
        if form.is_bound and not isinstance(error, TooLarge):
            show_problems(form, error)
            return _show(request, model, form)
        return _show(request, model, UploadForm(initial=prefilled(model.newest)), error=error)
    address = reverse("web:version", args=[model.name, version.number])
    messages.success(request, f"v{version.number} is registered and sealed.")
    if with_script:
        return JsonResponse({"version": version.number, "page_url": address}, status=201)
    return redirect(address)


def vars_of(problem: Any) -> dict[str, str]:
    """A wrong field as JSON has it."""
    return {"field": problem.field, "message": problem.message}


def _register(request: PageRequest, model: RegisteredModel, form: UploadForm, received: Form) -> ModelVersion:
    # A browser without script sends one empty part when no file was chosen.
    files = [file for file in received.files if file.path]
    form.full_clean()
    return catalog.register_version(model, files=files, metadata=metadata_from(form), by=request.actor)
