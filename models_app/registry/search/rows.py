"""What a result row shows, loaded for a page at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce, NullIf

from models_app.models import ModelTag, ModelVersion, RegisteredModel, VersionMetric
from models_app.registry.metrics import higher_is_better

from . import index

# What result rows show of a model, and of each of its three versions; loading all would cost more than finding.
_LOADED = [
    *(field.name for field in RegisteredModel._meta.concrete_fields if field.name != "card"),
    *(f"team__{field}" for field in ("slug", "name")),
    *(f"owner__{field}" for field in ("username", "first_name", "last_name")),
    *(
        f"{version}__{field}"
        for version in ("newest", "newest_staging", "newest_production")
        for field in ("model", "number", "stage", "last_promoted_at", "framework")
    ),
]
_MEASURED = ("version_id", "name", "value", "dataset", "split", "higher_is_better")


@dataclass(frozen=True, slots=True)
class RowMetric:
    """The headline metric of the version that counts, and of the version before (None when not measured there)."""

    name: str
    value: float
    former: float | None
    higher_is_better: bool | None
    dataset: str
    split: str

    @property
    def change(self) -> float | None:
        return None if self.former is None else self.value - self.former


@dataclass(frozen=True, slots=True)
class SearchRow:
    """One found model with what a result row shows; reading it costs no query.

    `model` comes without its card, but with team, owner, newest, newest_staging and newest_production, of which only
    names, number, stage, last promotion and framework are loaded.
    `current` is the version that counts: in production, else the newest; None for a model without versions.
    """

    model: RegisteredModel
    current: ModelVersion | None
    metric: RowMetric | None
    tags: tuple[ModelTag, ...]


def load(ids: list[int]) -> list[SearchRow]:
    """Rows of these models in this order, in three statements: models with versions, tags, metrics."""
    current = Coalesce("newest_production_id", "newest_id")
    before = ModelVersion.objects.filter(
        model=OuterRef("pk"),
        number__lt=Coalesce(OuterRef("newest_production__number"), OuterRef("newest__number")),
    )
    first_metric = (
        VersionMetric.objects.filter(version=OuterRef("current_id")).order_by("name").values("name")
    )
    models = {
        model.pk: model
        for model in RegisteredModel.objects.filter(pk__in=ids)
        .select_related("team", "owner", "newest", "newest_staging", "newest_production")
        .only(*_LOADED)
        .annotate(
            current_id=current,
            former_id=Coalesce(
                F("newest_production__rollback_target_id"),
                Subquery(before.order_by("-number").values("pk")[:1]),
            ),
            headline=Coalesce(NullIf("headline_metric", Value("")), Subquery(first_metric[:1])),
        )
    }
    tags: defaultdict[int, list[ModelTag]] = defaultdict(list)
    for tag in ModelTag.objects.filter(model__in=ids):
        tags[tag.model_id].append(tag)
    versions = {pk for model in models.values() for pk in (model.current_id, model.former_id) if pk}
    names = {model.headline for model in models.values() if model.headline}
    headlines = {
        (pk, model.headline) for model in models.values() for pk in (model.current_id, model.former_id)
    }
    measured: defaultdict[tuple[int, str], list[VersionMetric]] = defaultdict(list)
    found = VersionMetric.objects.filter(version__in=versions, name__in=names).order_by("dataset", "split")
    # A version has other models' headline metrics too: only what is shown becomes an object.
    for values in found.values_list(*_MEASURED):
        if values[:2] in headlines:
            measured[values[:2]].append(VersionMetric(**dict(zip(_MEASURED, values, strict=True))))
    return [
        SearchRow(
            model=model,
            current=model.newest_production or model.newest,
            metric=_row_metric(
                measured[model.current_id, model.headline], measured[model.former_id, model.headline]
            ),
            tags=tuple(tags[model.pk]),
        )
        for pk in ids
        if (model := models.get(pk))
    ]


def _row_metric(now: list[VersionMetric], before: list[VersionMetric]) -> RowMetric | None:
    """The leading measurement, compared with the same measurement (dataset and split too) of the version before."""
    for metric in index.leading(now).values():
        same = [old for old in before if (old.dataset, old.split) == (metric.dataset, metric.split)]
        direction = metric.higher_is_better
        return RowMetric(
            name=metric.name,
            value=metric.value,
            former=same[0].value if same else None,
            higher_is_better=higher_is_better(metric.name) if direction is None else direction,
            dataset=metric.dataset,
            split=metric.split,
        )
    return None
