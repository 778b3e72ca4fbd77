"""Model cards: Markdown with an optional block of YAML facts at the top, between two lines of `---`."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

MAX_FACTS = 64 << 10
MAX_NODES = 5000
MAX_DEPTH = 20
_BLOCK = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)(?<=\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card's facts (empty without a block) and its Markdown body."""

    facts: dict[str, Any]
    body: str


def split(text: str) -> tuple[str, str]:
    """The raw YAML block ("" when there is none) and the body."""
    match = _BLOCK.match(text)
    return (match[1], text[match.end() :]) if match else ("", text.removeprefix("\ufeff"))


def read_card(text: str) -> ModelCard:
    """Facts and body of a card.

    Facts are plain data: text, numbers, dates as text, lists and mappings by text. Raises ValueError that says what is
    wrong and where; anchors, aliases and tags are refused, as is anything too big or too deep.
    """
    raw, body = split(text)
    if not raw.strip():
        return ModelCard({}, body)
    if len(raw) > MAX_FACTS:
        raise ValueError(f"The YAML block at the top has more than {MAX_FACTS} characters.")
    try:
        facts = yaml.load(raw, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that takes even less
    except yaml.MarkedYAMLError as error:
        # Counted from the opening line of the block.
        line = f" (line {error.problem_mark.line + 2})" if error.problem_mark else ""
        raise ValueError(f"The YAML block at the top is not read: {error.problem}{line}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"The YAML block at the top is not read: {str(error)[:200]}") from error
    if facts is None:
        return ModelCard({}, body)
    if not isinstance(facts, dict):
        raise ValueError("The YAML block at the top must be names with values.")
    return ModelCard(facts, body)


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader without anchors, aliases, merge keys, tags and non-text keys; dates and odd numbers stay text."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise self._refusal("aliases are not taken")
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise self._refusal("anchors are not taken")
        if getattr(event, "tag", None) not in (None, "!"):
            raise self._refusal("tags are not taken")
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            raise self._refusal("it is too large or too deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="names must be text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"“{key.value[:60]}” is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)

    def _refusal(self, problem: str) -> yaml.MarkedYAMLError:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


# "2026-05-04", "1:30", "0x1F", "0o17", "1_000" and "no" are what people wrote, not what YAML 1.1 makes of them.
_PlainLoader.yaml_implicit_resolvers = {}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), None)
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), None
)
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z"), None)
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?\Z"),
    None,
)
