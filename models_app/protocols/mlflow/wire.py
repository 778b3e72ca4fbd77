"""How a call of the MLflow REST protocol becomes a function call, and its result an answer.

Requests are snake_case protobuf JSON (POST, PATCH, DELETE) or a query string (GET); answers are JSON objects that leave
out what is unset. Messages are msgspec structs: compiled decoding with types checked on the way.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from models_app.http import limits
from models_app.http.auth import actor_from, token_in
from models_app.registry import audit
from models_app.registry import errors as core
from models_app.registry.access import Actor

from . import errors
from .errors import WireError

log = logging.getLogger(__name__)
DOOR = "mlflow"

Message = TypeVar("Message", bound=msgspec.Struct)
# Numbers arrive as JSON numbers or as their text.
IntLike = int | str

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64 = 2**63


_ABOUT_MODELS = re.compile(r"/(registered-models|model-versions|transition-requests)/")


class Nothing(msgspec.Struct):
    """A call without fields."""


class KeyValue(msgspec.Struct):
    """A tag or param."""

    key: str = ""
    value: str | None = ""


View = Callable[..., Any]


def call(
    message: type[msgspec.Struct] = Nothing, *methods: str
) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """A view for one call: `view(request, actor, message, **path_parts)` returns a dict, or an HttpResponse as it is.

    `methods` default to POST. Fields of `message` without default are required. Core errors, wrong fields and
    unexpected exceptions are answered in the protocol's own shape.
    """

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        def answer(request: HttpRequest, parts: dict[str, Any]) -> Any:
            return view(request, actor_of(request), read(request, message, parts), **parts)

        return _guarded(view, methods or ("POST",), answer)

    return decorate


def bytes_call(*methods: str) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """The same for a call whose body is a file: `view(request, actor, **path_parts)`, and nothing is read before."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        def answer(request: HttpRequest, parts: dict[str, Any]) -> Any:
            return view(request, actor_of(request), **parts)

        return _guarded(view, methods, answer)

    return decorate


def signed_call(*methods: str) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """The same for an address that carries its right in itself: `view(request, **path_parts)`, nobody is asked for."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        return _guarded(view, methods, lambda request, parts: view(request, **parts))

    return decorate


def _guarded(
    view: View, allowed: tuple[str, ...], answer: Callable[[HttpRequest, dict[str, Any]], Any]
) -> Callable[..., HttpResponseBase]:
    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, **parts: Any) -> HttpResponseBase:
        try:
            if request.method not in allowed:
                raise WireError(
                    f"{request.method} is not allowed here.", code="ENDPOINT_NOT_FOUND", status=405
                )
            result = answer(request, parts)
            return result if isinstance(result, HttpResponseBase) else ok(result)
        except WireError as error:
            return errors.answer(error.status, error.code, error.message)
        except core.RegistryError as error:
            if request.method not in ("GET", "HEAD") and (actor := getattr(request, "actor", None)):
                audit.refuse(
                    error, by=actor, what=f"{request.method} {request.path}", model=_model_in(request)
                )
            return errors.refusal(request, error)
        except Exception:
            log.exception("unexpected error in %s", request.path)
            return errors.answer(500, "INTERNAL_ERROR", "An unexpected error; the server's log has it.")

    return guarded


def _model_in(request: HttpRequest) -> str:
    """The name of the model that a call was about; elsewhere `name` is that of an experiment or a tag."""
    name = getattr(getattr(request, "message", None), "name", None)
    return name if isinstance(name, str) and _ABOUT_MODELS.search(request.path) else ""


def by_method(**views: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """One address whose methods are different calls: `by_method(GET=read, PATCH=update)`."""

    @csrf_exempt
    def chosen(request: HttpRequest, **parts: Any) -> HttpResponseBase:
        view = views.get(request.method or "")
        if view is None:
            return errors.answer(405, "ENDPOINT_NOT_FOUND", f"{request.method} is not allowed here.")
        return view(request, **parts)

    return chosen


def actor_of(request: HttpRequest) -> Actor:
    """Who calls. A browser's session is enough to read; changes need a token, which no other site can send."""
    if request.method not in ("GET", "HEAD") and token_in(request) is None:
        raise core.Unauthenticated(
            "Send a token.",
            next_step="Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD with the "
            "token as password. Make a token under Account → Tokens.",
        )
    request.actor = actor = actor_from(request, door=DOOR)  # type: ignore[attr-defined]
    return actor


_encoder = msgspec.json.Encoder()


def ok(result: Mapping[str, Any] | None) -> HttpResponse:
    """An answer: always a JSON object."""
    return HttpResponse(_encoder.encode(result or {}), content_type="application/json")


