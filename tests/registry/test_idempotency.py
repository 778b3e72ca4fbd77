import pytest

from models_app.models import IdempotencyRecord
from models_app.registry.errors import Conflict, Invalid
from models_app.registry.idempotency import KEEP, Answer, fingerprint, forget_old, remember

pytestmark = pytest.mark.django_db


def test_the_work_is_done_once(people):
    calls = []

    def work():
        calls.append(1)
        return Answer(201, {"n": len(calls)})

    first = remember("k", by=people.bob, fingerprint=fingerprint("a"), work=work)
    again = remember("k", by=people.bob, fingerprint=fingerprint("a"), work=work)
    assert (first.body, first.replayed, again.body, again.replayed) == ({"n": 1}, False, {"n": 1}, True)
    assert remember("k", by=people.alice, fingerprint=fingerprint("a"), work=work).body == {"n": 2}
    with pytest.raises(Invalid):
        remember("k", by=people.bob, fingerprint=fingerprint("b"), work=work)
    assert remember(None, by=people.bob, fingerprint="", work=work).body == {"n": 3}


def test_a_failure_is_not_remembered(people):
    def fail():
        raise Conflict("no")

    for _ in range(2):
        with pytest.raises(Conflict, match="no"):
            remember("k", by=people.bob, fingerprint="f", work=fail)
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\nb"])
def test_bad_keys(people, key):
    with pytest.raises(Invalid):
        remember(key, by=people.bob, fingerprint="f", work=lambda: Answer(200, {}))


def test_old_answers_are_forgotten(people):
    remember("k", by=people.bob, fingerprint="f", work=lambda: Answer(200, {}))
    record = IdempotencyRecord.objects.get()
    record.created_at -= KEEP
    record.save()
    answer = remember("k", by=people.bob, fingerprint="g", work=lambda: Answer(200, {"new": True}))
    assert answer.body == {"new": True}
    IdempotencyRecord.objects.update(created_at=record.created_at)
    assert forget_old() == 1


def test_parts_do_not_run_into_each_other():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
