"""Walking the pages gives every row once, in order, whatever ties and empty values there are."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat

from models_app.http import paging
from models_app.models import Experiment, Run
from models_app.registry.errors import Invalid

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def runs(db):
    dice = random.Random(7)
    experiments = [Experiment.objects.create(name=name) for name in ("b", "a", "ä")]
    Run.objects.bulk_create(
        Run(
            uid=f"{number:032x}",
            name=dice.choice(["", "a", "b", "B"]),
            experiment=dice.choice(experiments),
            started_at=START + timedelta(microseconds=dice.randrange(5)),
            ended_at=dice.choice([None, START, START + timedelta(days=1)]),
        )
        for number in range(57)
    )
    return Run.objects.select_related("experiment")


def walk(queryset, order, limit):
    cursor, rows, pages = None, [], 0
    while True:
        page = paging.keyset_page(queryset, order=order, cursor=cursor, limit=limit)
        rows += page.items
        pages += 1
        if page.next_cursor is None:
            return rows, pages
        assert len(page.items) == limit
        cursor = page.next_cursor


@pytest.mark.parametrize(
    "order",
    [
        [("id", "asc")],
        [("started_at", "desc"), ("id", "desc")],
        [("started_at", "desc"), ("id", "asc")],
        [("ended_at", "desc"), ("id", "desc")],
        [("ended_at", "asc"), ("name", "desc"), ("id", "asc")],
        [("name", "asc"), ("ended_at", "desc"), ("started_at", "asc"), ("id", "desc")],
        [("experiment__name", "asc"), ("pk", "desc")],
        [("label", "desc"), ("pk", "desc")],
    ],
)
@pytest.mark.parametrize("limit", [1, 10, 19, 57, 100])
def test_every_row_once_and_in_order(runs, order, limit):
    runs = runs.annotate(label=Concat("name", Value("-"), "experiment__name"))
    rows, pages = walk(runs, order, limit)
    assert len({row.pk for row in rows}) == len(rows) == 57
    assert pages == -(-57 // limit)
    whole = [
        F(name).desc(nulls_last=True) if way == "desc" else F(name).asc(nulls_last=True)
        for name, way in order
    ]
    assert [row.pk for row in rows] == [row.pk for row in runs.order_by(*whole)]


def test_rows_as_dictionaries(runs):
    rows, _ = walk(runs.values("pk", "name"), [("name", "asc"), ("pk", "asc")], 10)
    assert len(rows) == 57


def test_new_rows_in_front_move_nothing(runs):
    order = [("id", "desc")]
    first = paging.keyset_page(runs, order=order, cursor=None, limit=10)
    Run.objects.create(uid="f" * 32, experiment=first.items[0].experiment)
    second = paging.keyset_page(runs, order=order, cursor=first.next_cursor, limit=10)
    assert second.items[0].pk == first.items[-1].pk - 1


def test_a_page_is_one_query(runs, django_assert_num_queries):
    cursor = paging.keyset_page(runs, order=[("id", "asc")], cursor=None, limit=10).next_cursor
    with django_assert_num_queries(1):
        paging.keyset_page(runs, order=[("id", "asc")], cursor=cursor, limit=10)


def test_no_rows_is_one_empty_page(db):
    page = paging.keyset_page(Run.objects.all(), order=[("id", "asc")], cursor="", limit=10)
    assert (page.items, page.next_cursor) == ([], None)


@pytest.mark.parametrize(
    "cursor",
    ["x", "a:b", "%00", "é", "x" * 5000, "W10:AAAA", paging.encode([("id", "asc")], [5])[:-1], "\x00"],
)
def test_a_foreign_cursor_is_refused(cursor):
    with pytest.raises(Invalid, match="no cursor of ours"):
        paging.decode(cursor, [("id", "asc")])


def test_a_cursor_keeps_to_its_order():
    cursor = paging.encode([("name", "asc"), ("id", "asc")], ["zoë", 5])
    assert paging.decode(cursor, [("name", "asc"), ("id", "asc")]) == ["zoë", 5]
    with pytest.raises(Invalid, match="another order"):
        paging.decode(cursor, [("name", "desc"), ("id", "asc")])


def test_a_cursor_fits_into_an_address():
    cursor = paging.encode([("at", "desc"), ("id", "desc")], [START, 10**15])
    assert all(char.isalnum() or char in "-_:" for char in cursor)
    assert paging.decode(cursor, [("at", "desc"), ("id", "desc")]) == [START, 10**15]
