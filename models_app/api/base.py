"""What every view of the API stands on: who asks, what the body holds, how lists are paged and answers remembered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django_filters import rest_framework as filters
from rest_framework import mixins, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import BasePagination
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.http import bodies, limits, paging
from models_app.http.auth import actor_from
from models_app.http.errors import CHALLENGE
from models_app.registry import idempotency
from models_app.registry.access import Actor, require_reading
from models_app.registry.errors import FieldProblem, Forbidden, Invalid, NotFound

DOOR = "api"
MAX_DEPTH = 32
PAGE_PARAMETERS = ("cursor", "limit", "ordering")


# --- Who asks -----------------------------------------------------------------------------------------------


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer TOKEN`, or Basic with the token as password."""

    def authenticate(self, request: Any) -> tuple[Any, Actor] | None:
        if not request.META.get("HTTP_AUTHORIZATION"):
            return None
        request._request.actor = actor = actor_from(request._request, door=DOOR)
        return actor.user, actor

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


class SessionAuthentication(BaseAuthentication):
    """The login of the pages. Whatever changes something needs their CSRF token in `X-CSRFToken`."""

    def authenticate(self, request: Any) -> tuple[Any, Actor] | None:
        request._request.actor = actor = actor_from(request._request, door=DOOR)
        if actor.user is None:
            return None
        _refuse_forged(request._request)
        return actor.user, actor


def _refuse_forged(request: HttpRequest) -> None:
    # The check looks into POST first: an empty one keeps it from reading a stream of artifacts.
    request.POST = QueryDict()  # type: ignore[assignment, misc]
    guard = CsrfViewMiddleware(lambda _: None)  # type: ignore[arg-type, return-value]
    guard.process_request(request)
    if guard.process_view(request, lambda _: None, (), {}) is not None:
        raise Forbidden(
            "The request came with a login but without its protection token.",
            next_step="Send the CSRF cookie's value in X-CSRFToken, or use an API token.",
        )


class ActorRequired(BasePermission):
    """Nobody reads anything unless known, or unless everyone may read. What may be changed, the verbs decide."""

    def has_permission(self, request: Any, view: Any) -> bool:
        require_reading(request.actor)
        return True


# --- What is sent -------------------------------------------------------------------------------------------


def read_json(data: bytes, *, field: str = "body") -> Any:
    """Strict JSON: UTF-8, no doubled keys, no NaN or Infinity, no NUL or broken characters, at most MAX_DEPTH deep.

    Raises Invalid(field).
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Invalid(field, "This is not UTF-8 text.") from error
    except RecursionError as error:
        raise Invalid(field, f"Nested more than {MAX_DEPTH} deep.") from error
    except ValueError as error:
        raise Invalid(field, f"This is not JSON as it is taken here: {error}") from error
    _check(value, field)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice.")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON.")


def _check(root: Any, field: str) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if "\0" in value or not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                    raise Invalid(field, "Text may not contain NUL or half surrogates.")
            elif isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise Invalid(field, "A number is too large.")
        level = below
    if level:
        raise Invalid(field, f"Nested more than {MAX_DEPTH} deep.")


class LimitedJSONParser(BaseParser):
    """JSON of bounded size and depth."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = getattr(stream, "_request", stream)
        return read_json(b"".join(bodies.chunks(request, limit=limits.json_bytes())))


class Strict(serializers.Serializer):
    """What a body may hold: unknown fields are refused, so that a misspelled one is not lost silently."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text as it was sent: numbers are no text, and the verbs say what is too long or empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_blank": True, "trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Switch(serializers.BooleanField):
    """true or false, and nothing that looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


# --- Views --------------------------------------------------------------------------------------------------