def read(request: HttpRequest, message: type[Message], parts: Mapping[str, Any]) -> Message:
    """The call's message. Raises WireError naming the first field that is missing or of a wrong type."""
    if request.method in ("GET", "HEAD"):
        raw: Any = _query(request, message)
    else:
        raw = _body(request)
    try:
        found = msgspec.convert({**raw, **parts} if parts else raw, message, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(error, raw) from error
    request.message = found  # type: ignore[attr-defined]
    for name in _required(message):
        if getattr(found, name) in ("", None):
            raise errors.missing(name)
    return found


def _query(request: HttpRequest, message: type[msgspec.Struct]) -> dict[str, Any]:
    if "%00" in request.META.get("QUERY_STRING", ""):
        raise _no_nul()
    lists = _lists(message)
    # Other language clients write a list's name with brackets.
    return {
        key.removesuffix("[]"): values if key.removesuffix("[]") in lists else values[-1]
        for key, values in request.GET.lists()
    }


def _body(request: HttpRequest) -> dict[str, Any]:
    if (
        request.headers.get("Content-Length", "0") not in ("", "0")
        and request.content_type != "application/json"
    ):
        raise WireError("Bad Request. Content-Type must be application/json.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > limits.json_bytes():
        raise core.TooLarge(f"At most {limits.json_bytes()} bytes are taken here.", limit=limits.json_bytes())
    try:
        if b"\\u0000" in request.body:
            raise _no_nul()
        raw = msgspec.json.decode(request.body) if request.body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, UnreadablePostError, RecursionError):
        # As the original does: what does not parse says nothing, and the first required field is missing.
        raw = {}
    # Null is unset, as everywhere in protobuf's JSON.
    return {name: value for name, value in raw.items() if value is not None} if isinstance(raw, dict) else {}


def _no_nul() -> WireError:
    # No database takes it everywhere.
    return WireError("Invalid value supplied: text may not contain NUL characters.")


@cache
def _lists(message: type[msgspec.Struct]) -> frozenset[str]:
    hints = get_type_hints(message)
    return frozenset(
        name
        for name, kind in hints.items()
        if list in (get_origin(kind), *(get_origin(a) for a in get_args(kind)))
    )


@cache
def _required(message: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(message) if field.required)


def _wrong(error: msgspec.ValidationError, raw: Any) -> WireError:
    text = str(error)
    if "missing required field" in text and " - at " not in text:
        return errors.missing(text.split("`")[1])
    path = text.rpartition("`$")[2].rstrip("`").lstrip(".") if "`$" in text else ""
    if "missing required field" in text:
        return errors.missing(f"{path}.{text.split('`')[1]}")
    name = path.partition("[")[0].partition(".")[0]
    value = raw.get(name) if isinstance(raw, dict) else None
    shown = str(value)[:100]
    return WireError(
        f"Invalid value {shown} for parameter '{path or name}' supplied. {text.partition(' - at')[0]}."
    )


# --- values ---------------------------------------------------------------------------------------------------


def whole(value: IntLike | None, name: str, *, default: int = 0) -> int:
    """A 64-bit whole number from a number or its text."""
    if value is None or value == "":
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise WireError(
            f"Invalid value {str(value)[:50]} for parameter '{name}' supplied: no whole number."
        ) from None
    if not -INT64 <= number < INT64:
        raise WireError(f"Invalid value {str(value)[:50]} for parameter '{name}' supplied: not in 64 bits.")
    return number


def real(value: float | str | None, name: str) -> float:
    """A double, which JSON may have to write as "NaN", "Infinity" or "-Infinity"."""
    try:
        if isinstance(value, str) and value.strip().lower() not in ("nan", "infinity", "-infinity"):
            float(value)
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise WireError(
            f"Invalid value {str(value)[:50]} for parameter '{name}' supplied: no number."
        ) from None


def number(value: float, *, is_nan: bool = False) -> float | str:
    """A double as protobuf's JSON writes it."""
    if is_nan or math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def ms(moment: datetime | None) -> int | None:
    """Milliseconds since 1970 of a moment."""
    return None if moment is None else (moment - EPOCH) // timedelta(milliseconds=1)


def moment(value: IntLike | None, name: str) -> datetime | None:
    """The moment of milliseconds since 1970; None for none. Raises WireError outside of the years 1 to 9999."""
    if value is None or value == "":
        return None
    try:
        return EPOCH + timedelta(milliseconds=whole(value, name))
    except OverflowError:
        raise WireError(f"Invalid value {value} for parameter '{name}' supplied: no such time.") from None


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are set: no None, no empty list."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def tags(rows: Any) -> list[dict[str, str]]:
    """Rows with key and value as the protocol lists them."""
    return [{"key": row.key, "value": row.value} for row in rows]


def pairs(items: list[KeyValue], name: str, *, once: bool = False) -> dict[str, str]:
    """Key and value messages as a dict. Of two with one key the later counts, unless each may have but one value.

    Raises WireError for one without key, and for the other value.
    """
    result: dict[str, str] = {}
    for item in items:
        if not item.key:
            raise errors.missing(f"{name}.key")
        if once and result.get(item.key, item.value) != item.value:
            raise WireError(f"Duplicate parameter keys have been submitted: '{item.key[:100]}' in {name}.")
        result[item.key] = item.value
    return result
