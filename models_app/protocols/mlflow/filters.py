"""The protocol's filter and order language: `metrics.f1 > 0.9 AND tags.`my key` LIKE '%x%'`.

Conditions are joined by AND only. A `Grammar` says which kinds and keys one search knows; what a condition means in the
tables stands with that search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q

from .errors import WireError
from .wire import EPOCH

MAX_FILTER = 20_000
MAX_CONDITIONS = 100
MAX_ORDERS = 10

EQUAL = frozenset({"=", "!="})
LIKE = EQUAL | {"LIKE", "ILIKE"}
STRING = LIKE | {"IN", "NOT IN"}
NUMBER = EQUAL | {">", ">=", "<", "<="}
NULL = frozenset({"IS NULL", "IS NOT NULL"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. `value` is text, a float, a whole number or, for IN, a list of texts; None for IS NULL."""

    kind: str
    key: str
    op: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one search may ask. `attributes` are key → "string", "number" or "whole"; `keyed` are kinds with free keys.

    `kinds` are the spellings of each kind; a key without a kind is an attribute. `synonyms` of attribute keys are
    replaced. `ops` narrows or widens what an attribute or a kind takes.
    """

    attributes: Mapping[str, str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    synonyms: Mapping[str, str] = field(default_factory=dict)
    ops: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def operators(self, kind: str, key: str) -> frozenset[str]:
        if kind == "attribute":
            return self.ops.get(key) or (STRING if self.attributes[key] == "string" else NUMBER)
        return self.ops.get(kind) or (NUMBER if kind == "metric" else LIKE)


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<tick>`[^`]*`)
      | (?P<op><=|>=|!=|<>|=|<|>)
      | (?P<number>[+-]?(?:\d+\.?\d*|(?<![\w`"'])\.\d+)(?:[eE][+-]?\d+)?(?![\w.-]))
      | (?P<punct>[(),.;])
      | (?P<word>[^\s'"`<>=!(),;.]+)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_FILTER:
        raise WireError(f"Invalid filter: at most {MAX_FILTER} characters.")
    if "\0" in text:
        raise WireError("Invalid filter: it may not contain NUL.")
    found, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise WireError(f"Invalid clause(s) in filter string: {text[position : position + 60]!r}")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind]))
        position = match.end()
    return found


def parse(text: str, grammar: Grammar) -> list[Condition]:
    """The conditions of a filter; none for an empty one. Raises WireError for whatever the grammar does not know."""
    reader = _Reader(_tokens(text or ""), grammar)
    found: list[Condition] = []
    while not reader.at_end:
        found.append(reader.condition())
        if len(found) > MAX_CONDITIONS:
            raise WireError(f"Invalid filter: at most {MAX_CONDITIONS} conditions.")
        if not reader.at_end:
            reader.joiner()
    return found


class _Reader:
    def __init__(self, tokens: Sequence[_Token], grammar: Grammar) -> None:
        self._tokens = tokens
        self._at = 0
        self._grammar = grammar

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def _next(self, what: str) -> _Token:
        if self.at_end:
            raise WireError(f"Invalid clause(s) in filter string: {what} is missing at the end.")
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _peek(self, offset: int = 0) -> _Token:
        position = self._at + offset
        return self._tokens[position] if position < len(self._tokens) else _Token("end", "")

    def joiner(self) -> None:
        token = self._next("AND")
        if not token.is_word("AND"):
            raise WireError(
                f"Invalid clause(s) in filter string: '{token.text[:60]}'. Conditions are joined by AND only."
            )

    def condition(self) -> Condition:
        kind, key = self._identifier()
        op = self._operator()
        allowed = self._grammar.operators(kind, key)
        if op not in allowed:
            raise WireError(
                f"Invalid comparator '{op}' for {kind} '{key[:100]}'. Valid comparators are "
                f"{', '.join(sorted(allowed))}."
            )
        if op in NULL:
            return Condition(kind, key, op)
        if op in ("IN", "NOT IN"):
            return Condition(kind, key, op, self._list(key))
        return Condition(kind, key, op, self._value(kind, key))

    def _identifier(self) -> tuple[str, str]:
        first = self._next("a key")
        if first.kind not in ("word", "tick", "string") or first.is_word("NOT", "AND", "OR"):
            raise WireError(f"Invalid clause(s) in filter string: '{first.text[:60]}'.")
        if first.kind == "string" and first.text[0] == "'":
            raise WireError(
                f"Invalid clause(s) in filter string: {first.text[:60]} is a value, a key is needed."
            )
        parts = [first]
        while self._peek().text == "." and self._peek().kind == "punct":
            self._at += 1
            parts.append(self._next("a key"))
        return self._resolve([_bare(part) for part in parts])

    def _resolve(self, parts: list[str]) -> tuple[str, str]:
        kinds = self._grammar.kinds
        if len(parts) > 1:
            kind = kinds.get(parts[0])
            if kind is None:
                raise WireError(
                    f"Invalid entity type '{parts[0][:60]}'. Valid values are {', '.join(sorted(kinds)) or 'none'}."
                )
            key = ".".join(parts[1:])
        else:
            kind, key = "attribute", parts[0]
        if not key:
            raise WireError("Invalid clause(s) in filter string: a key is empty.")
        if kind == "attribute":
            key = self._grammar.synonyms.get(key, key)
            if key not in self._grammar.attributes:
                raise WireError(
                    f"Invalid attribute key '{key[:60]}' specified. Valid keys are "
                    f"{', '.join(sorted(self._grammar.attributes))}."
                )
        return kind, key

    def _operator(self) -> str:
        token = self._next("a comparator")
        if token.kind == "op":
            return "!=" if token.text == "<>" else token.text
        if token.is_word("LIKE", "ILIKE", "IN"):
            return token.text.upper()
        if token.is_word("NOT") and self._next("IN").is_word("IN"):
            return "NOT IN"
        if token.is_word("IS"):
            following = self._next("NULL")
            negated = following.is_word("NOT")
            if (self._next("NULL") if negated else following).is_word("NULL"):
                return "IS NOT NULL" if negated else "IS NULL"
        raise WireError(f"Invalid clause(s) in filter string: '{token.text[:60]}' is no comparator.")

    def _value(self, kind: str, key: str) -> Any:
        token = self._next("a value")
        wants = "number" if kind == "metric" else self._grammar.attributes.get(key, "string")
        if kind not in ("attribute", "metric"):
            wants = "string"
        if wants == "string":
            if token.kind != "string":
                raise WireError(
                    f"Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {token.text[:60]}."
                )
            return token.text[1:-1]
        text = token.text[1:-1] if token.kind == "string" and wants == "whole" else token.text
        if token.kind not in ("number", "string") or (token.kind == "string" and wants == "number"):
            raise WireError(f"Expected numeric value type for {kind} '{key[:60]}'. Found {token.text[:60]}.")
        return _whole(text, key) if wants == "whole" else _float(text, key)

    def _list(self, key: str) -> list[str]:
        if self._next("(").text != "(":
            raise WireError(
                f"Invalid clause(s) in filter string: a list in parentheses must follow IN for '{key}'."
            )
        values: list[str] = []
        while True:
            token = self._next("a value")
            if token.kind != "string":
                raise WireError(f"Expected a list of quoted strings for '{key[:60]}'. Got {token.text[:60]}.")
            values.append(token.text[1:-1])
            token = self._next(")")
            if token.text == ")":
                return values
            if token.text != ",":
                raise WireError(f"Invalid clause(s) in filter string: '{token.text[:60]}' within a list.")


def _bare(token: _Token) -> str:
    return token.text[1:-1] if token.kind in ("tick", "string") else token.text


def _whole(text: str, key: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,19}", text) or not -(2**63) <= int(text) < 2**63:
        raise WireError(f"Expected a whole number for '{key[:60]}'. Found {text[:60]}.")
    return int(text)


def _float(text: str, key: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise WireError(f"Expected a finite number for '{key[:60]}'. Found {text[:60]}.")
    return value


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by."""

    kind: str
    key: str
    ascending: bool


