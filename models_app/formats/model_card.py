"""Model cards: Markdown with an optional block of YAML facts at the top, between two lines of `---`."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

MAX_FACTS = 64 << 10
MAX_NODES = 5000
MAX_DEPTH = 20
_BLOCK = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)(?<=\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card's facts (empty without a block), its Markdown body, and the line of the card on which each fact stands."""

    facts: dict[str, Any]
    body: str
    lines: dict[Path, int] = field(default_factory=dict)


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
    found = _read(raw)
    return ModelCard(dict(found.facts), body, found.lines)


@dataclass(frozen=True, slots=True)
class _Block:
    """What a block says, and where each fact begins in it: None where facts do not begin lines of their own."""

    facts: dict[str, Any]
    lines: dict[Path, int]
    starts: tuple[tuple[str, int], ...] | None = ()
    depth: int = 0


# Whoever keeps a card in step reads the block that was written last; nobody changes what is read.
@lru_cache(maxsize=128)
def _read(raw: str) -> _Block:
    """Raises ValueError, as `read_card`."""
    if not raw.strip():
        return _Block({}, {})
    if len(raw) > MAX_FACTS:
        raise ValueError(f"The YAML block at the top has more than {MAX_FACTS} characters.")
    try:
        root, facts = _load(raw)
    except yaml.MarkedYAMLError as error:
        # Counted from the opening line of the block.
        line = f" (line {error.problem_mark.line + 2})" if error.problem_mark else ""
        raise ValueError(f"The YAML block at the top is not read: {error.problem}{line}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"The YAML block at the top is not read: {str(error)[:200]}") from error
    if facts is None or root is None:
        return _Block({}, {})
    if not isinstance(facts, dict) or not isinstance(root, yaml.MappingNode):
        raise ValueError("The YAML block at the top must be names with values.")
    lines: dict[Path, int] = {}
    _note_lines(root, (), lines)
    keys = [(key.value, key.start_mark) for key, _ in root.value]
    starts = None if root.flow_style else tuple((name, mark.index - mark.column) for name, mark in keys)
    return _Block(facts, lines, starts, keys[0][1].column if keys else 0)


def _load(raw: str) -> tuple[yaml.Node | None, Any]:
    """The tree of a block, and its data."""
    loader = _PlainLoader(raw)
    try:
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 2
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _note_lines(value, (*path, key.value), lines)
            lines[(*path, key.value)] = key.start_mark.line + 2
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _note_lines(value, (*path, position), lines)


def write_facts(text: str, changes: Mapping[str, Any]) -> str:
    """The card with these facts in its block instead: None takes one away, a new one stands at the end.

    Everything else stays as it was written, order and comments too; where the block is written so that this cannot be,
    it is written anew in its order. Raises ValueError when the block is not read, or would become too large.
    """
    card = read_card(text)
    expected = {**card.facts, **changes}
    expected = {name: value for name, value in expected.items() if name not in changes or value is not None}
    if expected == card.facts:
        return text
    for raw in _ways(split(text)[0], changes, expected):
        written = f"---\n{raw}---\n{card.body}"
        try:
            if read_card(written).facts == expected:
                return written
        except ValueError:
            continue
    raise ValueError("The YAML block at the top would become too large.")


def _ways(raw: str, changes: Mapping[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """The block with as little changed as can be, then written anew."""
    patched = _patched(raw, changes)
    if patched is not None:
        yield patched
    yield block(expected)


def _patched(raw: str, changes: Mapping[str, Any]) -> str | None:
    """The block with only the lines of these facts replaced, None where its facts do not begin lines of their own."""
    found = _read(raw)
    if found.starts is None:
        return None
    pieces = [raw[: found.starts[0][1]] if found.starts else raw]
    ends = [*(start for _, start in found.starts[1:]), len(raw)]
    for (name, start), end in zip(found.starts, ends, strict=False):
        piece = raw[start:end]
        if name in changes:
            value = changes[name]
            written = _indented(block({name: value}), found.depth) if value is not None else ""
            piece = written + _comments_at_the_end(piece)
        pieces.append(piece)
    known = {name for name, _ in found.starts}
    new = {name: value for name, value in changes.items() if name not in known and value is not None}
    if new:
        pieces.append(_indented(block(new), found.depth))
    return "".join(pieces)


def _comments_at_the_end(piece: str) -> str:
    lines = piece.split("\n")
    kept = len(lines)
    while kept > 1 and (not lines[kept - 1].strip() or lines[kept - 1].lstrip().startswith("#")):
        kept -= 1
    return "\n".join(lines[kept:])


def _indented(text: str, depth: int) -> str:
    return "".join(f"{' ' * depth}{line}\n" for line in text.splitlines()) if depth else text


def block(facts: Mapping[str, Any]) -> str:
    """Facts as the lines of a block."""
    if not facts:
        return ""
    return yaml.dump(
        dict(facts),
        Dumper=_PlainDumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
        default_flow_style=False,
    )


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


class _PlainDumper(yaml.SafeDumper):
    """Writes what _PlainLoader reads as the same again: no anchors, and quotes around text that either YAML takes for
    something else.
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PlainDumper.yaml_implicit_resolvers = {
    first: [
        *_PlainLoader.yaml_implicit_resolvers.get(first, []),
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {*_PlainLoader.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
}
