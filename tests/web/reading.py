"""Read an answer as a browser would: what belongs to which id, and whether anything in it could run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from django.http import HttpResponse
from django.test import Client

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
ADDRESSES = {"href", "src", "action", "formaction", "xlink:href", "srcdoc", "poster", "data"}
SCHEMES = re.compile(r"[\s\x00-\x20]*(javascript|data|vbscript):", re.IGNORECASE)


class Page(HTMLParser):
    """The elements of a page, each with its attributes and the text inside it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        element = (tag, {name: value or "" for name, value in attrs}, [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag) -> None:
        names = [element[0] for element in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data) -> None:
        for _, _, text in self._open:
            text.append(data)

    def __getitem__(self, id: str) -> dict[str, str]:
        """The attributes of the element with that id."""
        return next(attrs for _, attrs, _ in self.elements if attrs.get("id") == id)

    def text(self, id: str = "main") -> str:
        """The text inside the element with that id, white space folded."""
        inside = next(text for _, attrs, text in self.elements if attrs.get("id") == id)
        return " ".join("".join(inside).split())

    def value(self, id: str) -> str:
        """What a field holds: its value, its text, or the option that is chosen."""
        tag, attrs, text = next(element for element in self.elements if element[1].get("id") == id)
        return attrs.get("value", "") if tag == "input" else "".join(text).removeprefix("\n")

    def links(self) -> list[str]:
        return [attrs["href"] for tag, attrs, _ in self.elements if tag == "a" and "href" in attrs]

    def executable(self) -> list[str]:
        """Whatever could run, load or send something that our templates do not say themselves."""
        return [f"<{tag} {attrs}>" for tag, attrs, _ in self.elements if _could_run(tag, attrs)]


def _could_run(tag: str, attrs: dict[str, str]) -> bool:
    source = attrs.get("src", "")
    if tag == "script":
        return not source.startswith("/static/") and attrs.get("type") != "application/json"
    if tag == "img" and not source.startswith(("?raw", "/static/")):
        return True
    return (
        tag in ("iframe", "object", "embed", "base", "style", "math", "animate", "foreignobject")
        or any(name.startswith("on") or name == "style" for name in attrs)
        or any(SCHEMES.match(attrs[name]) for name in ADDRESSES & attrs.keys())
    )


def as_sent(value: object) -> object:
    """Browsers send line ends of their own."""
    return value.replace("\r\n", "\n").replace("\n", "\r\n") if isinstance(value, str) else value


class Browser(Client):
    """A test client whose form for an address is what the page there shows, changed by what one types."""

    def submit(self, path: str, changes: dict[str, object] | None = None, *, form: str = "form", **extra):
        """Open a page, type `changes` into its form, and send it."""
        shown = self.get(path).context[form]
        data = {shown.add_prefix(name): shown[name].value() for name in shown.fields}
        data = {**data, **(changes or {})}
        return self.post(
            path,
            {name: as_sent(value) for name, value in data.items() if value not in (None, False)},
            **extra,
        )


def page(response: HttpResponse, status: int = 200) -> Page:
    """The page of an answer that has this status."""
    assert response.status_code == status, response
    return Page(response.content.decode())


def beside(response: HttpResponse, field: str, status: int = 422) -> str:
    """The error told next to a field, tied to it for those who hear the page."""
    shown = page(response, status)
    attrs = shown[f"id_{field}"]
    assert attrs["aria-invalid"] == "true"
    assert f"id_{field}_error" in attrs["aria-describedby"].split()
    return shown.text(f"id_{field}_error")
