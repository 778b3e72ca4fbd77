"""No sequence of calls through any door lets a version into production past its policy, but for an emergency on record.

`GOVERNANCE=10 script/test tests/governance` tries ten times as much, at random.
"""

from __future__ import annotations

import copy
import os
from random import Random

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from models_app.models import ModelVersion, PromotionRequest

from .acting import MODELS, Company, Try, attempt_at, story
from .oracle import Oracle, check, check_chain

pytestmark = pytest.mark.long

TIMES = int(os.environ.get("GOVERNANCE", "0"))
BUDGET = settings(
    max_examples=6 * max(TIMES, 1),
    stateful_step_count=10,
    deadline=None,
    derandomize=not TIMES,
    database=None,
    # A shorter story takes minutes to find.
    phases=[Phase.generate, *([Phase.shrink] if TIMES else [])],
    suppress_health_check=list(HealthCheck),
)


def machine_of(company: Company, told: Oracle, tally: list[int]) -> type[RuleBasedStateMachine]:
    """A machine whose every life starts from the same company, and leaves no trace."""

    class Governance(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.oracle = copy.deepcopy(told)
            self.undo = transaction.atomic()
            self.undo.__enter__()

        @initialize(model=st.sampled_from(list(MODELS)))
        def most_quarrel_about(self, model: str) -> None:
            self.model = model

        @rule(chance=st.integers(0, 2**32).map(Random))
        def some_try(self, chance: Random) -> None:
            for _ in range(2):
                self.somebody_tries(attempt_at(chance, [self.model]))

        @rule(chance=st.integers(0, 2**32).map(Random))
        def a_story_goes_on(self, chance: Random) -> None:
            model = chance.choice([self.model, "risk/four-eyes", "risk/strict"])
            for one in story(chance, model):
                self.somebody_tries(one)

        def somebody_tries(self, one: Try) -> None:
            note(str(one))
            before = in_production(company.models[one.model])
            company.attempt(one)
            check(self.oracle)
            now = in_production(company.models[one.model])
            if (added := now - before) and before & now:
                assert may_stand_beside(company, one, added), f"{one} left {before} beside {added}"

        @invariant()
        def nothing_is_in_production_that_should_not_be(self) -> None:
            check(self.oracle)

        def teardown(self) -> None:
            tally.append(self.oracle.promotions)
            check_chain()
            transaction.set_rollback(True)
            self.undo.__exit__(None, None, None)

    return Governance


def in_production(model: int) -> set[int]:
    return set(ModelVersion.objects.filter(model=model, stage="production").values_list("number", flat=True))


def may_stand_beside(company: Company, one: Try, added: set[int]) -> bool:
    """Whether the former production version was to be kept: by this move, or by the request it was decided in."""
    decided = PromotionRequest.objects.filter(
        model=company.models[one.model], version__number__in=added, state="promoted"
    ).order_by("-decided_at", "-id")
    newest = decided.first()
    asked = newest is not None and newest.keep_former
    if one.what != "promote":
        return asked
    return asked or (one.how % 2 == 0 if one.door == "MLflow" else one.how % 2 == 1)


@pytest.fixture
def company(people) -> Company:
    return Company(people)


def test_nothing_comes_into_production_past_its_policy(company):
    told, tally = Oracle(), []
    check(told)
    run_state_machine_as_test(machine_of(company, told, tally), settings=BUDGET)
    # A machine that lets nothing in would find nothing.
    assert sum(tally) > BUDGET.max_examples, tally
