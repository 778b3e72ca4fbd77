"""What a card's front matter says, checked: the Hub's vocabulary on one side, our fields on the other.

What becomes of it, and how it is kept in step: card_sync.py. The rules in words: docs/cards.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models_app.formats import model_card
from models_app.models import Relation

from . import metadata, model_fields
from .errors import FieldProblem, Invalid
from .metadata import MetricInput, ReportInput

# Keys of the front matter that stand for fields of the model, and those that speak of its newest version.
MODEL_KEYS = {"license": "license", "pipeline_tag": "task", "library_name": "library"}
TAG_KEYS = ("tags", "language")
VERSION_KEYS = ("datasets", "base_model", "base_model_relation", "model-index")
LANGUAGE = "language:"
RELATIONS = {
    "finetune": Relation.FINE_TUNED,
    "adapter": Relation.ADAPTER,
    "quantized": Relation.QUANTIZED,
    "merge": Relation.MERGED,
}
# License names of the Hub that are no SPDX ids.
HUB_LICENSES = {"odbl": "ODbL-1.0", "pddl": "PDDL-1.0", "openrail++": "LicenseRef-openrail-plus-plus"} | {
    name: f"LicenseRef-{name}"
    for name in (
        *(
            "apple-amlr",
            "apple-ascl",
            "bigcode-openrail-m",
            "bigscience-bloom-rail-1.0",
            "bsd",
            "c-uda",
            "cc",
        ),
        *("bigscience-openrail-m", "creativeml-openrail-m", "deepfloyd-if-license", "gemma", "gfdl"),
        *("fair-noncommercial-research-license", "grok2-community", "h-research", "intel-research", "lgpl"),
        *(
            "lgpl-lr",
            "llama2",
            "llama3",
            "llama3.1",
            "llama3.2",
            "llama3.3",
            "llama4",
            "openmdw-1.0",
            "openrail",
        ),
    )
}
MOST_TEXTS = 200
_KEY = re.compile(r"^[ \t]*[\"']?[^\s\"'#:-][^:\n]*:(?:\s|$)", re.MULTILINE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,16}(?:-[A-Za-z0-9]{1,16}){0,4}")
_NOT_IN_REFERENCE = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the front matter says; None and empty lists are what it does not speak of. `lines` is where keys stand."""

    model: dict[str, str] = field(default_factory=dict)
    words: list[str] | None = None
    languages: list[str] | None = None
    datasets: list[tuple[str, str]] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)
    relation: str = ""
    headline: str = ""
    metrics: list[MetricInput] = field(default_factory=list)
    reports: list[ReportInput] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[model_card.Path, int] = field(default_factory=dict)

    @property
    def of_version(self) -> list[str]:
        """The keys with something to say of a version."""
        said = {
            "datasets": self.datasets,
            "base_model": self.bases,
            "model-index": self.metrics or self.reports,
        }
        return [key for key, value in said.items() if value]


def has_front_matter(card: str) -> bool:
    """Whether a card begins with facts; text between two rules is none."""
    return card.startswith(("---", "\ufeff---")) and _KEY.search(model_card.split(card)[0]) is not None


def read(card: str) -> CardFacts:
    """What the front matter of a card says. Raises Invalid("card") that names every wrong value with its line."""
    if not has_front_matter(card):
        return CardFacts()
    try:
        found = model_card.read_card(card)
    except ValueError as error:
        raise Invalid("card", str(error)) from error
    return _Reading(found).read()


def read_kept(card: str) -> CardFacts:
    """As `read`, of a card that is stored already: one that came by other ways and is not understood says nothing."""
    try:
        return read(card)
    except Invalid:
        return CardFacts()


