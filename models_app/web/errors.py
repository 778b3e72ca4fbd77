"""Errors outside any view: unknown addresses, refused requests, what nobody expected. APIs get problem details."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from models_app.http.errors import problem_response, wants_problem
from models_app.registry.errors import RegistryError


def _answer(
    request: HttpRequest, status: int, why: str, *, template: str = "", next_step: str = ""
) -> HttpResponse:
    if wants_problem(request):
        return problem_response(request, status, detail=why, next_step=next_step)
    context = {"error": RegistryError(why, next_step=next_step)}
    return render(request, template or f"errors/{status}.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The request could not be read.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "Your role does not allow this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(
        request, 404, "There is nothing at this address.", next_step="Search for what you are looking for."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Nothing here may touch the database: it may be what failed."""
    reference = getattr(request, "request_id", "")
    if wants_problem(request):
        return problem_response(
            request, 500, detail="Something went wrong here. It is logged under the request id."
        )
    return render(None, "500.html", {"request_id": reference}, status=500)  # type: ignore[arg-type]
