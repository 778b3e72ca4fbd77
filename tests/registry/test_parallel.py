"""Races that the database settles, on whichever database the suite runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from models_app.models import AuditEvent, ModelVersion, RegisteredModel, StageTransition
from models_app.registry import catalog, lifecycle, promotions
from models_app.registry.errors import AlreadyExists, Conflict
from models_app.registry.idempotency import Answer, remember
from tests import builders

pytestmark = pytest.mark.django_db(transaction=True)


def in_parallel(work, items, *, threads=10):
    """Run `work` on every item in threads of their own connection; returns results, exceptions among them."""

    def one(item):
        try:
            return work(item)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, items))


def test_a_hundred_registrations_get_a_hundred_consecutive_numbers(people):
    model = builders.model(by=people.bob)
    file = builders.stored()

    def register(_):
        return catalog.register_version(
            model, files=[file], metadata={"metrics": {"f1": 1}}, by=people.bob
        ).number

    numbers = in_parallel(register, range(100))
    assert sorted(numbers) == list(range(1, 101))
    model.refresh_from_db()
    assert (model.last_number, model.version_count, model.newest.number) == (100, 100, 100)
    assert AuditEvent.objects.filter(verb="version.registered").count() == 100


def test_parallel_promotions_leave_one_in_production(people):
    model = builders.model(by=people.bob)
    versions = [builders.complete_version(model, by=people.bob) for _ in range(6)]
    results = in_parallel(
        lambda version: promotions.move(version, to="production", by=people.carol), versions
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert ModelVersion.objects.in_stage("production").count() == 1
    assert ModelVersion.objects.in_stage("archived").count() == 5
    moves = StageTransition.objects.count()
    assert moves == 11
    assert AuditEvent.objects.filter(verb="version.moved").count() == moves


def test_two_rollbacks_at_once_go_back_one_by_one(people):
    model = builders.model(by=people.bob)
    for _ in range(3):
        builders.promoted(model, by=people.bob, approver=people.carol)
    in_parallel(lambda _: lifecycle.rollback(model, by=people.carol, reason="bad"), range(2))
    assert [version.number for version in ModelVersion.objects.in_stage("production")] == [1]


def test_one_of_many_registers_the_name(people):
    results = in_parallel(lambda _: builders.model("risk/x", by=people.bob), range(8))
    assert sum(isinstance(result, RegisteredModel) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 7


def test_one_call_registrations_of_a_new_model_all_arrive(people):
    file = builders.stored()

    def register(_):
        return catalog.register(
            "risk/new", create_model=True, files=[file], metadata={}, by=people.bob
        ).number

    assert sorted(in_parallel(register, range(12))) == list(range(1, 13))


def test_the_same_blobs_in_another_order_do_not_deadlock(people):
    model = builders.model(by=people.bob)
    contents = [f"blob {i}".encode() for i in range(20)]

    def register(turn):
        order = contents if turn % 2 else contents[::-1]
        files = [builders.stored(f"{turn}/{i}", content) for i, content in enumerate(order)]
        return catalog.register_version(model, files=files, metadata={}, by=people.bob).number

    assert sorted(in_parallel(register, range(10))) == list(range(1, 11))


def test_a_retried_request_works_once_even_at_the_same_time(people):
    model = builders.model(by=people.bob)
    file = builders.stored()

    def work():
        return Answer(201, catalog.register_version(model, files=[file], metadata={}, by=people.bob).number)

    results = in_parallel(lambda _: remember("k", by=people.bob, fingerprint="f", work=work), range(8))
    assert {result.body for result in results if isinstance(result, Answer)} == {1}
    assert all(isinstance(result, Answer | Conflict) for result in results)
    assert ModelVersion.objects.count() == 1


def test_deleting_while_registering_leaves_no_orphans(people):
    model = builders.model(by=people.bob)
    file = builders.stored()

    def act(turn):
        if turn == 5:
            return catalog.delete_model(model, by=people.alice)
        return catalog.register_version(model, files=[file], metadata={}, by=people.bob)

    in_parallel(act, range(10))
    assert not RegisteredModel.objects.exists()
    assert not ModelVersion.objects.exists()
