"""How the OpenAPI document is written: what every operation says about itself, and the pages that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http.errors import CONTENT_TYPE
from models_app.models import Stage
from models_app.registry import standard_events

JSON = "application/json"


class FieldErrorSerializer(serializers.Serializer):
    """One wrong field."""

    field = serializers.CharField(help_text="Its name as it was sent; “body” for the whole.")
    message = serializers.CharField()


class MissingSerializer(serializers.Serializer):
    """One thing that a stage demands and a version lacks."""

    key = serializers.CharField()
    label = serializers.CharField()
    field = serializers.CharField(help_text="Which field of the version to fill in.")
    detail = serializers.CharField()
    url = serializers.CharField(help_text="PATCH it here.")


class ObstacleSerializer(serializers.Serializer):
    """One thing that stands in the way of deleting."""

    key = serializers.CharField(
        help_text="Such as stage, alias, rollback_target, deployment, legal_hold, base."
    )
    why = serializers.CharField()
    next_step = serializers.CharField(help_text="What to do about it.")


class ProblemSerializer(serializers.Serializer):
    """A problem (RFC 9457)."""

    type = serializers.CharField(help_text="urn:modelry:problem: and the kind.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong, in one sentence.")
    instance = serializers.CharField(help_text="The path that was asked for.")
    errors = FieldErrorSerializer(many=True, required=False, help_text="Every wrong field.")
    missing = MissingSerializer(many=True, required=False, help_text="What the stage demands.")
    obstacles = ObstacleSerializer(many=True, required=False, help_text="What keeps it from being deleted.")
    limit = serializers.IntegerField(required=False, help_text="The limit that was exceeded.")
    next_step = serializers.CharField(required=False, help_text="What to do about it.")
    request_id = serializers.CharField(required=False, help_text="Quote it when you ask for help.")


ERRORS = {
    304: "Nothing changed since the version that If-None-Match or If-Modified-Since names.",
    400: "A parameter, a header or the body is wrong; “errors” lists every wrong field.",
    401: "No token or login, or one that is unknown, expired or revoked.",
    403: "The role or the token does not allow it; “next_step” says who can help.",
    404: "It does not exist, or you may not see it.",
    405: "This address does not take this method.",
    406: "The answer is JSON, and “Accept” excludes it.",
    409: "It collides with what is there now; “missing” lists what a stage demands.",
    413: "A limit of size or number is exceeded.",
    412: "If-Match or If-Unmodified-Since does not hold.",
    415: "This content type is not taken here.",
    416: "The range lies outside the file.",
    422: "What arrived is not what was announced, or the Idempotency-Key belongs to another request.",
}
READ = (400, 401, 403, 404, 406)
WRITE = (*READ, 409, 413, 415, 422)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="Repeat a request with the same key and get the same answer for 24 hours, done once.",
)
# Path parameters whose converters the generator cannot read.
PATHS = {
    "name": OpenApiParameter(
        "name",
        {"type": "string", "pattern": r"^[^/@:\\]+(/[^/@:\\]+)?$", "maxLength": 256},
        OpenApiParameter.PATH,
        description="Name of a model: team/name, or a plain name.",
    ),
    "revision": OpenApiParameter(
        "revision",
        {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$", "maxLength": 255},
        OpenApiParameter.PATH,
        description="A version: its number, an alias, a stage (the newest in it), or “latest”.",
    ),
    "kind": OpenApiParameter(
        "kind", str, OpenApiParameter.PATH, enum=["zip", "tar"], description="Kind of archive."
    ),
    "alias": OpenApiParameter(
        "alias",
        {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", "maxLength": 255},
        OpenApiParameter.PATH,
        description="Name of an alias.",
    ),
    "stage": OpenApiParameter("stage", str, OpenApiParameter.PATH, enum=Stage.values, description="A stage."),
    "uid": OpenApiParameter(
        "uid", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, OpenApiParameter.PATH, description="A run."
    ),
    "upload": OpenApiParameter(
        "uid",
        {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        OpenApiParameter.PATH,
        description="An upload of your own.",
    ),
    "part_token": OpenApiParameter(
        "token", {"type": "string", "minLength": 1}, OpenApiParameter.PATH, description="As it was given out."
    ),
    "hook": OpenApiParameter(
        "uid", {"type": "string", "pattern": "^[0-9a-f-]{36}$"}, OpenApiParameter.PATH, description="Its id."
    ),
    "delivery": OpenApiParameter(
        "delivery",
        {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
        OpenApiParameter.PATH,
        description="A message's id.",
    ),
    "id": OpenApiParameter(
        "id",
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        OpenApiParameter.PATH,
        description="Its number.",
    ),
    "slug": OpenApiParameter(
        "slug", {"type": "string", "pattern": "^[a-z0-9-]+$"}, OpenApiParameter.PATH, description="A team."
    ),
    "path": OpenApiParameter(
        "path",
        {"type": "string", "minLength": 1},
        OpenApiParameter.PATH,
        description="Path of a file within the version.",
    ),
}


def operation(
    summary: str,
    *,
    answers: Any = None,
    status: int = 200,
    takes: Any = None,
    path: str = "",
    errors: Iterable[int] | None = None,
    parameters: Iterable[OpenApiParameter] = (),
    description: str = "",
    tag: str,
    name: str,
    is_repeatable: bool = False,
    media: Iterable[str] = (JSON,),
    also: int | None = None,
    nothing: str = "",
) -> Callable[[Any], Any]:
    """Say what an operation does.

    `path` names its path parameters, `is_repeatable` says that it takes Idempotency-Key, `also` is another status with
    the same kind of answer, `nothing` what it means when there is none (204).
    """
    refused = errors if errors is not None else (READ if takes is None else WRITE)
    responses: dict[Any, Any] = {(code, one): answers for code in (status, also) if code for one in media}
    if answers is None:
        responses = {status: OpenApiResponse(description="Done.")}
    if nothing:
        responses[204] = OpenApiResponse(description=nothing)
    for code in refused:
        shape = None if code == 304 else ProblemSerializer
        key: Any = code if code == 304 else (code, CONTENT_TYPE)
        responses[key] = OpenApiResponse(shape, description=ERRORS[code])
    return extend_schema(
        operation_id=name,
        summary=summary,
        description=description or f"{summary}.",
        tags=[tag],
        request=takes,
        responses=responses,
        parameters=[
            *(PATHS[one] for one in path.split() if one in PATHS),
            *parameters,
            *([IDEMPOTENCY_KEY] if is_repeatable else []),
        ],
    )


def query(name: str, kind: Any, description: str, **options: Any) -> OpenApiParameter:
    """A query parameter."""
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **options)


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "models_app.api.auth.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token from Account → Tokens."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "models_app.api.auth.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "modelry_session",
            "description": "The login of the pages; changes need X-CSRFToken too.",
        }


WEBHOOK_HEADERS = {
    "webhook-id": "The same each time a message is sent again.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "v1,<base64 of HMAC-SHA256>; two, with a space between, while a secret is replaced.",
}


def tell_of_webhooks(result: dict[str, Any], generator: Any, **_: Any) -> dict[str, Any]:
    """Put what is sent beside what is answered: every event under `webhooks`, its schema among the components."""
    schemas = result["components"]["schemas"]
    parameters = [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in WEBHOOK_HEADERS.items()
    ]
    result["webhooks"] = {}
    for event in standard_events.EVENTS.values():
        schemas[event.schema_name] = event.schema()
        shape = {"$ref": f"#/components/schemas/{event.schema_name}"}
        result["webhooks"][event.name] = {
            "post": {
                "operationId": f"webhook_{event.name.replace('.', '_')}",
                "summary": event.name,
                "description": f"Sent when {event.when}. Signed as Standard Webhooks say.",
                "tags": ["Webhooks"],
                "parameters": parameters,
                "requestBody": {"required": True, "content": {JSON: {"schema": shape}}},
                "responses": {"2XX": {"description": "Taken. Anything else is tried again, or is an error."}},
            }
        }
    return result


@cache
def document() -> Any:
    """The OpenAPI document: the same for everyone and as long as the process lives."""
    return SchemaGenerator().get_schema(request=None, public=True)


class SchemaView(SpectacularAPIView):
    """The OpenAPI document."""

    authentication_classes: list[Any] = []

    def _get_schema_response(self, request: Any) -> Response:
        return Response(document())


class DocsView(SpectacularSwaggerSplitView):
    """The document as pages to try things out on."""

    authentication_classes: list[Any] = []
    url_name = "api:schema"
