"""The five groups of metadata as data: pages, forms, REST, compare and policies all read them from here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator

from models_app.formats import licenses
from models_app.models import ModelVersion, PiiUsage, User

from .errors import FieldProblem, Invalid
from .metrics import higher_is_better
from .names import check_alias


@dataclass(frozen=True, slots=True)
class Field:
    """A writable column of a version. A `write_once` field may be filled in later but never changed."""

    name: str
    label: str
    help: str = ""
    kind: str = "text"
    write_once: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """One of the five groups."""

    key: str
    label: str
    fields: tuple[Field, ...]


def _once(name: str, label: str, help: str = "", kind: str = "text") -> Field:
    return Field(name, label, help, kind, write_once=True)


GROUPS: tuple[Group, ...] = (
    Group(
        "identity",
        "Identity",
        (
            Field("description", "Description", "What is new or special in this version.", "long"),
            Field("owner", "Owner", "Username of the person who answers for this version.", "user"),
            _once("framework", "Framework", "Library that made it, e.g. scikit-learn."),
            _once("framework_version", "Framework version"),
            _once("signature", "Signature", "Inputs and outputs, as JSON.", "json"),
        ),
    ),
    Group(
        "lineage",
        "Lineage",
        (
            _once("dataset_name", "Dataset", "Name of the training data."),
            _once("dataset_version", "Dataset version", "Version, snapshot or date of the training data."),
            _once("dataset_path", "Dataset path", "Where the data lives, e.g. s3://bucket/path."),
            _once("dataset_digest", "Dataset digest"),
            _once("feature_pipeline_version", "Feature pipeline version"),
            _once("code_repository", "Code repository", "URL or path of the repository."),
            _once("code_commit", "Code commit"),
            _once("training_run_id", "Training run", "The run's id where it was trained."),
            _once(
                "base_model", "Base model", "Upstream model: name@version here, or a name or URL elsewhere."
            ),
        ),
    ),
    Group("metrics", "Metrics", ()),
    Group(
        "operational",
        "Operational",
        (Field("serving_endpoint", "Serving endpoint", "Where it answers.", "url"),),
    ),
    Group(
        "compliance",
        "Compliance",
        (
            Field("license", "License", "SPDX expression, e.g. Apache-2.0 or MIT AND CC-BY-4.0.", "spdx"),
            Field("base_model_license", "License of the base model", "SPDX expression.", "spdx"),
            Field("dataset_license", "License of the data", "SPDX expression.", "spdx"),
            Field("pii_usage", "Personal data", "Whether it was trained on personal data.", "choice"),
            Field("pii_notes", "Notes on personal data", "", "long"),
            Field("bias_fairness_notes", "Bias and fairness notes", "", "long"),
        ),
    ),
)
VERSION_FIELDS: dict[str, Field] = {field.name: field for group in GROUPS for field in group.fields}
COLLECTIONS = ("metrics", "reports", "risk_flags", "tags", "aliases")
# Only at registration: where it came from, and because of which incident.
AT_REGISTRATION = ("run", "base_relation", "source", "run_link", "retrains")
MAX_LONG = 20_000
MAX_JSON = 200_000
MAX_ITEMS = 1_000
# Prompts of the MLflow client are tags.
MAX_TAG_VALUE = 100_000
_CONTROL = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_CONTROL_IN_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_FLAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_COMMIT = re.compile(r"[0-9A-Za-z._/-]{1,64}")


@dataclass(frozen=True, slots=True)
class MetricInput:
    """A metric as a caller gives it; `value` is finite."""

    name: str
    value: float
    dataset: str = ""
    split: str = ""
    higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class ReportInput:
    """A link to an evaluation report."""

    title: str
    url: str


class _Problems:
    """Collects every wrong field before one refusal names them all."""

    def __init__(self) -> None:
        self.found: list[FieldProblem] = []

    def add(self, field: str, why: str) -> None:
        self.found.append(FieldProblem(field, why))

    def raise_if_any(self) -> None:
        if self.found:
            raise Invalid.many(self.found)


def clean_version_metadata(data: Mapping[str, Any], *, at_registration: bool = False) -> dict[str, Any]:
    """Checked and normalised values of the fields that are given. Raises Invalid listing every problem,
    unknown fields too.

    `owner` becomes a User or None, `metrics` a list of MetricInput, `reports` of ReportInput, `tags` a dict,
    `risk_flags` and `aliases` lists of str.
    """
    problems = _Problems()
    clean: dict[str, Any] = {}
    for name, value in data.items():
        try:
            if name in VERSION_FIELDS:
                clean[name] = _clean_field(VERSION_FIELDS[name], value)
            elif name == "metrics":
                clean[name] = clean_metrics(value)
            elif name == "reports":
                clean[name] = _clean_reports(value)
            elif name == "risk_flags":
                clean[name] = _clean_flags(value)
            elif name == "tags":
                clean[name] = clean_tags(value)
            elif name == "aliases":
                clean[name] = [
                    check_alias(_text("aliases", alias, 255), field="aliases")
                    for alias in _list("aliases", value)
                ]
            elif at_registration and name in AT_REGISTRATION:
                clean[name] = _text(name, str(value) if name == "retrains" and value else value, 2000)
            else:
                problems.add(str(name)[:100], "There is no such field.")
        except Invalid as error:
            problems.found.extend(error.problems)
    problems.raise_if_any()
    return clean


def _max_length(name: str) -> int:
    return getattr(ModelVersion._meta.get_field(name), "max_length", None) or MAX_LONG


def _clean_field(field: Field, value: Any) -> Any:
    if field.kind == "user":
        return find_person(field.name, value)
    if field.kind == "json":
        return clean_json(field.name, value)
    if value is None:
        value = ""
    limit = MAX_LONG if field.kind == "long" else _max_length(field.name)
    text = _text(field.name, value, limit, lines=field.kind == "long", exact=field.name == "description")
    if field.kind == "spdx":
        return clean_license(field.name, text)
    if field.kind == "url" and text:
        clean_url(field.name, text)
    if field.kind == "choice" and text not in PiiUsage.values:
        raise Invalid(field.name, f"One of {', '.join(filter(None, PiiUsage.values))}, or empty.")
    if field.name == "code_repository":
        return without_login(text)
    if field.name == "code_commit" and text and not _COMMIT.fullmatch(text):
        raise Invalid(field.name, "A commit id: letters, digits, “.”, “_”, “/” and “-”.")
    return text


def _text(field: str, value: Any, limit: int, *, lines: bool = False, exact: bool = False) -> str:
    if not isinstance(value, str):
        raise Invalid(field, "Must be text.")
    text = value if exact else value.strip()
    if len(text) > limit:
        raise Invalid(field, f"At most {limit} characters; this has {len(text)}.")
    if (_CONTROL_IN_LINES if lines else _CONTROL).search(text):
        raise Invalid(field, "May not contain control characters.")
    return text


def clean_text(field: str, value: Any, *, limit: int, lines: bool = False, exact: bool = False) -> str:
    """Text of at most `limit` characters without control characters, stripped unless `exact`. Raises Invalid."""
    return _text(field, "" if value is None else value, limit, lines=lines, exact=exact)


def clean_license(field: str, value: str) -> str:
    """A normalised SPDX expression, or "". Raises Invalid."""
    text = clean_text(field, value, limit=200)
    if not text:
        return ""
    try:
        return licenses.normalise(text)
    except ValueError as error:
        raise Invalid(field, str(error)) from error


_check_url = URLValidator(schemes=["http", "https"])


def clean_url(field: str, value: str) -> str:
    """An http or https address; within a company hosts often have one word for a name. Raises Invalid."""
    try:
        parts = urlsplit(value)
        login, at, place = parts.netloc.rpartition("@")
        if place and not set(place) & {".", "["}:
            host, colon, port = place.partition(":")
            parts = parts._replace(netloc=f"{login}{at}{host}.internal{colon}{port}")
        _check_url(parts.geturl())
    except (ValidationError, ValueError) as error:
        raise Invalid(field, "Must be an http or https address.") from error
    return value


def without_login(address: str) -> str:
    """An http or https address without user name and password, which CI puts there; anything else as it is."""
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
            return address
    except ValueError:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def clean_json(field: str, value: Any) -> dict[str, Any]:
    """A JSON object of bounded size. Raises Invalid."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise Invalid(field, "Must be a JSON object.")
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (ValueError, RecursionError) as error:
        raise Invalid(field, "Must be JSON without NaN or Infinity.") from error
    if size > MAX_JSON:
        raise Invalid(field, f"At most {MAX_JSON} bytes of JSON; this has {size}.")
    if "\\u0000" in json.dumps(value):
        raise Invalid(field, "May not contain NUL characters.")
    return value