class _Reading:
    """One front matter, and what is wrong with it."""

    def __init__(self, card: model_card.ModelCard) -> None:
        self.facts, self.lines = card.facts, card.lines
        self.problems: list[FieldProblem] = []

    def read(self) -> CardFacts:
        metrics, reports = self._index()
        words, languages = self._texts("tags"), self._languages()
        if words is not None and (bad := [word for word in words if word.startswith(LANGUAGE)]):
            self.wrong(f"“{bad[0][:60]}”: write it under language.", "tags")
        self._checked(lambda: metadata.clean_tags(words or []), "tags")
        headline = self._texts("metrics") or []
        found = CardFacts(
            model=self._model(),
            words=words,
            languages=languages,
            datasets=self._datasets(),
            bases=self._bases(),
            relation=self._relation(),
            headline=self._text_of("metrics", headline[0], 250) if headline else "",
            metrics=metrics,
            reports=reports,
            raw=self.facts,
            lines=self.lines,
        )
        if self.problems:
            raise Invalid.many(self.problems[:100])
        return found

    def wrong(self, why: str, *path: str | int) -> None:
        line = next(
            (self.lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in self.lines), 2
        )
        name = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
        self.problems.append(FieldProblem("card", f"Line {line}, {name}: {why}"))

    def _checked(self, check: Callable[[], Any], *path: str | int) -> Any:
        try:
            return check()
        except Invalid as error:
            for problem in error.problems:
                self.wrong(problem.message, *path)
            return None

    def _text_of(self, key: str, value: str, limit: int) -> str:
        return self._checked(lambda: metadata.clean_text(key, value, limit=limit), key) or ""

    def _texts(self, key: str) -> list[str] | None:
        """A list of texts, or one alone; None where nothing is said."""
        value = self.facts.get(key)
        if value is None:
            return None
        rows = value if isinstance(value, list) else [value]
        if len(rows) > MOST_TEXTS:
            self.wrong(f"At most {MOST_TEXTS}.", key)
            return None
        found = []
        for position, row in enumerate(rows):
            if row is None and isinstance(value, list):
                continue
            if isinstance(row, bool) or not isinstance(row, str | int | float):
                self.wrong("Must be text, or a list of texts.", key, position)
            elif text := str(row).strip():
                found.append(text)
        return list(dict.fromkeys(found))

    def _model(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, name in MODEL_KEYS.items():
            texts = self._texts(key)
            if not texts:
                continue
            if len(texts) > 1:
                also = " Join licenses with AND or OR." if key == "license" else ""
                self.wrong(f"One only.{also}", key)
                continue
            text = self._license(texts[0]) if key == "license" else texts[0]
            if text is not None and (clean := self._checked(lambda: model_fields.clean({name: text}), key)):  # noqa: B023
                found[name] = clean[name]
        return found

    def _license(self, text: str) -> str | None:
        """The SPDX spelling of what the Hub calls it."""
        name = text.lower()
        if name in ("other", "unknown"):
            own = self.facts.get("license_name")
            reference = _NOT_IN_REFERENCE.sub("-", own).strip("-") if isinstance(own, str) else ""
            if name == "other" and not reference:
                self.wrong("Say which one under license_name.", "license")
            return f"LicenseRef-{reference}"[:200] if reference else None
        return HUB_LICENSES.get(name, text)

    def _languages(self) -> list[str] | None:
        texts = self._texts("language")
        if bad := [text for text in texts or [] if not _LANGUAGE.fullmatch(text)]:
            self.wrong(f"“{bad[0][:60]}” is no language code such as en or pt-BR.", "language")
        return texts

    def _datasets(self) -> list[tuple[str, str]]:
        found = []
        for text in self._texts("datasets") or []:
            name, _, version = text.partition("@")
            data = {"dataset_name": name, "dataset_version": version}
            if clean := self._checked(lambda: metadata.clean_version_metadata(data), "datasets"):  # noqa: B023
                found.append((clean["dataset_name"], clean["dataset_version"]))
        return [pair for pair in found if pair[0]]

    def _bases(self) -> list[str]:
        texts = self._texts("base_model") or []
        return [self._text_of("base_model", text, 500) for text in texts]

    def _relation(self) -> str:
        texts = self._texts("base_model_relation") or []
        if not texts:
            several = len(self._texts("base_model") or []) > 1
            return Relation.MERGED if several else ""
        known = RELATIONS | {one.value: one for one in RELATIONS.values()}
        if texts[0] not in known:
            self.wrong(f"One of {', '.join(RELATIONS)}.", "base_model_relation")
            return ""
        return known[texts[0]]

    def _index(self) -> tuple[list[MetricInput], list[ReportInput]]:
        """The measurements and evaluation reports of model-index."""
        metrics: dict[tuple[str, str, str], MetricInput] = {}
        reports: dict[str, ReportInput] = {}
        for path, result in self._rows(("model-index",), "results"):
            data, source = result.get("dataset"), result.get("source")
            if data is not None and not isinstance(data, dict):
                self.wrong("Must be names with values.", *path, "dataset")
            data = data if isinstance(data, dict) else {}
            name = _plain(data.get("name")) or _plain(data.get("type"))
            for at, row in self._within(result, path, "metrics"):
                given = {
                    "name": _plain(row.get("type")) or _plain(row.get("name")),
                    "value": row.get("value"),
                    "dataset": name,
                    "split": _plain(data.get("split")),
                }
                if row.get("value") is None:
                    # A place to fill in.
                    continue
                for metric in self._checked(partial(metadata.clean_metrics, [given]), *at) or []:
                    key = (metric.name, metric.dataset, metric.split)
                    if key in metrics and metrics[key].value != metric.value:
                        self.wrong(f"“{metric.name}” is there twice for this dataset and split.", *at)
                    metrics[key] = metric
            if isinstance(source, dict) and source.get("url"):
                given_link = {"url": _plain(source["url"]), "title": _plain(source.get("name"))}
                check = partial(metadata.clean_version_metadata, {"reports": [given_link]})
                clean = self._checked(check, *path, "source")
                reports |= {report.url: report for report in (clean or {}).get("reports", [])}
        return list(metrics.values()), list(reports.values())

    def _rows(self, path: model_card.Path, inner: str) -> list[tuple[model_card.Path, dict[str, Any]]]:
        models = self._within(self.facts, (), str(path[0]))
        return [row for at, one in models for row in self._within(one, at, inner)]

    def _within(
        self, holder: dict[str, Any], path: model_card.Path, key: str
    ) -> list[tuple[model_card.Path, dict[str, Any]]]:
        """The mappings of a list, each with its path."""
        value = holder.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong("Must be a list.", *path, key)
            return []
        rows = []
        for position, row in enumerate(value):
            if isinstance(row, dict):
                rows.append(((*path, key, position), row))
            elif row is not None:
                self.wrong("Must be names with values.", *path, key, position)
        return rows


def _plain(value: Any) -> Any:
    """Text as text; numbers that were meant as text too. Anything else is left for the check to refuse."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
