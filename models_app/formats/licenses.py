"""SPDX license expressions."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from license_expression import AND, OR, ExpressionError, ExpressionParseError, Licensing, get_spdx_licensing

MAX_EXPRESSION = 200


@cache
def _licensing() -> Licensing:
    # Building the list takes half a second: done once per process, at the first license.
    return get_spdx_licensing()


def normalise(expression: str) -> str:
    """An SPDX expression in canonical spelling (`apache-2.0 and mit` → `Apache-2.0 AND MIT`).

    `LicenseRef-…` of one's own is fine. Raises ValueError that names what is unknown or where it does not parse.
    """
    text = expression.strip()
    if len(text) > MAX_EXPRESSION:
        raise ValueError(f"At most {MAX_EXPRESSION} characters.")
    if text.count("(") > 20:
        raise ValueError("Too deeply nested.")
    try:
        parsed = _licensing().parse(text, strict=True)
        unknown = (
            [key for key in _licensing().unknown_license_keys(parsed) if not _own(key)]
            if parsed is not None
            else []
        )
        rendered = str(parsed.render()) if parsed is not None else ""
    except (
        ExpressionError,
        ExpressionParseError,
        RecursionError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        raise ValueError(
            f"“{text[:60]}” is no SPDX license expression. Examples: MIT, Apache-2.0, MIT AND CC-BY-4.0."
        ) from error
    if unknown:
        raise ValueError(f"“{unknown[0][:60]}” is no SPDX license. Write LicenseRef-… for one of your own.")
    if not rendered:
        raise ValueError("An SPDX license expression is needed.")
    return rendered


def _own(key: str) -> bool:
    return key.lower().startswith("licenseref-") and key[11:].replace("-", "").replace(".", "").isalnum()


@cache
def known() -> tuple[str, ...]:
    """The SPDX ids of the list, sorted, without exceptions and deprecated ones: for completion in forms."""
    licensing = _licensing()
    return tuple(
        sorted(
            key
            for key, symbol in licensing.known_symbols.items()
            if not getattr(symbol, "is_exception", False) and not key.startswith("LicenseRef-")
        )
    )


def in_the_way(expression: str, *, allowed: Collection[str], forbidden: Collection[str]) -> list[str]:
    """Licenses of an SPDX expression that keep it from being acceptable; none when it is.

    Of an OR one acceptable side is enough, of an AND each must be. No `allowed` allows every license that is not
    forbidden. An expression that cannot be read is in the way itself.
    """
    try:
        parsed = _licensing().parse(expression)
    except (ExpressionError, ExpressionParseError, RecursionError):
        return [expression]
    if parsed is None:
        return []
    yes, no = {key.lower() for key in allowed}, {key.lower() for key in forbidden}

    def problems(node: Any) -> list[str]:
        if isinstance(node, OR | AND):
            sides = [problems(side) for side in node.args]
            if isinstance(node, OR) and not all(sides):
                return []
            return [key for side in sides for key in side]
        key = str(node.render())
        base = key.partition(" WITH ")[0]
        names = {key.lower(), base.lower()}
        fits = (not yes or names & yes) and not names & no
        return [] if fits else [key]

    return list(dict.fromkeys(problems(parsed)))
