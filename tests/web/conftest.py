"""What page tests share: a browser per person, and models that have something to show."""

from __future__ import annotations

import pytest
from django.test import Client

from models_app.models import Visibility
from tests import builders
from tests import people as standing
from tests.web.reading import Browser

NAME = "risk/fraud-detector"


class Browsers:
    """`pages.bob.get("/")`: a logged-in browser per person; `pages.anonymous` is nobody."""

    def __init__(self, people: standing.People) -> None:
        self._people = people

    def __getattr__(self, name: str) -> Browser:
        actor = getattr(self._people, name)
        browser = Browser()
        if actor.user:
            browser.force_login(actor.user)
        setattr(self, name, browser)
        return browser

    def strict(self, name: str) -> Client:
        """A browser of that person whose forms are checked for the token, as in production."""
        client = Client(enforce_csrf_checks=True)
        client.force_login(getattr(self._people, name).user)
        return client


@pytest.fixture
def pages(people) -> Browsers:
    return Browsers(people)


def life(people, name: str, **fields):
    """A model with v1 archived, v2 in production and v3 in dev."""
    made = builders.model(name, by=people.alice, **fields)
    for _ in range(2):
        builders.promoted(made, by=people.alice, approver=people.carol)
    builders.complete_version(made, by=people.alice)
    made.refresh_from_db()
    return made


@pytest.fixture
def model(people):
    """risk/fraud-detector: v2 is in production, v1 is what it would be rolled back to, v3 is new."""
    return life(people, NAME, purpose="Finds fraud.", owner="alice")


@pytest.fixture
def private(people):
    """risk/secret, which only team risk may know of; its life is that of `model`."""
    return life(people, "risk/secret", visibility=Visibility.TEAM, purpose="Xylophone.", tags=["hushed"])