def find_person(field: str, value: Any) -> User | None:
    """An active person by username (or the User itself). Raises Invalid."""
    if value in (None, ""):
        return None
    if isinstance(value, User):
        return value
    name = _text(field, value, 150)
    person = User.objects.filter(username=name, is_active=True).first()
    if person is None:
        raise Invalid(field, f"There is no active person “{name}”.")
    return person


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Invalid(field, "Must be a list.")
    if len(value) > MAX_ITEMS:
        raise Invalid(field, f"At most {MAX_ITEMS}.")
    return list(value)


def clean_metrics(value: Any) -> list[MetricInput]:
    """From {name: number} or [{name, value, dataset?, split?, higher_is_better?}]. Raises Invalid; NaN and
    infinities too.
    """
    rows = (
        [{"name": name, "value": number} for name, number in value.items()]
        if isinstance(value, Mapping)
        else value
    )
    result: dict[tuple[str, str, str], MetricInput] = {}
    for row in _list("metrics", rows):
        metric = row if isinstance(row, MetricInput) else _clean_metric(row)
        key = (metric.name, metric.dataset, metric.split)
        if key in result:
            raise Invalid("metrics", f"“{metric.name}” is given twice for the same dataset and split.")
        result[key] = metric
    return list(result.values())


def _clean_metric(row: Any) -> MetricInput:
    if not isinstance(row, Mapping):
        raise Invalid("metrics", "Each must be an object with name and value.")
    if unknown := sorted(set(row) - {"name", "value", "dataset", "split", "higher_is_better"}):
        raise Invalid("metrics", f"A metric has no field “{unknown[0]}”.")
    name = _text("metrics", row.get("name", ""), 250)
    if not name:
        raise Invalid("metrics", "Each needs a name.")
    number = row.get("value")
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Invalid("metrics", f"The value of “{name}” must be a number.")
    try:
        finite = math.isfinite(float(number))
    except OverflowError:
        finite = False
    if not finite:
        raise Invalid("metrics", f"The value of “{name}” must be finite.")
    direction = row.get("higher_is_better")
    if direction is not None and not isinstance(direction, bool):
        raise Invalid("metrics", "higher_is_better must be true, false or null.")
    return MetricInput(
        name,
        float(number),
        _text("metrics", row.get("dataset") or "", 250),
        _text("metrics", row.get("split") or "", 64),
        higher_is_better(name) if direction is None else direction,
    )