class Door(APIView):
    """A view that translates: read the request, call one verb, render its answer."""

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            if isinstance(value, str) and "\0" in value:
                raise NotFound("There is nothing here.")
        wrong = [name for name, values in request.query_params.lists() if "\0" in name + "".join(values)]
        if wrong:
            raise Invalid.many([FieldProblem(name[:100], "May not contain NUL.") for name in wrong])
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return self.request.actor

    def json(self) -> dict[str, Any]:
        """The body as an object; no body is an empty one. Raises Invalid, TooLarge."""
        request = self.request._request
        if not bodies.declared_length(request) and not request.META.get("HTTP_TRANSFER_ENCODING"):
            return {}
        if request.content_type != LimitedJSONParser.media_type:
            raise UnsupportedMediaType(
                request.content_type, f"Send {LimitedJSONParser.media_type}, not “{request.content_type}”."
            )
        data = LimitedJSONParser().parse(request)
        if not isinstance(data, dict):
            raise Invalid("body", "Must be a JSON object.")
        return data

    def sent(self, shape: type[serializers.Serializer], data: Any = None) -> dict[str, Any]:
        """The body, checked against a serializer. Raises ValidationError listing every wrong field."""
        reader = shape(data=self.json() if data is None else data)
        reader.is_valid(raise_exception=True)
        return reader.validated_data

    def show(self, shape: type[serializers.Serializer], row: Any, *, many: bool = False) -> Any:
        """A row as JSON-ready data."""
        return shape(row, many=many, context={"request": self.request}).data

    def once(self, status: int, work: Callable[[], Any], *sent: Any) -> Response:
        """Do the work and answer with what it returns. With an Idempotency-Key a repetition gets the same answer."""
        mark = idempotency.fingerprint(
            self.request.method, self.request.get_full_path(), json.dumps(sent, sort_keys=True, default=str)
        )
        answer = idempotency.remember(
            self.request.headers.get("Idempotency-Key"),
            by=self.actor,
            fingerprint=mark,
            work=lambda: idempotency.Answer(status, plain(work())),
        )
        response = Response(answer.body, status=answer.status)
        if status == 201 and isinstance(answer.body, dict) and answer.body.get("url"):
            response["Location"] = answer.body["url"]
        if answer.replayed:
            response["Idempotency-Replayed"] = "true"
        return response

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if not response.has_header("Cache-Control"):
            patch_cache_control(response, private=True, no_cache=True)
        patch_vary_headers(response, ["Authorization", "Cookie"])
        return response


def plain(data: Any) -> Any:
    """Rendered data as the JSON that a database keeps."""
    return json.loads(JSONRenderer().render(data))


def address(request: Any, name: str, **kwargs: Any) -> str:
    """The full address of a view of this API."""
    path = reverse(f"api:{name}", kwargs=kwargs)
    if settings.PUBLIC_URL:
        return settings.PUBLIC_URL.rstrip("/") + path
    return request.build_absolute_uri(path)


# --- Lists --------------------------------------------------------------------------------------------------


class KeysetPagination(BasePagination):
    """`{"items": […], "next": address or null}`, in one of the view's `orderings`, of which the first is usual."""

    next: str | None = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        page = paging.keyset_page(
            queryset, order=chosen_order(request, view), cursor=cursor_in(request), limit=limit_in(request)
        )
        self.next = next_address(request, page.next_cursor)
        return page.items

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"items": data, "next": self.next})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": {"type": "array", "items": schema},
                "next": {
                    "type": "string",
                    "format": "uri",
                    "nullable": True,
                    "description": "The next page, null on the last.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = list(view.orderings)
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page starts: taken from “next”, never made by hand.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "description": f"Rows of a page, {limits.PAGE} unless told; more than {limits.MAX_PAGE} are not given.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 999_999},
            },
            {
                "name": "ordering",
                "in": "query",
                "description": f"{names[0]} unless told.",
                "schema": {"type": "string", "enum": names},
            },
        ]


def chosen_order(request: Any, view: Any) -> paging.Order:
    """The order asked for. Raises Invalid("ordering")."""
    name = request.query_params.get("ordering") or next(iter(view.orderings))
    if name not in view.orderings:
        raise Invalid("ordering", f"One of {', '.join(view.orderings)}.")
    return view.orderings[name]


def cursor_in(request: Any) -> str | None:
    return request.query_params.get("cursor") or None


def limit_in(request: Any) -> int:
    """Raises Invalid("limit")."""
    try:
        return limits.page_size(request.query_params.get("limit"))
    except ValueError as error:
        raise Invalid("limit", str(error)) from error


def next_address(request: Any, cursor: str | None) -> str | None:
    """This request's address with another cursor."""
    if cursor is None:
        return None
    params = request.query_params.copy()
    params["cursor"] = cursor
    base = settings.PUBLIC_URL.rstrip("/")
    path = f"{request.path}?{params.urlencode()}"
    return base + path if base else request.build_absolute_uri(path)


class StrictFilters(filters.DjangoFilterBackend):
    """Filters of a FilterSet, where an unknown one is an error: a misspelled filter must not list everything."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        known = {*view.filterset_class.base_filters, *PAGE_PARAMETERS}
        refuse_unknown(request, known)
        return super().filter_queryset(request, queryset, view)


def refuse_unknown(request: Any, known: set[str]) -> None:
    """Raises Invalid naming every query parameter that is not known."""
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        say = f"There is no such filter. There are {', '.join(sorted(known))}."
        raise Invalid.many([FieldProblem(name[:100], say) for name in unknown])


class Listing(mixins.ListModelMixin, Door, GenericAPIView):
    """A list: rows from `get_queryset`, narrowed by `filterset_class`, in one of `orderings`, page by page."""

    filter_backends = [StrictFilters]
    pagination_class = KeysetPagination
    orderings: dict[str, paging.Order]
