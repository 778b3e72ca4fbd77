"""What is written to a run that is locked: in the shapes of REST, and as plain keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app.models import Run, RunInput, RunParam

from . import run_metrics
from .access import Actor
from .datasets import register_dataset
from .errors import Frozen, Invalid
from .metadata import clean_text
from .prepared import Prepared
from .run_metrics import Point

MAX_ROWS = 10_000
_BATCH = 1000


def add(run: Run, *, params: Any, metrics: Any, tags: Any, datasets: Any, by: Actor) -> None:
    """Write what REST sends (see runs.create_run). Raises Invalid, Frozen."""
    write_params(run, _pairs("params", params))
    write_tags(run, _pairs("tags", tags))
    run_metrics.write(run, _points(metrics), by=by)
    for row in _rows("datasets", datasets):
        if not isinstance(row, Mapping):
            raise Invalid("datasets", "Each must be an object with a name.")
        fields = dict(row)
        context = clean_text("datasets", fields.pop("context", ""), limit=64)
        if unknown := sorted(set(fields) - {"name", "version", "digest", "path", "license"}):
            raise Invalid("datasets", f"A dataset has no field “{unknown[0]}”.")
        dataset = register_dataset(fields.pop("name", ""), by=by, **fields)
        RunInput.objects.get_or_create(run=run, dataset=dataset, context=context)


def write_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Set tags; those that are there already change."""
    _insert(_TAGS, run, tags)


def write_params(run: Run, params: Mapping[str, str]) -> None:
    """Add params. Raises Frozen when one is there with another value."""
    if not params:
        return
    if len(params) == 1:
        known = dict(_PARAM(run.pk, *params))
    else:
        rows = RunParam.objects.filter(run=run, key__in=list(params)).order_by()
        known = dict(rows.values_list("key", "value"))
    for key, value in params.items():
        if known.get(key, value) != value:
            raise Frozen(
                f"Changing param values is not allowed. Param with key='{key[:80]}' was already logged with "
                f"value='{known[key][:80]}' for run ID='{run.uid}'. Attempted logging new value '{value[:80]}'."
            )
    _insert(_PARAMS, run, {key: value for key, value in params.items() if key not in known})


# As for metrics: instances of tables would take most of the time.
_TAGS = """
    INSERT INTO models_app_runtag (run_id, key, value) VALUES {rows}
    ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
"""
_PARAMS = "INSERT INTO models_app_runparam (run_id, key, value) VALUES {rows}"
_PARAM = Prepared(
    lambda run, key: RunParam.objects.filter(run=run, key=key).order_by().values_list("key", "value"),
    int,
    str,
)


def _insert(statement: str, run: Run, pairs: Mapping[str, str]) -> None:
    items = list(pairs.items())
    for start in range(0, len(items), _BATCH):
        some = items[start : start + _BATCH]
        parameters = [value for key, text in some for value in (run.pk, key, text)]
        with connection.cursor() as cursor:
            cursor.execute(statement.format(rows=",".join(["(%s,%s,%s)"] * len(some))), parameters)


def _pairs(field: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(field, "Must be an object of keys and values.")
    if len(value) > MAX_ROWS:
        raise Invalid(field, f"At most {MAX_ROWS} at once.")
    pairs = {}
    for key, text in value.items():
        if isinstance(text, bool | int | float):
            text = str(text)
        name = clean_text(field, key, limit=250)
        if not name:
            raise Invalid(field, "No key may be empty.")
        pairs[name] = clean_text(field, text, limit=8000, lines=True)
    return pairs


def _rows(field: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise Invalid(field, "Must be a list.")
    if len(value) > MAX_ROWS:
        raise Invalid(field, f"At most {MAX_ROWS} at once.")
    return list(value)


def _points(value: Any) -> list[Point]:
    rows = (
        [{"key": key, "value": number} for key, number in value.items()]
        if isinstance(value, Mapping)
        else value
    )
    points = []
    for row in _rows("metrics", rows):
        if not isinstance(row, Mapping) or set(row) - {"key", "value", "step", "at"}:
            raise Invalid(
                "metrics", "Each must be an object with key and value, and step and at if you like."
            )
        key = clean_text("metrics", row.get("key", ""), limit=250)
        number, step = row.get("value"), row.get("step", 0)
        if not key:
            raise Invalid("metrics", "Each needs a key.")
        # Not NaN either: it is not at most anything.
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= 1e308:
            raise Invalid("metrics", f"The value of “{key}” must be a finite number.")
        if isinstance(step, bool) or not isinstance(step, int):
            raise Invalid("metrics", f"The step of “{key}” must be a whole number.")
        points.append(Point(key, float(number), _moment(row.get("at")), step))
    return points


def _moment(value: Any) -> datetime:
    if value is None:
        return timezone.now()
    if isinstance(value, datetime):
        return value
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            # In UTC: databases know fewer offsets than Python.
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid("metrics", "A time is written like 2026-05-03T12:00:00Z.")