def _clean_reports(value: Any) -> list[ReportInput]:
    result: dict[str, ReportInput] = {}
    for row in _list("reports", value):
        if isinstance(row, ReportInput):
            result[row.url] = row
            continue
        if not isinstance(row, Mapping) or set(row) - {"title", "url"}:
            raise Invalid("reports", "Each must be an object with title and url.")
        url = without_login(clean_url("reports", _text("reports", row.get("url", ""), 1000)))
        result[url] = ReportInput(_text("reports", row.get("title") or url, 1000)[:200], url)
    return list(result.values())


def _clean_flags(value: Any) -> list[str]:
    flags = sorted({_text("risk_flags", flag, 64).lower() for flag in _list("risk_flags", value)})
    if bad := [flag for flag in flags if not _FLAG.fullmatch(flag)]:
        raise Invalid("risk_flags", f"“{bad[0]}”: small letters, digits, “.”, “_” and “-” only.")
    return flags


def clean_tags(value: Any) -> dict[str, str]:
    """From {key: value} or [key, …]. Keys 1 to 250 characters, values up to 100 000, kept exactly.

    Raises Invalid("tags").
    """
    pairs = value if isinstance(value, Mapping) else dict.fromkeys(_list("tags", value), "")
    if len(pairs) > MAX_ITEMS:
        raise Invalid("tags", f"At most {MAX_ITEMS}.")
    result = {}
    for key, text in pairs.items():
        clean_key = _text("tags", key, 250)
        if not clean_key:
            raise Invalid("tags", "A tag needs a key.")
        result[clean_key] = _text("tags", "" if text is None else text, MAX_TAG_VALUE, lines=True, exact=True)
    return result


def brief_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as an audit record keeps them: long values are cut."""
    return {
        key: value if len(value) <= 500 else f"{value[:500]}… ({len(value)} characters)"
        for key, value in tags.items()
    }


def brief(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Values as an audit record keeps them: long texts as their length, people by username, nothing empty."""
    result: dict[str, Any] = {}
    for name, value in fields.items():
        if name in ("card", "signature") and value:
            result[name] = f"{len(str(value))} characters"
        elif isinstance(value, int | float | str | bool | dict | list):
            result[name] = value
        else:
            result[name] = str(value) if value is not None else None
    return {name: value for name, value in result.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Row:
    """A field of a version as people read it; an empty `display` is a gap."""

    field: Field
    value: Any
    display: str


@dataclass(frozen=True, slots=True)
class GroupRows:
    """A group with the values of one version."""

    group: Group
    rows: list[Row]


def grouped(version: ModelVersion) -> list[GroupRows]:
    """The plain fields of a version in their groups, in reading order."""
    return [GroupRows(group, [_row(version, field) for field in group.fields]) for group in GROUPS]


def _row(version: ModelVersion, field: Field) -> Row:
    value = getattr(version, field.name)
    if field.kind == "choice":
        display = version.get_pii_usage_display() if value else ""
    elif field.kind == "json":
        display = json.dumps(value, indent=2, ensure_ascii=False) if value else ""
    elif field.kind == "user":
        display = value.display_name if value else ""
    else:
        display = value
    return Row(field, value, display)
