"""A card's front matter and the fields it speaks of, kept in step both ways.

Saving a card sets the model's fields and fills gaps of its newest version; what that version holds already is not
overwritten, which a notice says. A field that changes elsewhere is written back into the card's front matter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from models_app.formats import model_card
from models_app.models import LineageEdge, ModelTag, ModelVersion, RegisteredModel, Relation

from . import audit, card_facts, datasets, lineage, prepared
from .access import Actor
from .card_facts import HUB_LICENSES, LANGUAGE, MODEL_KEYS, RELATIONS, TAG_KEYS, VERSION_KEYS, CardFacts
from .errors import FieldProblem, Invalid
from .metadata import brief

ALL_KEYS = (*MODEL_KEYS, *TAG_KEYS, "metrics", *VERSION_KEYS)
# Field of a model → the keys that tell it.
KEYS_OF = {name: (key,) for key, name in MODEL_KEYS.items()} | {
    "tags": TAG_KEYS,
    "headline_metric": ("metrics",),
}


def taken_over(facts: CardFacts, fields: dict[str, Any], *, model: RegisteredModel | None) -> dict[str, Any]:
    """`fields` of a model (checked), with what its card's front matter says of it beside them.

    A field that is given too wins over a key that stands as it stood. Raises Invalid("card") where both were changed,
    and differ.
    """
    former = card_facts.read_kept(model.card) if model is not None else CardFacts()
    problems: list[FieldProblem] = []
    result = dict(fields)
    for key, name in MODEL_KEYS.items():
        said = facts.model.get(name)
        if said is None or result.get(name, said) == said:
            result |= {name: said} if said is not None else {}
        elif facts.raw.get(key) != former.raw.get(key):
            problems.append(_contradiction(facts, key, said, result[name]))
    if facts.headline and "headline_metric" not in result and not (model and model.headline_metric):
        result["headline_metric"] = facts.headline
    given = result.get("tags")
    here = given if given is not None else _tags(model)
    tags = _with_words(facts, here)
    if given is not None and tags != given:
        changed = [key for key in TAG_KEYS if facts.raw.get(key) != former.raw.get(key)]
        problems += [_contradiction(facts, key, "", "") for key in changed]
        tags = given
    if given is not None or tags != here:
        result["tags"] = tags
    if problems:
        raise Invalid.many(problems)
    return result


def _contradiction(facts: CardFacts, key: str, said: str, given: str) -> FieldProblem:
    beside = f": “{said}” here, “{given}” there" if said else ""
    return FieldProblem(
        "card", f"Line {facts.lines.get((key,), 2)}, {key}: says something else than the field{beside}."
    )


def _tags(model: RegisteredModel | None) -> dict[str, str]:
    rows = ModelTag.objects.filter(model=model) if model is not None else ModelTag.objects.none()
    return dict(rows.values_list("key", "value"))


def _with_words(facts: CardFacts, tags: dict[str, str]) -> dict[str, str]:
    """Tags with the card's words and languages instead of the former; those with a value are not its business."""
    result = dict(tags)
    if facts.words is not None:
        result = {key: value for key, value in result.items() if value or key.startswith(LANGUAGE)}
        result = dict.fromkeys(facts.words, "") | result
    if facts.languages is not None:
        result = {key: value for key, value in result.items() if not key.startswith(LANGUAGE)}
        result |= {f"{LANGUAGE}{language}": "" for language in facts.languages}
    return result if result != tags else tags


def waiting(facts: CardFacts) -> tuple[str, ...]:
    """What to say of a card that speaks of a version where there is none."""
    told = f"There is no version yet: the first one takes {', '.join(facts.of_version)} from the card."
    return (told,) if facts.of_version else ()


@dataclass(slots=True)
class Gaps:
    """What a card can fill in of a version, and what it would change and may not."""

    metadata: dict[str, Any] = field(default_factory=dict)
    relation: str = ""
    datasets: list[tuple[str, str]] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def kept(self, what: str, version: ModelVersion, held: Any) -> None:
        self.notices.append(
            f"{what} of v{version.number} stays “{held}”: the card fills gaps of a version and changes nothing there."
        )


