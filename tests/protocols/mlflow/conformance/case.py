"""What one line of the conformance table is: calls that prepare, the call, and what must come back.

Bodies and paths hold placeholders: `{m}`, `{m2}` are model names and `{e}` an experiment's name that nobody else has,
`{u}` is what makes them so; calls that prepare can keep parts of their answers as more of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

# --- what must come back ----------------------------------------------------------------------------------------


class _Absent:
    def __repr__(self) -> str:
        return "absent"


# A key that must not be there; one that is not there or ""; text of any content but none; a 64-bit number or its text.
ABSENT: Any = _Absent()
BLANK: Any = lambda found: found in (None, "", [])  # noqa: E731
TEXT: Any = lambda found: isinstance(found, str) and found != ""  # noqa: E731
TIME: Any = lambda found: isinstance(found, int) and found > 1_500_000_000_000  # noqa: E731


@dataclass(frozen=True)
class Has:
    """A list with at least such an item."""

    item: Any


@dataclass(frozen=True)
class AnyOrder:
    """A list of just these, in any order."""

    items: tuple[Any, ...]


def misfit(expected: Any, found: Any, values: Mapping[str, str], path: str = "body") -> str:
    """Where an answer is not as expected, or nothing. Dicts may hold more than expected, lists may not."""
    if expected is ABSENT:
        return "" if found is None else f"{path} should be absent, is {found!r}"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return f"{path} should be an object, is {found!r}"
        return _first(misfit(want, found.get(key), values, f"{path}.{key}") for key, want in expected.items())
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return f"{path} should be a list of {len(expected)}, is {found!r}"
        return _first(
            misfit(w, f, values, f"{path}[{i}]") for i, (w, f) in enumerate(zip(expected, found, strict=True))
        )
    if isinstance(expected, Has):
        fits = any(not misfit(expected.item, one, values) for one in found or [])
        return "" if fits else f"{path} lacks {expected.item!r}: {found!r}"
    if isinstance(expected, AnyOrder):
        if len(found or []) != len(expected.items):
            return f"{path} should be a list of {len(expected.items)}, is {found!r}"
        return _first(misfit(Has(item), found, values, path) for item in expected.items)
    if isinstance(expected, re.Pattern):
        fits = isinstance(found, str) and expected.fullmatch(found) is not None
    elif isinstance(expected, type):
        fits = isinstance(found, expected) and not (expected is int and isinstance(found, bool))
    elif callable(expected):
        fits = expected(found)
    elif isinstance(expected, float) and math.isfinite(expected) and isinstance(found, int | float):
        fits = math.isclose(expected, found)
    else:
        expected = filled(expected, values)
        fits = expected == found and type(expected) is type(found)
    return "" if fits else f"{path} should be {expected!r}, is {found!r}"


def _first(problems: Iterable[str]) -> str:
    return next((problem for problem in problems if problem), "")


# --- calls ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


Send = Callable[[str, str, bytes | None, dict[str, str]], Answer]


@dataclass(frozen=True)
class Call:
    """A request. `body` is a query on GET, else JSON; `raw` are bytes as they are. `keep` maps a placeholder's name
    to where in the answer its value stands (`run.info.run_id`).
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    raw: bytes | None = None
    content_type: str = "application/json"
    keep: Mapping[str, str] = field(default_factory=dict)

    def send(self, send: Send, values: dict[str, str]) -> Answer:
        path = filled(self.path, values, quoted=True)
        if not path.startswith("/"):
            path = f"/api/2.0/mlflow/{path}"
        body, content = filled(self.body, values), self.raw
        if self.method == "GET" and body:
            path += ("&" if "?" in path else "?") + urlencode(body, doseq=True)
        elif body is not None and content is None:
            content = json.dumps(body).encode()
        headers = {"Content-Type": self.content_type} if content is not None else {}
        answer = send(self.method, path, content, headers)
        for name, where in self.keep.items():
            found = answer.body
            for step in where.split("."):
                found = found[int(step)] if isinstance(found, list) else (found or {}).get(step)
            assert found is not None, f"{self.method} {path} answered no {where}: {answer}"
            values[name] = str(found)
        return answer


