"""What a search asks for: read from a search box and from address parameters, and written back to them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models_app.models import Risk
from models_app.registry.errors import FieldProblem, Invalid

from . import text

FACETS = ("task", "stage", "library", "license", "team", "tag", "risk")
STAGES = ("production", "staging", "none")
SORTS = ("relevance", "updated", "created", "name")
MAX_TEXT = 500
MAX_TERMS = 24
MAX_VALUES = 50
MAX_METRICS = 8
EXAMPLE = "f1 > 0.9"

_TOKEN = re.compile(
    r"""
      (?P<key>task|stage|library|license|team|tag|risk):(?P<value>"[^"]*"|[^\s"]+)
    | (?P<metric>"[^"]+"|[^\s"<>=,]+)\s*(?P<op>>=|<=|==|[<>=])\s*(?P<number>[^\s,;<>=]+)
    | "(?P<phrase>[^"]*)"?
    | (?P<word>[^\s"]+)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAME = re.compile(r'"(?P<quoted>[^"]+)"|(?P<bare>[^\s"<>=,;]+)')
_OPERATOR = re.compile(r">=|<=|==|[<>=]")
_NUMBER = re.compile(r"[^\s,;<>=]+")
_JOINT = re.compile(r"\s*(?:[,;&]|\band\b)\s*", re.IGNORECASE)
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """A demand on the metric of the version that counts, e.g. f1 > 0.9."""

    name: str
    op: str
    value: float

    def __str__(self) -> str:
        name = self.name if _NAME.fullmatch(self.name) and '"' not in self.name else f'"{self.name}"'
        return f"{name} {self.op} {number_text(self.value)}"


@dataclass(frozen=True, slots=True)
class Term:
    """What must occur: one word, or several in this order. `is_open`: the last word may still be growing."""

    words: tuple[str, ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """One applied filter, and the search without it."""

    key: str
    value: str
    without: SearchQuery


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A whole search. Values of one facet widen (any of them), tags and metrics narrow (all of them)."""

    words: str = ""
    task: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    risk: tuple[str, ...] = ()
    metrics: tuple[MetricFilter, ...] = ()
    sort: str = "updated"

    @property
    def default_sort(self) -> str:
        return "relevance" if self.words else "updated"

    @property
    def is_filtered(self) -> bool:
        """Whether anything narrows the list."""
        return bool(self.words or self.metrics or any(getattr(self, key) for key in FACETS))

    @property
    def sort_metric(self) -> str:
        """The metric to sort by, or nothing."""
        return self.sort.removeprefix("metric:") if self.sort.startswith("metric:") else ""

    def terms(self) -> list[Term]:
        """The words box as things that must occur; stop words count only when there is nothing else."""
        found: list[Term] = []
        for match in _TOKEN.finditer(self.words):
            if match["phrase"] is not None:
                phrase = tuple(text.words(match["phrase"]))
                found.extend([Term(phrase)] if phrase else [])
            else:
                found.extend(Term((word,)) for word in text.words(match[0]))
        telling = [
            term for term in found if len(term.words) > 1 or term.words[0] not in text.STOP_WORDS
        ] or found
        if telling and self.words[-1:] not in ('"', "") and telling[-1] is found[-1]:
            telling[-1] = Term(telling[-1].words, is_open=len(telling[-1].words) == 1)
        return list(dict.fromkeys(telling))

    def to_params(self) -> dict[str, list[str]]:
        """Address parameters that `parse` reads back to an equal query; nothing that is default."""
        params = {"q": [self.words] if self.words else []}
        params |= {key: list(getattr(self, key)) for key in FACETS}
        params["metric"] = [str(metric) for metric in self.metrics]
        params["sort"] = [self.sort] if self.sort != self.default_sort else []
        return {key: values for key, values in params.items() if values}

    def adding(self, key: str, value: str) -> SearchQuery:
        """This search with one facet value more."""
        changed: dict[str, Any] = {key: tuple(dict.fromkeys((*getattr(self, key), value)))}
        return replace(self, **changed)

    def without(self, key: str, value: str = "") -> SearchQuery:
        """This search without one value of a facet or metric, or without all of `key` (`q`, `metric` or a facet)."""
        if key == "q":
            return replace(self, words="", sort="updated" if self.sort == "relevance" else self.sort)
        if key == "metric":
            return replace(self, metrics=tuple(one for one in self.metrics if value and str(one) != value))
        changed: dict[str, Any] = {key: tuple(one for one in getattr(self, key) if value and one != value)}
        return replace(self, **changed)

    def chips(self) -> list[Chip]:
        """Everything applied, words first."""
        chips = [Chip("q", self.words, self.without("q"))] if self.words else []
        for key in FACETS:
            chips += [Chip(key, value, self.without(key, value)) for value in getattr(self, key)]
        return chips + [Chip("metric", str(one), self.without("metric", str(one))) for one in self.metrics]


def number_text(value: float) -> str:
    """A number as short as it can be written without losing anything."""
    return repr(int(value)) if value == round(value) and abs(value) < 1e15 else repr(value)


def parse(source: str | Mapping[str, Any]) -> SearchQuery:
    """Read a search box (a string) or parameters `q`, `metric`, `sort` and the facets, each once or repeated.

    The box understands `task:x`, `f1 > 0.9` and "quoted words" too. Raises Invalid naming the parameter, and
    for a metric
    the position of what is wrong.
    """
    params: Mapping[str, Any] = {"q": source} if isinstance(source, str) else source
    problems: list[FieldProblem] = []
    chosen: dict[str, list[str]] = {key: _values(params, key) for key in FACETS}
    metrics: list[MetricFilter] = []
    words = ""
    try:
        words = _read_box(" ".join(_values(params, "q")), chosen, metrics)
    except Invalid as error:
        problems += error.problems
    for line in _values(params, "metric"):
        try:
            metrics += parse_metrics(line)
        except Invalid as error:
            problems += error.problems
    if len(metrics) > MAX_METRICS:
        problems.append(
            FieldProblem("metric", f"At most {MAX_METRICS} metric filters; these are {len(metrics)}.")
        )
    problems += _check_values(chosen)
    sort = "".join(_values(params, "sort")[-1:]) or ("relevance" if words else "updated")
    if sort not in SORTS and not (sort.startswith("metric:") and len(sort) > len("metric:")):
        problems.append(FieldProblem("sort", f"One of {', '.join(SORTS)}, or metric: and a metric's name."))
    if problems:
        raise Invalid.many(problems)
    if sort == "relevance" and not words:
        sort = "updated"
    values = {key: tuple(dict.fromkeys(found)) for key, found in chosen.items()}
    return SearchQuery(words=words, metrics=tuple(dict.fromkeys(metrics)), sort=sort, **values)


def _values(params: Mapping[str, Any], key: str) -> list[str]:
    """All non-empty values of a parameter, made harmless: no control characters, no broken surrogates."""
    getlist = getattr(params, "getlist", None)
    given = getlist(key) if getlist else params.get(key)
    many: Iterable[Any] = given if isinstance(given, list | tuple) else [] if given is None else [given]
    return [value for one in many if (value := _clean(str(one)))]


def _clean(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value.strip()
    kept = (" " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in value)
    return "".join(kept).strip()


def _check_values(chosen: Mapping[str, list[str]]) -> list[FieldProblem]:
    problems = [
        FieldProblem(key, f"At most {MAX_VALUES} values of up to {MAX_TEXT} characters.")
        for key, values in chosen.items()
        if len(values) > MAX_VALUES or any(len(value) > MAX_TEXT for value in values)
    ]
    for key, known in (("stage", STAGES), ("risk", Risk.values)):
        wrong = [value for value in chosen[key] if value not in known]
        if wrong:
            names = ", ".join(name for name in known if name)
            problems.append(FieldProblem(key, f"“{wrong[0][:50]}” is none of {names}."))
    return problems


def _read_box(box: str, chosen: dict[str, list[str]], metrics: list[MetricFilter]) -> str:
    """Move filters written in the box where they belong; returns the words that stay."""
    if len(box) > MAX_TEXT:
        raise Invalid("q", f"At most {MAX_TEXT} characters; these are {len(box)}.")
    rest: list[str] = []
    for match in _TOKEN.finditer(box):
        if match["key"]:
            value = match["value"].strip('"')
            if value:
                chosen[match["key"].lower()].append(value)
        elif match["op"] and (match["op"] not in ("=", "==") or _number(match["number"]) is not None):
            metrics += parse_metrics(box, start=match.start(), end=match.end(), field="q")
        else:
            rest.append(match[0])
    words = " ".join(rest)
    if len(text.words(words)) > MAX_TERMS:
        raise Invalid("q", f"At most {MAX_TERMS} words.")
    return words


def parse_metrics(
    line: str, *, start: int = 0, end: int | None = None, field: str = "metric"
) -> list[MetricFilter]:
    """One or more comparisons, separated by commas or “and”. Raises Invalid saying what was expected where."""
    if end is None:
        end = len(line)
        if end > MAX_TEXT:
            raise Invalid(field, f"At most {MAX_TEXT} characters; these are {end}.")
    filters: list[MetricFilter] = []
    at = start
    while True:
        name_at, name = _take(_NAME, line, at, end, "the name of a metric", field)
        op_at, op = _take(_OPERATOR, line, name_at, end, "one of > >= < <= =", field)
        number_at, digits = _take(_NUMBER, line, op_at, end, "a number", field)
        value = _number(digits)
        if value is None:
            raise _expected("a number", line, number_at - len(digits), field)
        filters.append(MetricFilter(name.strip('"'), "=" if op == "==" else op, value))
        at = _end_of(_SPACE, line, number_at, end)
        if at >= end:
            return filters
        joint = _end_of(_JOINT, line, at, end)
        if joint == at:
            raise _expected("a comma or the end", line, at, field)
        at = joint


def _take(pattern: re.Pattern[str], line: str, at: int, end: int, what: str, field: str) -> tuple[int, str]:
    at = _end_of(_SPACE, line, at, end)
    match = pattern.match(line, at, end)
    if match is None:
        raise _expected(what, line, at, field)
    return match.end(), match[0]


def _end_of(pattern: re.Pattern[str], line: str, at: int, end: int) -> int:
    match = pattern.match(line, at, end)
    return match.end() if match else at


def _expected(what: str, line: str, at: int, field: str) -> Invalid:
    found = f"“{line[at : at + 20]}”" if at < len(line) else "the end"
    return Invalid(field, f"Expected {what} at position {at + 1} but found {found}. Write it like {EXAMPLE}.")


def _number(digits: str) -> float | None:
    try:
        value = float(digits.removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(value) or "_" in digits:
        return None
    return value / 100 if digits.endswith("%") else value
