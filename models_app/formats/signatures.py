"""Signatures of models, as MLflow writes them, as rows that a person can read. Pure, bounded.

https://mlflow.org/docs/latest/ml/model/signatures/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_ROWS = 500
MAX_DEPTH = 6
PARTS = (("inputs", "Inputs"), ("outputs", "Outputs"), ("params", "Parameters"))


@dataclass(frozen=True, slots=True)
class Column:
    """One input, output or parameter. `type` reads like `double`, `float32 [-1, 28, 28]` or `list of string`."""

    name: str
    type: str
    required: bool | None = None
    default: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Inputs, outputs or parameters."""

    label: str
    columns: list[Column]


def parts(signature: Mapping[str, Any]) -> list[Part]:
    """The parts of a signature that have columns; none when it is written in another way than MLflow's."""
    found = []
    for key, label in PARTS:
        columns = []
        for column in _columns(signature.get(key)):
            columns.append(column)
            if len(columns) == MAX_ROWS:
                break
        if columns:
            found.append(Part(label, columns))
    return found


def _columns(value: Any) -> Iterator[Column]:
    if isinstance(value, str):
        # MLmodel files hold each part as JSON within YAML.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return
    if not isinstance(value, list):
        return
    for position, row in enumerate(value):
        if not isinstance(row, Mapping):
            continue
        name = row.get("name")
        default = row.get("default")
        yield Column(
            name=str(name) if name not in (None, "") else ("–" if len(value) == 1 else str(position)),
            type=_type(row),
            required=row["required"] if isinstance(row.get("required"), bool) else None,
            default="" if default is None else json.dumps(default, ensure_ascii=False)[:200],
        )


def _type(row: Any, depth: int = 0) -> str:
    if not isinstance(row, Mapping) or depth > MAX_DEPTH:
        return "any"
    kind = str(row.get("type", "any"))[:60]
    if kind == "tensor" and isinstance(row.get("tensor-spec"), Mapping):
        spec = row["tensor-spec"]
        return f"{str(spec.get('dtype', 'any'))[:30]} {_shape(spec.get('shape'))}".strip()
    if kind == "array":
        return f"list of {_type(row.get('items'), depth + 1)}"
    if kind == "map":
        return f"map to {_type(row.get('values'), depth + 1)}"
    if kind == "object" and isinstance(row.get("properties"), Mapping):
        inner = ", ".join(
            f"{str(name)[:60]}: {_type(of, depth + 1)}" for name, of in list(row["properties"].items())[:20]
        )
        return f"object {{{inner}}}"
    return f"{kind} {_shape(row.get('shape'))}".strip()


def _shape(shape: Any) -> str:
    if not isinstance(shape, list) or not shape:
        return ""
    return f"[{', '.join(str(size)[:20] for size in shape[:12])}]"
