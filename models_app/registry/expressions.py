"""Rules in CEL (https://github.com/google/cel-spec): no side effects, and every one ends soon.

The interpreter knows no budget, so that what an expression may cost is bounded before it runs, by its text and by the
size of what it sees: loops are not nested and their bodies are short, nothing grows in them, patterns of `matches` are
short literals without counted repetition, and texts and lists are cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cel

MAX_EXPRESSION = 1_000
MAX_LOOPS = 2
MAX_BODY = 50
MAX_SUMS = 5
MAX_MATCHES = 2
MAX_PATTERN = 100
# Of what an expression sees: entries of a list or map, characters of a text, values of a nested one.
MAX_SEEN = 100
MAX_TEXT = 4_000
MAX_VALUES = 1_000
LOOPS = frozenset({"all", "exists", "exists_one", "filter"})
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    | (?P<text>[bBrR]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<other>\d[\w.]*|&&|\|\||[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=512)
def why_not(text: str) -> str:
    """Why this expression is not taken, or nothing."""
    if not text.strip():
        return "The expression is empty."
    if len(text) > MAX_EXPRESSION:
        return f"At most {MAX_EXPRESSION} characters."
    tokens = [found.group() for found in _TOKEN.finditer(text) if found.lastgroup != "space"]
    if why := _too_dear(tokens):
        return why
    try:
        _program(text)
    except Exception as error:
        return f"This does not compile: {str(error)[:300]}"
    return ""


def _too_dear(tokens: list[str]) -> str:
    loops = [_body(tokens, at) for at in _calls(tokens, LOOPS)]
    sums = tokens.count("+")
    if "map" in tokens and any(True for _ in _calls(tokens, {"map"})):
        return "map is not taken, for it copies: use all, exists, exists_one or filter."
    if len(loops) > MAX_LOOPS:
        return f"At most {MAX_LOOPS} of all, exists, exists_one and filter."
    for body in loops:
        if any(True for _ in _calls(body, LOOPS)):
            return "Loops inside of loops are not taken; write “in”, or two rules."
        if len(body) > MAX_BODY:
            return f"At most {MAX_BODY} words and signs inside of a loop."
        if "matches" in body:
            return "matches is not taken inside of a loop."
    if sums > (0 if loops else MAX_SUMS):
        return f"At most {MAX_SUMS} of “+”, and none beside a loop."
    return _written_out(tokens) or _matching(tokens)


def _written_out(tokens: list[str]) -> str:
    """Lists that are written out hold plain values: else they copy what is large, many times."""
    if "{" in tokens:
        return "Maps are not written out."
    literals: list[bool] = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token == "[":
            literals.append(not (before in (")", "]") or _is_word(before)))
        elif token == "]" and literals:
            literals.pop()
        elif any(literals) and _is_word(token) and token not in ("true", "false", "null"):
            return "A list that is written out holds texts and numbers only."
    return ""


def _is_word(token: str) -> bool:
    return token not in ("in", "") and (token[0].isalpha() or token[0] == "_") and token[-1] not in "\"'"


def _matching(tokens: list[str]) -> str:
    places = [at for at, token in enumerate(tokens) if token == "matches"]
    if len(places) > MAX_MATCHES:
        return f"At most {MAX_MATCHES} of matches."
    for at in places:
        pattern = tokens[at + 2] if len(tokens) > at + 3 else ""
        is_call = tokens[at - 1 : at] == ["."] and tokens[at + 1 : at + 2] == ["("] and tokens[at + 3] == ")"
        if not is_call or pattern[-1:] not in ("'", '"'):
            return "matches takes one text, written out: version.owner.matches('^ci-')."
        if (
            len(pattern) > MAX_PATTERN
            or "{" in pattern
            or "\\x" in pattern.lower()
            or "\\u" in pattern.lower()
        ):
            return f"A pattern has at most {MAX_PATTERN} characters, and neither “{{”, “\\x” nor “\\u”."
    return ""


def _calls(tokens: list[str], names: frozenset[str] | set[str]) -> Iterator[int]:
    """Where one of these is called as a method."""
    for at in range(1, len(tokens) - 1):
        if tokens[at] in names and tokens[at - 1] == "." and tokens[at + 1] == "(":
            yield at


def _body(tokens: list[str], at: int) -> list[str]:
    """What stands in the brackets of the call there."""
    depth = 0
    for end in range(at + 1, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[end], 0)
        if depth == 0:
            return tokens[at + 2 : end]
    return tokens[at + 2 :]


@lru_cache(maxsize=512)
def _program(text: str) -> cel.Program:
    # It brings a command line with it, for which every process would wait as it starts.
    import cel

    return cel.compile(text)


def context(facts: Mapping[str, Any]) -> cel.Context:
    """What expressions are evaluated against; made once for many of them."""
    import cel

    return cel.Context(variables={name: _cut(value, [MAX_VALUES]) for name, value in facts.items()})


def _cut(value: Any, left: list[int]) -> Any:
    """A value, bounded in size; what is beyond is not there."""
    left[0] -= 1
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, Mapping):
        pairs = islice(value.items(), MAX_SEEN)
        return {str(name)[:MAX_TEXT]: _cut(one, left) for name, one in pairs if left[0] > 0}
    if isinstance(value, list | tuple):
        return [_cut(one, left) for one in islice(value, MAX_SEEN) if left[0] > 0]
    return value


def is_true(text: str, seen: cel.Context) -> tuple[bool, str]:
    """Whether an expression holds, and why it cannot be told: what cannot be evaluated does not hold."""
    if why := why_not(text):
        return False, why
    try:
        return _program(text).execute(seen) is True, ""
    except Exception as error:
        return False, f"It cannot be evaluated: {str(error)[:200]}"
