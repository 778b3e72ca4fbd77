"""Model cards: Markdown that anybody may write, made into HTML that nobody can misuse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_RENDERED = 500_000
_TAGS = {
    *(
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "kbd",
        "li",
    ),
    *("ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n.*?\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_NOT_WORD = re.compile(r"[^\w]+")


@dataclass(frozen=True, slots=True)
class Heading:
    """An entry of the table of contents. `level` is 2 to 6."""

    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """A card ready for a page. `html` is safe to mark as such."""

    html: str
    toc: tuple[Heading, ...]


@cache
def _markdown() -> MarkdownIt:
    # Raw HTML stays text; nesting is bounded, so that a hostile card costs no more than a long one.
    return MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable(
        ["table", "strikethrough"]
    )


def render(markdown: str) -> Card:
    """HTML and table of contents of a card; YAML front matter is left out, headings start at level 2.

    Links go to http, https, mailto and places on the page; images become links, for they would tell others who reads.
    """
    text = _FRONT_MATTER.sub("", markdown[:MAX_RENDERED], count=1)
    tokens = _markdown().parse(text)
    toc: list[Heading] = []
    _images_to_links(tokens)
    _number_headings(tokens, toc)
    html = _markdown().renderer.render(tokens, _markdown().options, {})
    safe = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, **{f"h{level}": {"id"} for level in range(2, 7)}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
    )
    return Card(safe, tuple(toc))


def _images_to_links(tokens: list[Token]) -> None:
    for token in tokens:
        if not token.children:
            continue
        replaced: list[Token] = []
        inside = 0
        for child in token.children:
            inside += {"link_open": 1, "link_close": -1}.get(child.type, 0)
            if child.type != "image":
                replaced.append(child)
                continue
            label = Token("text", "", 0, content=f"Image: {child.content or 'without description'}")
            if inside:
                replaced.append(label)
            else:
                opening = Token("link_open", "a", 1, attrs={"href": str(child.attrGet("src") or "")})
                replaced += [opening, label, Token("link_close", "a", -1)]
        token.children = replaced


def _number_headings(tokens: list[Token], toc: list[Heading]) -> None:
    """Shift headings below the page's own h1 and give each an id that is unique and cannot clash with the page's."""
    used: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if token.type not in ("heading_open", "heading_close"):
            continue
        level = min(int(token.tag[1]) + 1, 6)
        token.tag = f"h{level}"
        if token.type == "heading_close":
            continue
        words = "".join(
            child.content
            for child in tokens[index + 1].children or []
            if child.type in ("text", "code_inline")
        )
        base = "card-" + (_NOT_WORD.sub("-", words.lower()).strip("-")[:60] or "section")
        used[base] = used.get(base, 0) + 1
        anchor = base if used[base] == 1 else f"{base}-{used[base]}"
        token.attrSet("id", anchor)
        toc.append(Heading(level, anchor, words))


def first_line(markdown: str) -> str:
    """What a card says first, as one line of at most 200 characters without Markdown's heading signs."""
    text = _FRONT_MATTER.sub("", markdown[:MAX_RENDERED], count=1)
    line = next((line.strip("# \t\r") for line in text.split("\n") if line.strip("# \t\r")), "")
    return line if len(line) <= 200 else f"{line[:199].rstrip()}…"
