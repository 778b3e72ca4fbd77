"""Random walks through what people, deployers and the clock may do: in the end stage and environments agree, or it is
seen where they do not.
"""

from __future__ import annotations

import os
import random

import pytest

from models_app.models import Deployment, Stage
from models_app.registry import (
    deployment_claims,
    deployment_reports,
    deployment_views,
    deployments,
    lifecycle,
    promotions,
)
from models_app.registry.errors import RegistryError
from tests import builders
from tests.registry.test_deployments import eu

STEPS = 14
# As many as one has time for: WALKS=200.
SEEDS = range(int(os.environ.get("WALKS", "3")))
VERSIONS = 4
MOVES = ["promote", "promote", "roll_back_the_model", "roll_back_everywhere"]


class Walk:
    """A model in three environments, of which one asks, and one starts by hand."""

    def __init__(self, people, seed):
        self.people, self.random = people, random.Random(seed)
        self.model = builders.model(by=people.alice)
        self.places = [eu(people), eu(people, "us", kind="agent"), eu(people, "lab", start="manual")]
        self.versions = [builders.complete_version(self.model, by=people.alice) for _ in range(VERSIONS)]
        self.told = []

    def go(self, acts):
        act = self.random.choice(acts)
        self.told.append(act)
        try:
            getattr(self, act)()
        except RegistryError as error:
            self.told[-1] += f" ({type(error).__name__})"

    def promote(self):
        version = self.random.choice(self.versions)
        promotions.move(version, to=Stage.PRODUCTION, by=self.people.carol, reason="r")

    def roll_back_the_model(self):
        lifecycle.rollback(self.model, by=self.people.alice, reason="r")

    def roll_back_everywhere(self):
        deployments.roll_back(self.model, by=self.people.alice, reason="r")

    def roll_back_one(self):
        deployments.roll_back(self.model, self.random.choice(self.places), by=self.people.alice, reason="r")

    def archive(self):
        current = lifecycle.current_production(self.model)
        if current is not None:
            promotions.move(current, to=Stage.ARCHIVED, by=self.people.carol)

    def order(self):
        version, place = self.random.choice(self.versions), self.random.choice(self.places)
        deployments.deploy(version, place, by=self.people.alice)

    def start(self):
        waiting = Deployment.objects.filter(state="queued", released=False).first()
        if waiting is not None:
            deployments.start(waiting, by=self.people.alice)

    def work(self):
        """What is under way comes to an end, well or not."""
        self.settle(["live", "live", "failed"])

    def work_well(self):
        self.settle(["live"])

    def settle(self, ends):
        deployment_claims.claim(self.places[1], agent="a", by=self.people.root)
        for one in Deployment.objects.unfinished().select_related("model"):
            deployment_reports.report(
                one, by=self.people.root, state=self.random.choice(ends), agent=one.holder
            )

    def end(self):
        """All that may start does, and is well."""
        for _ in range(2 * STEPS):
            self.settle(["live"])
        assert not Deployment.objects.unfinished().exists()
        assert not Deployment.objects.filter(state="queued", released=True).exists()

    def cells(self):
        [row] = deployment_views.matrix([self.model], by=self.people.root, environments=self.places)
        return row.cells


@pytest.mark.parametrize("seed", SEEDS)
def test_moves_alone_end_where_production_is(people, seed):
    walk = Walk(people, seed)
    for _ in range(STEPS):
        walk.go([*MOVES, "work_well", "start"])
    walk.end()
    production = lifecycle.current_production(walk.model)
    for cell in walk.cells()[:2]:
        assert (cell.live and cell.live.version) == production, walk.told
        assert not cell.is_in_trouble, walk.told
    lab = walk.cells()[2]
    assert lab.live is None or lab.queued is not None or lab.live.version == production


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_it_is_seen_where_they_disagree(people, seed):
    walk = Walk(people, seed)
    for _ in range(STEPS):
        walk.go([*MOVES, "roll_back_one", "archive", "order", "start", "work", "work", "work"])
    walk.end()
    production = lifecycle.current_production(walk.model)
    troubled = set(deployment_views.troubled(Deployment.objects.all()).values_list("environment", flat=True))
    for cell in walk.cells():
        runs = cell.live and cell.live.version
        assert cell.is_in_trouble == (cell.environment.pk in troubled), walk.told
        assert runs in (None, production) or cell.is_in_trouble or cell.queued is not None, walk.told
        if runs is None:
            continue
        assert runs.pk != cell.live.rollback_target_id
    if production is not None:
        assert production.rollback_target_id != production.pk
