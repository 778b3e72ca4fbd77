"""MLmodel files: what MLflow's client writes about a model beside its files. Pure, bounded, safe against YAML bombs.

https://mlflow.org/docs/latest/ml/model/#model-format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

NAME = "MLmodel"
MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 30
MAX_SIGNATURE = 200_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Flavors by the name that people know the library by, and the key of its version.
_LIBRARIES = {
    "sklearn": ("scikit-learn", "sklearn_version"),
    "xgboost": ("xgboost", "xgb_version"),
    "lightgbm": ("lightgbm", "lgb_version"),
    "tensorflow": ("tensorflow", "tf_version"),
    "spark": ("pyspark", "pyspark_version"),
    "sentence_transformers": ("sentence-transformers", "sentence_transformers_version"),
}
# What every model has beside its own flavor.
_GENERIC = ("python_function", "mleap", "onnx")


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What the file says. `signature` has the lists inputs, outputs and params as far as they are given."""

    framework: str = ""
    framework_version: str = ""
    flavors: tuple[str, ...] = ()
    python_version: str = ""
    signature: dict[str, Any] = field(default_factory=dict)


def read(data: bytes) -> MLmodel:
    """The facts of an MLmodel file. Raises ValueError for one that is too large, too deep, or no plain YAML mapping;
    anchors, aliases and tags are refused.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"An MLmodel file of more than {MAX_BYTES} bytes is not read.")
    try:
        content = _plain(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"The MLmodel file is no YAML: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise ValueError("The MLmodel file must be names with values.")
    flavors = content.get("flavors")
    flavors = flavors if isinstance(flavors, dict) else {}
    framework, version = _framework(flavors)
    python = flavors.get("python_function")
    return MLmodel(
        framework=framework[:64],
        framework_version=version[:64],
        flavors=tuple(name[:100] for name in list(flavors)[:20]),
        python_version=_text(python.get("python_version"))[:64] if isinstance(python, dict) else "",
        signature=_signature(content.get("signature")),
    )


def _framework(flavors: Mapping[str, Any]) -> tuple[str, str]:
    names = sorted(flavors, key=lambda name: _GENERIC.index(name) + 1 if name in _GENERIC else 0)
    own = next((name for name in names if name != "python_function"), "")
    if not own:
        loader = flavors.get("python_function")
        module = _text(loader.get("loader_module")) if isinstance(loader, dict) else ""
        return ("mlflow.pyfunc" if module else ""), ""
    library, key = _LIBRARIES.get(own, (own, f"{own}_version"))
    details = flavors[own]
    if not isinstance(details, dict):
        return library, ""
    keys = [key, *(name for name in details if name.endswith("_version") and name != "python_version")]
    return library, next((_text(details[name]) for name in keys if _text(details.get(name))), "")


def _signature(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    parts: dict[str, Any] = {}
    for name in ("inputs", "outputs", "params"):
        text = value.get(name)
        if not isinstance(text, str) or not text or len(text) > MAX_SIGNATURE:
            continue
        try:
            # Each part is JSON within YAML.
            part = json.loads(text, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            continue
        if isinstance(part, list) and part:
            parts[name] = part
    if len(json.dumps(parts)) > MAX_SIGNATURE or "\\u0000" in json.dumps(parts):
        return {}
    return parts


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _plain(data: bytes) -> Any:
    """The document as dicts, lists and texts: nothing is resolved, nothing is shared."""
    root: list[Any] = []
    stack: list[Any] = [root]
    keys: list[str | None] = [None]
    nodes = 0
    for event in yaml.parse(data, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("The MLmodel file has anchors or aliases, which are not taken.")
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            keys.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        nodes += 1
        if nodes > MAX_NODES or len(stack) > MAX_DEPTH:
            raise ValueError("The MLmodel file is too large or too deep.")
        if getattr(event, "tag", None) not in (None, "!"):
            raise ValueError("The MLmodel file has tags, which are not taken.")
        parent = stack[-1]
        if isinstance(parent, dict) and keys[-1] is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise ValueError("The MLmodel file has names that are no text.")
            keys[-1] = event.value
            continue
        value: Any = event.value if isinstance(event, yaml.ScalarEvent) else None
        if value is None:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if isinstance(parent, dict):
            parent[keys[-1]], keys[-1] = value, None
        else:
            parent.append(value)
        if not isinstance(event, yaml.ScalarEvent):
            stack.append(value)
            keys.append(None)
    return root[0] if root else None
