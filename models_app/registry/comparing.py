"""What differs between versions: metadata, metrics, params, files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models_app.models import ManifestEntry, ModelVersion, RunParam

from . import metadata, metrics
from .errors import Invalid

MOST = 4
# Forges whose range of commits has an address of this form.
_FORGE = re.compile(r"https://[^/\s?#]+/[^\s?#]+?(?:\.git)?/?")


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in one version; `differs` from the base. `verdict` is set where one can be: better, worse, same."""

    text: str
    differs: bool = False
    value: float | None = None
    change: float | None = None
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing compared, a cell per version, the base first. `same` when no cell differs."""

    label: str
    cells: tuple[Cell, ...]
    detail: str = ""
    higher_is_better: bool | None = None

    @property
    def same(self) -> bool:
        return not any(cell.differs for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that belong together."""

    key: str
    label: str
    lines: tuple[Line, ...]

    @property
    def same(self) -> bool:
        return all(line.same for line in self.lines)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Versions side by side; `versions[0]` is the base."""

    versions: tuple[ModelVersion, ...]
    metrics: Section
    sections: tuple[Section, ...]
    files: Section
    code_link: str

    @property
    def same(self) -> bool:
        return self.metrics.same and self.files.same and all(section.same for section in self.sections)


def compare(versions: Sequence[ModelVersion]) -> Comparison:
    """Compare 2 to 4 versions with the first as base, in a constant number of queries. Raises Invalid("versions")."""
    if not 2 <= len(versions) <= MOST or len({version.pk for version in versions}) != len(versions):
        raise Invalid("versions", f"Compare 2 to {MOST} different versions.")
    return Comparison(
        versions=tuple(versions),
        metrics=_metrics(versions),
        sections=(*_groups(versions), _params(versions)),
        files=_files(versions),
        code_link=_code_link(versions[0], versions[-1]),
    )


def _line(label: str, texts: Sequence[str], detail: str = "") -> Line:
    return Line(label, tuple(Cell(text, differs=text != texts[0]) for text in texts), detail)


def _metrics(versions: Sequence[ModelVersion]) -> Section:
    tables = [{metrics.key_of(metric): metric for metric in version.metrics.all()} for version in versions]
    lines = []
    for key in sorted(set().union(*tables)):
        found = [table.get(key) for table in tables]
        some = next(metric for metric in found if metric is not None)
        base = found[0].value if found[0] is not None else None
        cells = []
        for metric in found:
            if metric is None:
                cells.append(Cell("", differs=base is not None))
                continue
            if base is None:
                cells.append(Cell(f"{metric.value:g}", differs=True, value=metric.value))
                continue
            word = metrics.verdict(metric.value, base, higher_is_better=some.higher_is_better)
            cells.append(
                Cell(f"{metric.value:g}", metric.value != base, metric.value, metric.value - base, word)
            )
        where = ", ".join(part for part in key[1:] if part)
        lines.append(Line(key[0], tuple(cells), where, some.higher_is_better))
    return Section("metrics", "Metrics", tuple(lines))


def _groups(versions: Sequence[ModelVersion]) -> list[Section]:
    grouped = [metadata.grouped(version) for version in versions]
    sections = []
    for index, group in enumerate(metadata.GROUPS):
        lines = [
            _line(field.label, [rows[index].rows[place].display for rows in grouped])
            for place, field in enumerate(group.fields)
        ]
        if group.key == "operational":
            lines.insert(0, _line("Stage", [version.stage for version in versions]))
        if group.key == "compliance":
            flags = [", ".join(flag.name for flag in version.risk_flags.all()) for version in versions]
            lines.append(_line("Risk flags", flags))
        if lines:
            sections.append(Section(group.key, group.label, tuple(lines)))
    return sections


def _params(versions: Sequence[ModelVersion]) -> Section:
    """Parameters of the linked runs."""
    runs = [version.run_id for version in versions]
    tables: dict[int, dict[str, str]] = {run: {} for run in runs if run is not None}
    for run, key, value in RunParam.objects.filter(run__in=tables).values_list("run", "key", "value"):
        tables[run][key] = value
    rows = [tables.get(run, {}) if run is not None else {} for run in runs]
    lines = [_line(key, [row.get(key, "") for row in rows]) for key in sorted(set().union(*rows))]
    return Section("params", "Parameters of the runs", tuple(lines))


def _files(versions: Sequence[ModelVersion]) -> Section:
    """Paths with their digests: a cell's text is the digest, `detail` says how the last version stands to the base."""
    manifests = [version.manifest_id for version in versions]
    tables: dict[int, dict[str, ManifestEntry]] = {pk: {} for pk in manifests if pk is not None}
    for entry in ManifestEntry.objects.filter(manifest__in=tables):
        tables[entry.manifest_id][entry.path] = entry
    rows = [tables.get(pk, {}) if pk is not None else {} for pk in manifests]
    lines = []
    for path in sorted(set().union(*rows)):
        found = [row.get(path) for row in rows]
        digests = [entry.blob_id if entry else "" for entry in found]
        first, last = found[0], found[-1]
        cells = tuple(
            Cell(digest, digest != digests[0], float(entry.size) if entry else None)
            for digest, entry in zip(digests, found, strict=True)
        )
        lines.append(Line(path, cells, _state(first, last)))
    return Section("files", "Files", tuple(lines))


def _state(before: ManifestEntry | None, after: ManifestEntry | None) -> str:
    if before is None:
        return "added" if after is not None else "absent"
    if after is None:
        return "removed"
    return "same" if before.blob_id == after.blob_id else "changed"


def _code_link(base: ModelVersion, last: ModelVersion) -> str:
    """The forge's page of the commits between two versions, "" when their code does not live in one such place."""
    repository = base.code_repository
    commits = (base.code_commit, last.code_commit)
    if repository != last.code_repository or not all(commits) or commits[0] == commits[1]:
        return ""
    if not _FORGE.fullmatch(repository):
        return ""
    root = repository.rstrip("/").removesuffix(".git")
    middle = "/-/compare/" if "gitlab" in root.split("/")[2] else "/compare/"
    return f"{root}{middle}{commits[0]}...{commits[1]}"
