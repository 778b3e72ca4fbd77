"""How pages meet the core: who asks, and what a refusal looks like. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render, resolve_url
from django.views.decorators.cache import never_cache

from models_app.http.auth import actor_from
from models_app.models import RegisteredModel
from models_app.registry import audit, errors
from models_app.registry.access import Actor, require_login
from models_app.registry.search.query import find, parse

# The first class that fits decides.
STATUS: tuple[tuple[type[errors.RegistryError], int], ...] = (
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PolicyUnmet, 409),
    (errors.TooLarge, 413),
    (errors.Damaged, 500),
    (errors.OutOfSpace, 507),
    (errors.Unavailable, 503),
    (errors.Invalid, 400),
)

View = Callable[..., HttpResponse]


class PageRequest(HttpRequest):
    """A request inside `page`: `actor` says who asks."""

    actor: Actor


@dataclass(frozen=True, slots=True)
class Refused:
    """What stood in the way of one of a page's small forms, and what was typed into it."""

    form: str
    error: errors.RegistryError
    typed: Mapping[str, Any]

    @property
    def wrong(self) -> set[str]:
        """Names of the fields at fault."""
        return (
            {problem.field for problem in self.error.problems}
            if isinstance(self.error, errors.Invalid)
            else set()
        )


def page(*methods: str, login: bool = False) -> Callable[[View], View]:
    """A view that meets the core: `request.actor` is set, core errors become pages, answers are not cached by browsers.

    `methods` default to GET and HEAD; `login` sends strangers to the login page whatever the site allows to read.
    """
    taken = methods or ("GET", "HEAD")

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in taken:
                return not_taken(request, taken)
            try:
                request.actor = actor_from(request, door="web")
                _refuse_nul(request, kwargs)
                if login:
                    require_login(request.actor)
                return view(request, *args, **kwargs)
            except errors.Unauthenticated:
                return to_login(request)
            except errors.RegistryError as error:
                name = str(kwargs.get("name", ""))
                tell_refusal(request, error, name=name)
                return refusal(request, error, name=name)

        return never_cache(guarded)

    return decorate


def _refuse_nul(request: HttpRequest, address: dict[str, Any]) -> None:
    # PostgreSQL has no such character. In forms the fields look for it.
    if any("\0" in str(value) for value in address.values()):
        raise errors.NotFound("There is nothing at this address.")
    if wrong := [name for name, values in request.GET.lists() if "\0" in name + "".join(values)]:
        raise errors.Invalid(wrong[0][:100], "May not contain NUL.")


def not_taken(request: HttpRequest, methods: tuple[str, ...]) -> HttpResponse:
    """The page for who opens an address that only takes forms, say by reloading it."""
    error = errors.RegistryError(
        "This address takes what a form sends; there is nothing to look at.",
        next_step="Go back to the page with the form.",
    )
    response = render(request, "errors/405.html", {"error": error}, status=405)
    response["Allow"] = ", ".join(methods)
    return response


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: also a form sent without any field was sent."""
    return request.POST if request.method == "POST" else None


def to_login(request: HttpRequest) -> HttpResponse:
    """The login page, and back here afterwards (after a POST: to where it came from)."""
    return away(request, settings.LOGIN_URL)


def away(request: HttpRequest, name: str) -> HttpResponse:
    """To the page of this name, which leads back here afterwards."""
    target = (
        request.get_full_path()
        if request.method in ("GET", "HEAD")
        else request.META.get("HTTP_REFERER", "/")
    )
    address = f"{resolve_url(name)}?next={quote(target)}"
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def whole_number(text: str) -> int:
    """What was typed or stands in an address; 0 for anything that is no number of a row."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def status_of(error: errors.RegistryError) -> int:
    """The status of a refusal."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 400)


def tell_refusal(request: PageRequest, error: errors.RegistryError, *, name: str = "") -> None:
    """Into the audit, when a change was refused to somebody; `name` is that of the model it was about."""
    if request.method not in ("GET", "HEAD"):
        audit.refuse(error, by=request.actor, what=f"{request.method} {request.path}", model=name)


def refusal(request: PageRequest, error: errors.RegistryError, *, name: str = "") -> HttpResponse:
    """The page of a refusal."""
    status = status_of(error)
    context: dict[str, Any] = {"error": error, "back": request.META.get("HTTP_REFERER", "")}
    if status == 404 and name:
        context["similar"] = _similar(name, request.actor)
    template = "errors/503.html" if status >= 500 else f"errors/{status}.html"
    return render(request, template, context, status=status)


def _similar(name: str, actor: Actor) -> list[RegisteredModel]:
    try:
        return [row.model for row in find(parse({"q": name.replace("/", " ")}), by=actor, limit=5).rows]
    except errors.RegistryError:
        return []


def show_problems(form: Form, error: errors.RegistryError) -> None:
    """Put a verb's refusal beside the fields it speaks of; what has no field here stands on top."""
    if isinstance(error, errors.Invalid):
        for problem in error.problems:
            known = problem.field if problem.field in form.fields else None
            message = problem.message if known or not problem.field else f"{problem.field}: {problem.message}"
            form.add_error(known, message)
    else:
        is_name = isinstance(error, errors.AlreadyExists | errors.Forbidden) and "name" in form.fields
        form.add_error("name" if is_name else None, f"{error.why} {error.next_step}".strip())
