"""Keeping what search looks at in step with the tables. Verbs call `refresh` in their own transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType

from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Left

from models_app.models import (
    ModelTag,
    ModelVersion,
    RegisteredModel,
    SearchDocument,
    SearchMetric,
    VersionMetric,
)
from models_app.registry import prepared
from models_app.registry.prepared import Prepared

from . import postgres, sqlite, text

# Dataset names of this many newest versions are words of the model.
RECENT_VERSIONS = 5
_SPLITS = ("test", "", "validation", "valid", "val", "eval", "holdout")
_WRITTEN = [field.attname for field in SearchDocument._meta.concrete_fields if not field.primary_key]


_TAGS = Prepared(lambda model: ModelTag.objects.filter(model=model).values_list("key", "value"), int)
_DATASETS = Prepared(
    lambda model, after: (
        ModelVersion.objects.filter(model=model, number__gt=after)
        .exclude(dataset_name="")
        .order_by()
        .values_list("dataset_name")
        .distinct()
    ),
    int,
    int,
)
_KEYWORDS = Prepared(lambda pk: SearchDocument.objects.filter(pk=pk).values_list("keywords"), int)
_FRAMEWORK = Prepared(lambda pk: ModelVersion.objects.filter(pk=pk).order_by().values_list("framework"), int)


def words() -> ModuleType:
    """The word index of the database in use: `postgres` or `sqlite`, two modules with the same functions."""
    return postgres if connection.vendor == "postgresql" else sqlite


def leading(metrics: Iterable[VersionMetric]) -> dict[str, VersionMetric]:
    """One measurement per metric name: the test split's if there is one, else the overall or a validation value."""
    best: dict[str, tuple[int, VersionMetric]] = {}
    for metric in metrics:
        rank = _SPLITS.index(metric.split) if metric.split in _SPLITS else len(_SPLITS)
        if metric.name not in best or rank < best[metric.name][0]:
            best[metric.name] = (rank, metric)
    return {name: metric for name, (_, metric) in best.items()}


def add(model: RegisteredModel, tags: Mapping[str, str]) -> None:
    """The document of a new model, which has tags but no versions yet. One statement."""
    words = [part for tag in tags.items() for part in tag]
    prepared.insert(document_of(model, tags=words, datasets=()))


def add_tag(model: RegisteredModel, key: str, value: str) -> None:
    """Take over a tag that the model did not have before, and the time. One statement."""
    found = " ".join(text.name_words(f"{key} {value[: text.MAX_BODY]}"))
    SearchDocument.objects.filter(pk=model.pk).update(
        keywords=Left(Concat("keywords", Value(f" {found}")), text.MAX_BODY), updated_at=model.updated_at
    )


def tags_changed(model: RegisteredModel) -> None:
    """Take over tags that were changed or deleted, and the time."""
    tags = [part for tag in _TAGS(model.pk) for part in tag]
    datasets = [name for (name,) in _DATASETS(model.pk, model.last_number - RECENT_VERSIONS)]
    current = model.newest_production_id or model.newest_id
    framework = _FRAMEWORK(current)[0][0] if current else ""
    document = SearchDocument(
        model_id=model.pk,
        keywords=_keywords(model, tags=tags, datasets=datasets, framework=framework),
        updated_at=model.updated_at,
    )
    prepared.update(document, "keywords", "updated_at")


def touch(model: RegisteredModel) -> None:
    """Take over what changes when a version moves or is named: stages, counts and the time. One statement."""
    _touch(model, SearchDocument(model_id=model.pk))


def _touch(model: RegisteredModel, document: SearchDocument, *columns: str) -> None:
    document.in_production = model.newest_production_id is not None
    document.in_staging = model.newest_staging_id is not None
    document.version_count = model.version_count
    document.updated_at = model.updated_at
    prepared.update(document, *columns, "in_production", "in_staging", "version_count", "updated_at")


def version_added(model: RegisteredModel, version: ModelVersion, *, has_metrics: bool) -> None:
    """Take over a new version: its words are added to what is there, and it counts where nothing is in production.

    Words of its predecessors stay till the next full refresh.
    """
    counts = model.newest_production_id is None
    if counts and (has_metrics or model.version_count > 1):
        SearchMetric.objects.filter(document=model.pk).delete()
        measured = leading(VersionMetric.objects.filter(version=version)) if has_metrics else {}
        SearchMetric.objects.bulk_create(
            [
                SearchMetric(document_id=model.pk, name=name, value=metric.value)
                for name, metric in measured.items()
            ]
        )
    document = SearchDocument(
        model_id=model.pk, library=model.library, license=model.license or (version.license if counts else "")
    )
    columns = ["library"] if model.library else []
    if document.license:
        columns.append("license")
    words = [version.dataset_name, version.framework if counts else "", model.library]
    for (known,) in _KEYWORDS(model.pk):
        there = set(known.split())
        if new := [word for part in words for word in text.name_words(part) if word not in there]:
            document.keywords = " ".join([known, *dict.fromkeys(new)])[: text.MAX_BODY]
            columns.append("keywords")
    _touch(model, document, *columns)