def gaps_of(version: ModelVersion, facts: CardFacts) -> Gaps:
    """Compare a version with what the card says of it."""
    found = Gaps()
    if said := facts.model.get("license"):
        if not version.license:
            found.metadata["license"] = said
        elif version.license != said:
            found.kept("The license", version, version.license)
    _dataset_gaps(version, facts, found)
    _base_gaps(version, facts, found)
    measured = {(row.name, row.dataset, row.split): row.value for row in version.metrics.all()}
    for metric in facts.metrics:
        value = measured.get((metric.name, metric.dataset, metric.split))
        if value is None:
            found.metadata.setdefault("metrics", []).append(metric)
        elif value != metric.value:
            found.kept(f"The metric “{metric.name}”", version, f"{value:g}")
    linked = dict(version.reports.values_list("url", "title"))
    if new := [report for report in facts.reports if report.url not in linked]:
        rows = [*linked.items(), *((report.url, report.title) for report in new)]
        found.metadata["reports"] = [{"url": url, "title": title} for url, title in rows]
    return found


def _dataset_gaps(version: ModelVersion, facts: CardFacts, found: Gaps) -> None:
    if not facts.datasets:
        return
    if not version.dataset_name:
        first, *found.datasets = facts.datasets
        found.metadata["dataset_name"] = first[0]
        if first[1] and not version.dataset_version:
            found.metadata["dataset_version"] = first[1]
        return
    same = [pair for pair in facts.datasets if pair[0] == version.dataset_name]
    found.datasets = [pair for pair in facts.datasets if pair not in same]
    if not same:
        found.datasets = []
        found.kept("The dataset", version, version.dataset_name)
    elif (said := same[0][1]) and not version.dataset_version:
        found.metadata["dataset_version"] = said
    elif said and said != version.dataset_version:
        found.kept("The dataset version", version, version.dataset_version)


def _base_gaps(version: ModelVersion, facts: CardFacts, found: Gaps) -> None:
    if not facts.bases:
        return
    found.relation = facts.relation
    if not version.base_model:
        found.metadata["base_model"], *found.bases = facts.bases
    elif version.base_model in facts.bases:
        found.bases = [base for base in facts.bases if base != version.base_model]
    else:
        found.kept("The base model", version, version.base_model)


def link_others(version: ModelVersion, found: Gaps, *, by: Actor) -> None:
    """Further datasets and base models of the card as lineage. Raises Invalid, Conflict, Forbidden."""
    for name, number in found.datasets:
        known = {"dataset__name": name} | ({"dataset__version": number} if number else {})
        if not version.upstream_edges.filter(relation=Relation.TRAINED_ON, **known).exists():
            dataset = datasets.register_dataset(name, version=number, team=version.model.team, by=by)
            lineage.link(version, relation=Relation.TRAINED_ON, dataset=dataset, by=by)
    lineage.link_bases(version, found.bases, relation=found.relation or Relation.FINE_TUNED, by=by)


def keep_in_step(model: RegisteredModel, keys: Iterable[str], *, by: Actor, add: bool = False) -> bool:
    """Write these keys of the front matter as the fields are now, on record; true when the card changed. The model is
    locked.

    A key of a model's field is added with `add`; those of its newest version are kept in step where they stand. A card
    without front matter stays without.
    """
    if model.is_prompt or not card_facts.has_front_matter(model.card):
        return False
    facts = card_facts.read_kept(model.card)
    if not facts.lines:
        return False
    wanted = [key for key in keys if key in facts.raw or (add and key not in VERSION_KEYS)]
    changes: dict[str, Any] = {}
    for key in wanted:
        if key in MODEL_KEYS:
            changes |= _model_change(key, facts, model)
        elif key == "metrics":
            changes |= _headline_change(facts, model)
    if set(wanted) & set(TAG_KEYS):
        changes |= _tag_changes(facts, model, wanted)
    if set(wanted) & set(VERSION_KEYS) and model.newest_id is not None:
        changes |= _version_changes(facts, model, ModelVersion.objects.get(pk=model.newest_id))
    try:
        written = model_card.write_facts(model.card, changes) if changes else model.card
    except ValueError:
        # More than a front matter may hold: the card stays as it is.
        return False
    if written == model.card:
        return False
    before, model.card = model.card, written
    prepared.update(model, "card")
    audit.record(
        "model.updated",
        by=by,
        subject=model.name,
        model=model,
        before=brief({"card": before}),
        after=brief({"card": written, "front_matter": sorted(changes)}),
    )
    return True


def _model_change(key: str, facts: CardFacts, model: RegisteredModel) -> dict[str, Any]:
    name = MODEL_KEYS[key]
    value = getattr(model, name)
    if value == facts.model.get(name, ""):
        return {}
    if key != "license":
        return {key: value or None}
    written = license_for_hub(value)
    return {key: None, **({"license_name": None} if "license_name" in facts.raw else {}), **written}


