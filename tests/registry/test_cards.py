import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.registry.cards import render

HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "![x](javascript:alert(1))",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    "<a href='x' onclick='y'>z</a>",
    "<iframe src=//x></iframe>",
    "<style>*{display:none}</style>",
    "<base href='//evil'>",
    "<form action=//evil><input name=x></form>",
    '[x](http://a"onmouseover="alert(1))',
    "```<script>\nx\n```",
    "# <b onmouseover=x>t</b>",
    "[a]: javascript:alert(1)\n\n[a]",
    "<!-- --><script>x</script>",
    "&lt;script&gt;",
]
TAGS = re.compile(r"<\s*(script|img|svg|iframe|style|base|form|input|object|embed|link|meta)", re.IGNORECASE)
ATTRIBUTES = re.compile(r"<[^>]+\s(on\w+|style|srcdoc|src)\s*=", re.IGNORECASE)
SCHEMES = re.compile(
    r"""href\s*=\s*["']?\s*(?!https?:|mailto:|#|/|\.|\w+[/."'#?]|[^:"']*["'])""", re.IGNORECASE
)


def harmless(html: str) -> bool:
    return not (
        TAGS.search(html)
        or ATTRIBUTES.search(html)
        or "javascript:" in re.sub(r">[^<]*<", "><", html).lower()
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_cards(text):
    html = render(text).html
    assert harmless(html), html


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "text", "\n\n", "`", "*", "[", "](", ")", "<", ">", "# "]), max_size=12
    )
)
def test_no_mixture_gets_through(parts):
    assert harmless(render("".join(parts)).html)


@given(st.text(max_size=500))
def test_any_text_renders(text):
    assert harmless(render(text).html)


def test_headings_make_a_table_of_contents():
    card = render("# Data\n\n## Data\n\n### `code` *and* text\n\n###### deep")
    assert [(heading.level, heading.id) for heading in card.toc] == [
        (2, "card-data"),
        (3, "card-data-2"),
        (4, "card-code-and-text"),
        (6, "card-deep"),
    ]
    assert '<h2 id="card-data">Data</h2>' in card.html


def test_front_matter_is_left_out_and_images_become_links():
    html = render("---\nlicense: mit\n---\nHello ![plot](https://x.example/p.png)").html
    assert "license" not in html
    assert '<a href="https://x.example/p.png" rel="nofollow noopener noreferrer">Image: plot</a>' in html


def test_tables_and_strikethrough():
    html = render("| a | b |\n|---|---|\n| 1 | ~~2~~ |").html
    assert "<table>" in html
    assert "<s>2</s>" in html


def test_deep_nesting_ends():
    assert render(">" * 10_000 + "x").html
    assert render("[" * 20_000).html
    assert render("*a " * 20_000).html
