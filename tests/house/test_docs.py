"""What the papers list is what the code has."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement)[0].lower().replace("_", "-")


def required() -> set[str]:
    extras = PROJECT["optional-dependencies"].values()
    return {normal(line) for lines in (PROJECT["dependencies"], *extras) for line in lines} - {"modelry"}


def first_column(paper: str) -> set[str]:
    lines = (ROOT / paper).read_text().splitlines()
    cells = [line.split("|")[1].strip().strip("`") for line in lines if line.startswith("| ")]
    return {cell for cell in cells if cell not in ("name", "package", "---")}


def test_every_setting_is_documented():
    settings = (ROOT / "registry_site/settings.py").read_text()
    assert set(re.findall(r'\benv(?:\.\w+)?\(\s*"(\w+)"', settings)) == first_column("docs/settings.md")


def test_every_dependency_has_its_reason():
    assert required() == {normal(name) for name in first_column("docs/dependencies.md")}


def test_versions_that_are_tested_together_are_pinned():
    lines = (ROOT / "script/constraints.txt").read_text().split()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []
    assert required() - {normal(line) for line in lines} == set()


def test_links_between_papers_lead_somewhere():
    dead = []
    for paper in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", paper.read_text()):
            if not (paper.parent / target).exists():
                dead.append(f"{paper.name}: {target}")
    assert dead == []