def filled(template: Any, values: Mapping[str, str], *, quoted: bool = False) -> Any:
    """With placeholders replaced, at any depth. What is no placeholder stays."""
    if isinstance(template, str):

        def value(match: re.Match[str]) -> str:
            found = values.get(match[1])
            return match[0] if found is None else quote(found, safe="") if quoted else found

        return re.sub(r"\{(\w+)\}", value, template)
    if isinstance(template, Mapping):
        return {filled(key, values): filled(item, values) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [filled(item, values) for item in template]
    return template


def get(path: str, /, **query: Any) -> Call:
    return Call("GET", path, query)


def post(path: str, /, **body: Any) -> Call:
    return Call("POST", path, body)


def patch(path: str, /, **body: Any) -> Call:
    return Call("PATCH", path, body)


def delete(path: str, /, **body: Any) -> Call:
    return Call("DELETE", path, body)


# What was prepared, by how: the placeholders of it.
Worlds = dict[str, dict[str, str]]
# --- cases ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """An answer as it has to be. With a `code` it is a refusal in the protocol's shape."""

    status: int = 200
    code: str = ""
    body: Any = None
    says: str = ""

    def misfit(self, answer: Answer, values: Mapping[str, str]) -> str:
        """What is wrong with an answer, or nothing."""
        if answer.status != self.status:
            return f"status should be {self.status}, is {answer.status}: {str(answer.body)[:300]}"
        if self.code:
            problem = misfit({"error_code": self.code, "message": TEXT}, answer.body, values)
            if not problem and self.says and self.says.lower() not in answer.body["message"].lower():
                problem = f"message should say {self.says!r}, is {answer.body['message']!r}"
            return problem
        return misfit(self.body, answer.body, values) if self.body is not None else ""


@dataclass(frozen=True)
class Case:
    """One line of the table. Where Modelry deliberately answers otherwise, `differs` is the key of the reason in
    differences.py and `ours` what it answers instead.
    """

    name: str
    call: Call
    status: int = 200
    code: str = ""
    body: Any = None
    says: str = ""
    given: tuple[Call, ...] = ()
    differs: str = ""
    ours: Expected | None = None

    @property
    def expected(self) -> Expected:
        return Expected(self.status, self.code, self.body, self.says)

    @property
    def changes_nothing(self) -> bool:
        """Whether what was prepared is as good afterwards for another case, on either server."""
        refused = 200 not in (self.status, self.ours.status if self.ours else self.status)
        return refused or self.call.method == "GET" or self.call.path.endswith("/search")

    def play(self, send: Send, unique: str, expected: Expected, worlds: Worlds | None = None) -> str:
        """Prepare, call, compare; returns what is wrong, or nothing. `worlds` keeps what was prepared for others."""
        key = repr(self.given)
        values = (worlds or {}).get(key) if self.changes_nothing else None
        if values is None:
            values = {"u": unique, "m": f"m-{unique}", "m2": f"n-{unique}", "e": f"e-{unique}"}
            values |= {"none": "0" * 32, "exp": "0"}
            for step in self.given:
                answer = step.send(send, values)
                if answer.status != 200:
                    return (
                        f"preparing with {step.method} {step.path}: {answer.status} {str(answer.body)[:300]}"
                    )
            if worlds is not None and self.changes_nothing:
                worlds[key] = values
        return expected.misfit(self.call.send(send, values), values)


INVALID = {"status": 400, "code": "INVALID_PARAMETER_VALUE"}
EXISTS = {"status": 400, "code": "RESOURCE_ALREADY_EXISTS"}
REFUSED = Expected(**INVALID)
UNKNOWN = {"status": 404, "code": "RESOURCE_DOES_NOT_EXIST"}
NO_CALL = {"status": 404, "code": "ENDPOINT_NOT_FOUND"}
# --- what most cases start from ---------------------------------------------------------------------------------

MODEL = post("registered-models/create", name="{m}")
OTHER = post("registered-models/create", name="{m2}")
EXPERIMENT = Call("POST", "experiments/create", {"name": "{e}"}, keep={"exp": "experiment_id"})
RUN = Call(
    "POST",
    "runs/create",
    {"experiment_id": "{exp}", "user_id": "ann", "start_time": 1_700_000_000_000, "run_name": "first"},
    keep={"run": "run.info.run_id", "root": "run.info.artifact_uri"},
)
FILE = Call(
    "PUT",
    "/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/model/MLmodel",
    raw=b"flavors: {}\n",
    content_type="application/octet-stream",
)
LOGGED_RUN = (EXPERIMENT, RUN, FILE)
VERSION = Call(
    "POST",
    "model-versions/create",
    {"name": "{m}", "source": "{root}/model", "run_id": "{run}"},
    keep={"v": "model_version.version"},
)
# A model with one version, made from a run that wrote a file.
VERSIONED = (*LOGGED_RUN, MODEL, VERSION)
LOGGED = Call(
    "POST",
    "logged-models",
    {"experiment_id": "{exp}", "name": "lm", "source_run_id": "{run}"},
    keep={"lm": "model.info.model_id"},
)