def forget(model: RegisteredModel) -> None:
    """Take a model out of search."""
    SearchDocument.objects.filter(pk=model.pk).delete()


@transaction.atomic(savepoint=False)
def refresh(model_ids: Sequence[int]) -> None:
    """Rebuild documents and metrics of these models; ids of deleted models are no error. Prompts have none.

    Eight statements whatever the number of models. The caller holds the locks of what it changed.
    """
    models = list(
        RegisteredModel.objects.filter(pk__in=model_ids, is_prompt=False).select_related(
            "team", "newest", "newest_production"
        )
    )
    found = [model.pk for model in models]
    tags: defaultdict[int, list[str]] = defaultdict(list)
    for tag in ModelTag.objects.filter(model__in=found):
        tags[tag.model_id] += [tag.key, tag.value]
    datasets: defaultdict[int, list[str]] = defaultdict(list)
    recent = ModelVersion.objects.filter(
        model__in=found, number__gt=F("model__last_number") - RECENT_VERSIONS
    ).exclude(dataset_name="")
    for model_id, name in recent.values_list("model_id", "dataset_name").distinct():
        datasets[model_id].append(name)
    documents = [document_of(model, tags=tags[model.pk], datasets=datasets[model.pk]) for model in models]
    SearchDocument.objects.bulk_create(
        documents, update_conflicts=True, unique_fields=["model"], update_fields=_WRITTEN, batch_size=500
    )
    current = {
        version.pk: model.pk for model in models if (version := model.newest_production or model.newest)
    }
    measured: defaultdict[int, list[VersionMetric]] = defaultdict(list)
    for metric in VersionMetric.objects.filter(version__in=current).order_by("name", "dataset", "split"):
        measured[current[metric.version_id]].append(metric)
    SearchMetric.objects.filter(document__in=found).delete()
    SearchMetric.objects.bulk_create(
        [
            SearchMetric(document_id=model_id, name=name, value=metric.value)
            for model_id, metrics in measured.items()
            for name, metric in leading(metrics).items()
        ],
        batch_size=500,
    )


def document_of(model: RegisteredModel, *, tags: Iterable[str], datasets: Iterable[str]) -> SearchDocument:
    """The document of a model whose team and newest versions are loaded."""
    current = model.newest_production or model.newest
    return SearchDocument(
        model=model,
        title=" ".join(text.name_words(model.name)),
        summary=" ".join(text.words(f"{model.purpose} {model.task}")),
        keywords=_keywords(
            model, tags=tags, datasets=datasets, framework=current.framework if current else ""
        ),
        body=text.plain(model.card),
        name=model.name,
        name_lower=model.name.lower()[:256],
        team_id=model.team_id,
        visibility=model.visibility,
        task=model.task,
        library=model.library,
        license=model.license or (current.license if current else ""),
        risk_level=model.risk_level,
        in_production=model.newest_production_id is not None,
        in_staging=model.newest_staging_id is not None,
        version_count=model.version_count,
        updated_at=model.updated_at,
        created_at=model.created_at,
    )


def _keywords(model: RegisteredModel, *, tags: Iterable[str], datasets: Iterable[str], framework: str) -> str:
    parts = [*tags, model.library, *datasets, framework, model.team.slug, model.team.name]
    words = dict.fromkeys(word for part in parts for word in text.name_words(part[: text.MAX_BODY]))
    return " ".join(words)[: text.MAX_BODY]


def rebuild_all(batch: int = 500) -> Iterator[int]:
    """Rebuild every document, a batch per transaction; yields how many models are done so far."""
    done, last = 0, 0
    while True:
        with transaction.atomic():
            rows = RegisteredModel.objects.select_for_update(of=("self",)).filter(pk__gt=last).order_by("pk")
            ids = list(rows.values_list("pk", flat=True)[:batch])
            if not ids:
                return
            refresh(ids)
        done, last = done + len(ids), ids[-1]
        yield done
