"""Every template is used, and none reaches for other people's servers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
# Django asks for these by name.
BY_CONVENTION = {"400.html", "403.html", "403_csrf.html", "404.html", "500.html"}


def sources() -> str:
    files = [*ROOT.glob("models_app/**/*.py"), *ROOT.glob("registry_site/*.py"), *TEMPLATES.rglob("*.*")]
    return "\n".join(path.read_text() for path in files)


def test_every_template_is_used():
    text = sources()
    unused = []
    for path in TEMPLATES.rglob("*.*"):
        name = str(path.relative_to(TEMPLATES))
        overrides_admin = name.startswith(("admin/", "registration/"))
        by_status = re.fullmatch(r"errors/\d{3}\.html", name)
        if name not in BY_CONVENTION and not overrides_admin and not by_status and f'"{name}' not in text:
            unused.append(name)
    assert sorted(unused) == []


def test_nothing_is_fetched_from_elsewhere():
    loads = re.compile(
        r"""(?:<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=|@import\s+(?:url\()?|url\()\s*["']?(?:https?:)?//"""
    )
    files = [*TEMPLATES.rglob("*.html"), *ROOT.glob("static/css/*.css")]
    assert [str(path.relative_to(ROOT)) for path in files if loads.search(path.read_text())] == []


def test_no_inline_script_or_style():
    inline = re.compile(
        r"<script(?![^>]*\bsrc\b)(?![^>]*type=\"application/json\")[^>]*>|<style\b|\son[a-z]+=\"|\sstyle=\""
    )
    found = {
        str(path.relative_to(TEMPLATES)): hit[0]
        for path in TEMPLATES.rglob("*.html")
        if (hit := inline.search(path.read_text()))
    }
    assert found == {}, "The content policy refuses these in browsers."
