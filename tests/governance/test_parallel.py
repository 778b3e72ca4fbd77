"""The same, with many people at once: what the database has to settle."""

from __future__ import annotations

import logging
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from .acting import ACTS, OFTEN, Company, Try, attempt_at
from .oracle import Oracle, check, check_chain

pytestmark = pytest.mark.django_db(transaction=True)

TIMES = int(os.environ.get("GOVERNANCE", "1"))
THREADS = 4
FOUGHT_OVER = ["risk/free", "risk/four-eyes"]
# Who may do what and what is demanded stays as it is: records of those stand in no order with those of a model.
WHAT = [one for one in [*ACTS, *OFTEN] if one not in ("give_role", "write_policy")]


def attempts(seed: int, count: int) -> list[Try]:
    chance = random.Random(seed)
    return [attempt_at(chance, FOUGHT_OVER, among=WHAT) for _ in range(count)]


def test_nothing_comes_into_production_past_its_policy_when_all_try_at_once(people):
    company, oracle = Company(people), Oracle()
    logging.disable(logging.WARNING)

    def work(seed: int) -> Exception | None:
        try:
            for one in attempts(seed, 60 * TIMES):
                company.attempt(one)
        except Exception as error:
            return error
        finally:
            connection.close()
        return None

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            errors = [error for error in pool.map(work, range(THREADS)) if error is not None]
    finally:
        logging.disable(logging.NOTSET)
    assert errors == []
    check(oracle)
    check_chain()
    assert oracle.promotions > 3