def license_for_hub(expression: str) -> dict[str, str]:
    """A license as the Hub spells it: `license`, and `license_name` beside “other”."""
    if not expression:
        return {}
    hub = {reference: name for name, reference in HUB_LICENSES.items()}
    if expression in hub:
        return {"license": hub[expression]}
    if expression.startswith("LicenseRef-") and " " not in expression:
        return {"license": "other", "license_name": expression.removeprefix("LicenseRef-")}
    return {"license": expression if " " in expression else expression.lower()}


def _headline_change(facts: CardFacts, model: RegisteredModel) -> dict[str, Any]:
    said = facts.raw.get("metrics")
    headline = model.headline_metric
    if not headline or facts.headline == headline:
        return {}
    rest = [name for name in (said if isinstance(said, list) else [said]) if name is not None]
    return {"metrics": [headline, *(name for name in rest if name not in (headline, facts.headline))]}


def _tag_changes(facts: CardFacts, model: RegisteredModel, keys: Iterable[str]) -> dict[str, Any]:
    tags = _tags(model)
    languages = {key.removeprefix(LANGUAGE) for key in tags if key.startswith(LANGUAGE)}
    words = {key for key, value in tags.items() if not value and not key.startswith(LANGUAGE)}
    changes: dict[str, Any] = {}
    for key, said, there, known in (
        ("tags", facts.words, words, tags.keys()),
        ("language", facts.languages, languages, languages),
    ):
        wanted = [word for word in said or [] if word in known]
        wanted += sorted(there - set(wanted))
        if key in keys and wanted != (said or []):
            changes[key] = wanted or None
    return changes


def _version_changes(facts: CardFacts, model: RegisteredModel, newest: ModelVersion) -> dict[str, Any]:
    """What the keys that stand in the card should say of the newest version. What it leaves open stays as it is said,
    but for measurements: those are of one version.
    """
    changes: dict[str, Any] = {}
    trained_on = (newest.dataset_name, newest.dataset_version)
    if newest.dataset_name and not {trained_on, (newest.dataset_name, "")} & set(facts.datasets):
        changes["datasets"] = ["@".join(filter(None, trained_on))]
    if newest.base_model and newest.base_model not in facts.bases:
        changes["base_model"] = newest.base_model
    if newest.base_model and "base_model_relation" in facts.raw:
        edges = LineageEdge.objects.filter(version=newest, relation__in=lineage.BASE_RELATIONS).order_by("id")
        relation = edges.values_list("relation", flat=True).first()
        words = {meaning: word for word, meaning in RELATIONS.items()}
        if relation and relation != facts.relation:
            changes["base_model_relation"] = words[Relation(relation)]
    measured = {(row.name, row.dataset, row.split): row.value for row in newest.metrics.all()}
    said = {(row.name, row.dataset, row.split): row.value for row in facts.metrics}
    if measured != said and (newest.number > 1 or measured):
        changes["model-index"] = _index(facts.raw.get("model-index"), model, measured)
    return {key: value for key, value in changes.items() if key in facts.raw}


def _index(raw: Any, model: RegisteredModel, measured: dict[tuple[str, str, str], float]) -> list[Any]:
    """A model-index with these measurements: entries that are there keep their place and what else they say."""
    index = copy.deepcopy(raw) if isinstance(raw, list) and any(isinstance(one, dict) for one in raw) else []
    if not index:
        index = [{"name": model.name.rpartition("/")[2], "results": []}]
    rest = dict(measured)
    places: dict[tuple[str, str], list[Any]] = {}
    for one in index:
        results = one.get("results") if isinstance(one, dict) else None
        kept = []
        for result in results or []:
            if result is None:
                continue
            data = result.get("dataset") or {}
            where = (str(data.get("name") or data.get("type") or ""), str(data.get("split") or ""))
            rows = []
            for row in result.get("metrics") or []:
                if row is None:
                    continue
                key = (str(row.get("type") or row.get("name") or ""), *where)
                if row.get("value") is None and key not in rest:
                    rows.append(row)
                elif key in rest:
                    rows.append({**row, "value": rest.pop(key)})
            if rows:
                result["metrics"] = places[where] = rows
                kept.append(result)
        if isinstance(one, dict):
            one["results"] = kept
    home = next(one for one in index if isinstance(one, dict))["results"]
    for (name, dataset, split), value in sorted(rest.items()):
        if (dataset, split) not in places:
            places[dataset, split] = []
            data = {"name": dataset, "type": dataset, "split": split}
            home.append(
                {
                    "task": {"type": model.task or "other"},
                    "dataset": {key: text for key, text in data.items() if text},
                    "metrics": places[dataset, split],
                }
            )
        places[dataset, split].append({"type": name, "value": value})
    return index
