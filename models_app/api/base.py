"""What every view of the API stands on: bodies read, answers remembered, lists paged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django_filters import rest_framework as filters
from rest_framework import mixins, serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import BasePagination
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.http import bodies, limits, paging
from models_app.http.errors import CONTENT_TYPE, problem_response
from models_app.models import Team
from models_app.registry import idempotency, people
from models_app.registry.access import Actor
from models_app.registry.errors import FieldProblem, Invalid, NotFound

from .parsing import LimitedJSONParser

# What the plain answers of models_app.http leave for a door to say.
BARE = {412: "If-Match or If-Unmodified-Since does not hold.", 416: "The range lies outside the file."}
PAGE_PARAMETERS = ("cursor", "limit", "ordering")


def refuse_repeating(request: Any, next_step: str, *, kept: str = "never kept") -> None:
    """Raises Invalid when an answer with a secret is to be kept; `kept` says what becomes of the secret."""
    if "Idempotency-Key" in request.headers:
        raise Invalid(
            "Idempotency-Key",
            f"A secret is shown once and {kept}, so this request cannot be repeated.",
            next_step=next_step,
        )


class Door(APIView):
    """A view that translates: read the request, call one verb, render its answer."""

    # The schema says what there is; OPTIONS would only tell it again, less well.
    metadata_class = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        if any(isinstance(value, str) and "\0" in value for value in kwargs.values()):
            raise NotFound("There is nothing here.")
        wrong = [name for name, values in request.query_params.lists() if "\0" in name + "".join(values)]
        if wrong:
            raise Invalid.many([FieldProblem(name[:100], "May not contain NUL.") for name in wrong])
        super().initial(request, *args, **kwargs)

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return self.request.actor

    def team(self, slug: str) -> Team | None:
        """The team of that name; none where none is named. Raises NotFound."""
        return people.get_team(slug, by=self.actor) if slug else None

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
        if response.status_code in BARE and not getattr(response, "data", None):
            problem = problem_response(request, response.status_code, detail=BARE[response.status_code])
            response.content, response["Content-Type"] = problem.content, CONTENT_TYPE
        if not response.has_header("Cache-Control"):
            patch_cache_control(response, private=True, no_cache=True)
        patch_vary_headers(response, ["Authorization", "Cookie"])
        return response


def plain(data: Any) -> Any:
    """Rendered data as the JSON that a database keeps."""
    return json.loads(JSONRenderer().render(data))


def address(request: Any, view: str, /, **kwargs: Any) -> str:
    """The full address of a view of this API."""
    return site(request) + reverse(f"api:{view}", kwargs=kwargs)


def site(request: Any) -> str:
    """Where the site is: as it is set, else as the caller found it."""
    return settings.PUBLIC_URL.rstrip("/") or request.build_absolute_uri("/").rstrip("/")


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
                "items": schema,
                "next": {
                    "type": ["string", "null"],
                    "format": "uri",
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
    """A list: `rows` of `model`, narrowed by `filterset_class`, in one of `orderings`, page by page."""

    filter_backends = [StrictFilters]
    pagination_class = KeysetPagination
    model: type[Model]
    orderings: dict[str, paging.Order]

    def get_queryset(self) -> QuerySet[Any]:
        # The schema generator asks without a request.
        fake = getattr(self, "swagger_fake_view", False)
        return self.model._default_manager.none() if fake else self.rows()

    def rows(self) -> QuerySet[Any]:
        """What the actor may read."""
        raise NotImplementedError