_ORDER = re.compile(r"\s*(?P<key>.*?)(?:\s+(?P<direction>asc|desc))?\s*", re.IGNORECASE | re.DOTALL)


def parse_order(items: Sequence[str], grammar: Grammar) -> list[Order]:
    """What to sort by. Raises WireError for an unknown key, or one that is given twice."""
    found: list[Order] = []
    if len(items) > MAX_ORDERS:
        raise WireError(f"Invalid order_by: at most {MAX_ORDERS} keys.")
    for item in items:
        match = _ORDER.fullmatch(item)
        if match is None or not match["key"]:
            raise WireError(f"Invalid order_by clause '{item[:100]}'. Could not be parsed.")
        reader = _Reader(_tokens(match["key"]), grammar)
        try:
            kind, key = reader._identifier()
        except WireError as error:
            raise WireError(f"Invalid order_by clause '{item[:100]}'. {error.message}") from error
        if not reader.at_end:
            raise WireError(f"Invalid order_by clause '{item[:100]}'.")
        if any((order.kind, order.key) == (kind, key) for order in found):
            raise WireError(f"`order_by` contains duplicate fields: {key[:100]}")
        found.append(Order(kind, key, (match["direction"] or "asc").lower() == "asc"))
    return found


def where(column: str, op: str, value: Any) -> Q:
    """A comparison of a column that is never null, as the database makes it. LIKE is case-sensitive, ILIKE is not."""
    if op == "=":
        return Q(**{column: value})
    if op == "!=":
        return ~Q(**{column: value})
    if op in ("IN", "NOT IN"):
        condition = Q(**{f"{column}__in": value})
        return condition if op == "IN" else ~condition
    if op in ("LIKE", "ILIKE"):
        return Q(**{f"{column}__{op.lower()}": value})
    return Q(**{f"{column}__{ {'>': 'gt', '>=': 'gte', '<': 'lt', '<=': 'lte'}[op] }": value})


def when(column: str, op: str, value: float) -> Q:
    """A comparison of a time with milliseconds, in which the protocol tells it: without the fraction."""
    at, after = _moment(math.ceil(value)), _moment(math.floor(value) + 1)
    if op in ("=", "!="):
        same = Q(**{f"{column}__gte": at, f"{column}__lt": after})
        # What has no such time does not differ.
        return same if op == "=" else Q(**{f"{column}__isnull": False}) & ~same
    return {
        ">": Q(**{f"{column}__gte": after}),
        ">=": Q(**{f"{column}__gte": at}),
        "<": Q(**{f"{column}__lt": at}),
        "<=": Q(**{f"{column}__lt": after}),
    }[op]


def _moment(ms: int) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if ms < 0 else datetime.max.replace(tzinfo=UTC)
