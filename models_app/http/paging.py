"""Pages by keyset: the next page starts after a row's values, so page 10 000 costs what page 1 costs.

A cursor is a signed, opaque text. It holds the order it was made for and the last row's values, nothing about filters:
the caller repeats those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.core.signing import BadSignature, Signer
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import OrderBy

from models_app.registry.errors import Invalid

Direction = Literal["asc", "desc"]
Order = Sequence[tuple[str, Direction]]
Row = TypeVar("Row")

MAX_CURSOR = 16_000
_signer = Signer(salt="modelry.paging")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows in order, and the cursor of the next page; None when this is the last."""

    items: list[Row]
    next_cursor: str | None


def encode(order: Order, values: Sequence[Any]) -> str:
    """A cursor that points behind the row with these values."""
    return _signer.sign_object([_name(order), [_plain(value) for value in values]])


def decode(cursor: str, order: Order) -> list[Any]:
    """The values in a cursor. Raises Invalid("cursor") for one that is not ours or belongs to another order."""
    try:
        if len(cursor) > MAX_CURSOR:
            raise BadSignature
        name, values = _signer.unsign_object(cursor)
    except (BadSignature, ValueError) as error:
        raise Invalid(
            "cursor", "This is no cursor of ours.", next_step="Start at the first page again."
        ) from error
    if name != _name(order):
        raise Invalid(
            "cursor", "The cursor belongs to another order.", next_step="Start at the first page again."
        )
    return [_rich(value) for value in values]


def keyset_page(queryset: QuerySet[Any, Row], *, order: Order, cursor: str | None, limit: int) -> Page[Row]:
    """One page of a queryset in `order`, whose last column must tell rows apart (as a rule the id).

    Columns may be annotations and, through `__`, single related rows; empty values come last either way.
    Raises Invalid("cursor").
    """
    nullable = {name: _may_be_empty(queryset, name) for name, _ in order}
    if cursor:
        queryset = queryset.filter(_after(order, decode(cursor, order), nullable))
    rows = list(
        queryset.order_by(*(_by(name, direction, nullable[name]) for name, direction in order))[: limit + 1]
    )
    items = rows[:limit]
    more = len(rows) > limit
    last = encode(order, [_value(items[-1], name) for name, _ in order]) if more else None
    return Page(items, last)


def _by(name: str, direction: Direction, nullable: bool) -> OrderBy:
    # Only where it matters: an index in plain order cannot serve NULLS LAST.
    last = True if nullable else None
    return F(name).desc(nulls_last=last) if direction == "desc" else F(name).asc(nulls_last=last)


def _after(order: Order, values: Sequence[Any], nullable: Mapping[str, bool]) -> Q:
    """Rows behind these values: greater in the first column, or equal there and greater in the next, and so on."""
    condition = Q(pk__in=[])
    for (name, direction), value in reversed(list(zip(order, values, strict=True))):
        if value is None:
            condition = Q(**{f"{name}__isnull": True}) & condition
            continue
        op = "lt" if direction == "desc" else "gt"
        behind = Q(**{f"{name}__{op}": value}) | (Q(**{name: value}) & condition)
        if nullable[name]:
            condition = behind | Q(**{f"{name}__isnull": True})
        else:
            # The redundant bound is what databases start an index scan from.
            condition = Q(**{f"{name}__{op}e": value}) & behind
    return condition


def _may_be_empty(queryset: QuerySet[Any, Any], name: str) -> bool:
    if name in queryset.query.annotations:
        return True
    model: Any = queryset.model
    for part in name.split("__"):
        if part == "pk":
            return False
        try:
            column = model._meta.get_field(part)
        except FieldDoesNotExist:
            return True
        if getattr(column, "null", True):
            return True
        model = column.related_model
    return False


def _value(row: Any, name: str) -> Any:
    if isinstance(row, Mapping):
        return row[name]
    for part in name.split("__"):
        row = getattr(row, part, None)
    return row.pk if isinstance(row, Model) else row


def _name(order: Order) -> str:
    return ",".join(f"{'-' if direction == 'desc' else ''}{name}" for name, direction in order)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    return value if isinstance(value, int | float | str | None) else str(value)


def _rich(value: Any) -> Any:
    return datetime.fromisoformat(value["at"]) if isinstance(value, dict) else value
