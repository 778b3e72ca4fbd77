"""Queries that are compiled once give what the ORM gives."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from models_app.models import ModelVersion, RegisteredModel
from models_app.registry.prepared import PreparedInstances
from tests import builders

NUMBERED = PreparedInstances(
    lambda model, number: (
        ModelVersion.objects.order_by()
        .select_related("model__team", "created_by", "rollback_target", "run__experiment")
        .filter(model=model, number=number)
    ),
    int,
    int,
)
NAMED = PreparedInstances(lambda name: RegisteredModel.objects.order_by().filter(name=name), str)


def test_related_rows_come_along_and_values_are_converted(people, django_assert_num_queries):
    model = builders.model("risk/fraud", by=people.alice)
    for _ in range(2):
        builders.version(model, by=people.alice)
    for number in (1, 2):  # The second is asked with what the first compiled.
        with django_assert_num_queries(1):
            found = NUMBERED.one(model.pk, number)
            assert (found.number, found.model.team.slug, found.created_by) == (
                number,
                "risk",
                people.alice.user,
            )
            assert found.rollback_target is None
            assert found.run is None
        plain = ModelVersion.objects.get(model=model, number=number)
        assert {field.attname: getattr(found, field.attname) for field in plain._meta.concrete_fields} == {
            field.attname: getattr(plain, field.attname) for field in plain._meta.concrete_fields
        }
    assert NUMBERED.one(model.pk, 3) is None


def test_what_comes_of_it_can_be_saved(people):
    builders.model("risk/fraud", by=people.alice)
    found = NAMED.one("risk/fraud")
    found.purpose = "Scores payments."
    found.save(update_fields=["purpose"])
    assert RegisteredModel.objects.get(name="risk/fraud").purpose == "Scores payments."


def test_any_text_is_a_value(people):
    model = builders.model("risk/fraud", by=people.alice)
    assert NAMED("risk/fraud") == [model]
    for name in ("", "%s", "' OR 1=1 --", "\ue000value 0\ue000", "risk/fraud ", "é" * 300):
        assert NAMED(name) == []


def test_nothing_keeps_the_connection_of_the_thread_that_compiled():
    kept = PreparedInstances(
        lambda number: ModelVersion.objects.select_related("model").filter(pk=number), int
    )

    def compile_it():
        assert kept._rows.compiled().converters
        return weakref.ref(connections["default"])

    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(compile_it).result()
    gc.collect()
    assert used() is None
