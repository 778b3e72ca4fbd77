"""A real Chromium in front of a real server."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.people import PASSWORD

AXE = Path(__file__).parent / "vendor/axe-core-4.14.1/axe.min.js"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def chromium():
    """The browser of this test run. Without one the tests are skipped on a desk and fail in CI."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "NO BROWSER: install chromium (Debian: apt-get install chromium) to run the browser tests"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium, shared_live):
    """`new_page("bob", color_scheme="dark", viewport=PHONE)`: a page of a fresh browser, logged in when named.

    At the end of the test every page must have been free of script errors and of refusals by the content policy.
    """
    contexts, troubles = [], []

    def open_page(name: str | None = None, **options):
        context = chromium.new_context(base_url=shared_live.url, **{"viewport": DESKTOP, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"{page.url}: {error}"))
        page.on(
            "console", lambda said: troubles.append(f"{page.url}: {said.text}") if is_trouble(said) else None
        )
        if name:
            login(page, name)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles, "\n".join(troubles)


def is_trouble(said) -> bool:
    """Errors in the console, but for answers of 4xx, which tests provoke."""
    return said.type == "error" and "the server responded with a status of 4" not in said.text


@pytest.fixture
def page(new_page):
    """A page nobody is logged in on."""
    return new_page()


def login(page, name: str) -> None:
    """Through the form, as people do."""
    page.goto("/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "/login/" not in url)


@pytest.fixture(scope="session")
def axe():
    """`axe(page)` asserts that axe-core finds nothing against WCAG 2.2 AA and good practice.

    With `colours` it asks only what a colour scheme could change.
    """
    source = AXE.read_text()

    def check(page, *, ignore: tuple[str, ...] = (), colours: bool = False) -> None:
        if not page.evaluate("'axe' in window"):
            page.evaluate(source)
        rules = {"runOnly": COLOUR_RULES} if colours else {}
        found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
        told = [
            {
                "rule": rule["id"],
                "help": rule["help"],
                "where": [node["html"][:200] for node in rule["nodes"][:3]],
            }
            for rule in found["violations"]
            if rule["id"] not in ignore
        ]
        assert not told, f"{page.url}\n{json.dumps(told, indent=1)}"

    return check
