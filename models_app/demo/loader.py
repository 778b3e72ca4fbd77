"""Lets the demo company live: every story goes on at its own times, and the verbs are called in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from models_app.models import Notice, OutboxEvent, RegisteredModel, Team, User
from models_app.registry import notices, people, service_accounts, storage_count, storage_use
from models_app.registry.access import Actor
from models_app.registry.search import index as search_index

from . import governance, monitoring, serving, webhooks
from .lives import live
from .logins import LOGINS, PASSWORD
from .story import MACHINES, PEOPLE, STORIES, TEAMS

DAYS = 330
# Days. A line needs no more points.
COUNTED_EVERY = 10


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Within, it is `moment`: the verbs stamp what they write with it, and so do the defaults of columns, which hold on
    to the very function that tells the time.
    """

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return moment

    real = timezone.datetime
    timezone.datetime = Stopped
    try:
        yield
    finally:
        timezone.datetime = real


@contextmanager
def indexed_at_the_end() -> Iterator[None]:
    """Within, the verbs leave the search index alone; afterwards it is built once instead of hundreds of times."""
    real = search_index.refresh
    search_index.refresh = lambda model_ids: None
    try:
        yield
    finally:
        search_index.refresh = real
    real(list(RegisteredModel.objects.values_list("pk", flat=True)))


def is_loaded() -> bool:
    """Whether the demo company is there."""
    return (
        Team.objects.filter(slug__in=TEAMS).count() == len(TEAMS)
        and RegisteredModel.objects.filter(name=STORIES[0].name).exists()
    )


@transaction.atomic
def load(*, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Make the whole company, or nothing of it. Raises AlreadyExists when other data is in the way."""
    now = timezone.now()
    start = now - timedelta(days=DAYS)
    with at(start):
        actors = _people()
        serving.set_up(actors)
    # Stories wait at the moment of what they do next; the one whose moment comes first goes on.
    waiting = []
    for number, story in enumerate(STORIES):
        telling = live(story, actors, born=start + timedelta(days=2 + number), today=now)
        heapq.heappush(waiting, (next(telling), number, telling))
    counting = _counted(start, now)
    heapq.heappush(waiting, (next(counting), len(STORIES), counting))
    with indexed_at_the_end():
        while waiting:
            moment, number, telling = heapq.heappop(waiting)
            with at(moment):
                following = next(telling, None)
            if following is not None:
                heapq.heappush(waiting, (following, number, telling))
            else:
                progress(max(0, len(STORIES) - len(waiting)), len(STORIES))
        serving.freeze(actors, at=at, now=now)
        governance.tell(actors, at=at, now=now)
        serving.tell(actors, at=at, now=now)
        monitoring.tell(actors, at=at, now=now)
        webhooks.tell(actors, at=at, now=now)
    storage_count.count()
    _all_told()


def _counted(start: datetime, now: datetime) -> Iterator[datetime]:
    """What the worker does every day: what teams hold is added up and noted."""
    for days in range(10, (now - start).days, COUNTED_EVERY):
        yield start + timedelta(days=days)
        storage_use.fold()
        storage_count.count()


def _all_told() -> None:
    """What happened so far was told when it happened: the first start floods nobody's mailbox."""
    for event in OutboxEvent.objects.filter(name__startswith="promotion."):
        notices.write(event)
    Notice.objects.update(sent_at=F("created_at"), due_at=None)
    OutboxEvent.objects.filter(done_at=None).update(done_at=timezone.now())


def _people() -> dict[str, Actor]:
    system = Actor.system(door="shell")
    teams = {
        slug: people.create_team(slug, name=name, description=text, by=system)
        for slug, (name, text) in TEAMS.items()
    }
    logins = {login["username"] for login in LOGINS}
    users: dict[str, User] = {}
    for username, (first, last, roles) in PEOPLE.items():
        if username in MACHINES:
            given = {teams[slug]: role for slug, role in roles.items()}
            users[username] = service_accounts.create_account(
                username, name=f"{first} {last}", roles=given, by=system
            )
            people.create_token(
                user=users[username], name=MACHINES[username], scopes=["read", "write"], by=system
            )
            continue
        users[username] = people.create_user(
            username,
            email=f"{username}@acme.example",
            password=PASSWORD if username in logins else None,
            first_name=first,
            last_name=last,
            is_staff=username == "owner",
            by=system,
        )
        for slug, role in roles.items():
            people.set_role(teams[slug], user=users[username], role=role, by=system)
        people.update_profile(users[username], default_team=teams[next(iter(roles))], by=system)
    users["admin"] = people.create_user(
        "admin",
        email="admin@acme.example",
        password=PASSWORD,
        first_name="Sam",
        last_name="Okafor",
        is_site_admin=True,
        by=system,
    )
    # Who tries the site with her token registers plain names too.
    people.update_profile(users["admin"], default_team=teams["platform"], by=system)
    return {
        username: Actor.of(user, door="api" if username in MACHINES else "web")
        for username, user in users.items()
    }
