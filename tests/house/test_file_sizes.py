"""A file that one cannot hold in the head is two files."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Lines at most, by what it is.
LIMITS = {
    "models_app/**/*.py": 500,
    "registry_site/**/*.py": 350,
    "script/**/*": 300,
    "tests/**/*.py": 500,
    "templates/**/*.html": 250,
    "templates/components/*.html": 60,
    "static/js/*.js": 400,
}
# Generated or grown by a table, with the reason.
EXCEPT = {
    "models_app/migrations/0001_initial.py": "one migration makes all tables",
    "script/constraints.txt": "a list",
    "script/clients/azurite/package-lock.json": "written by npm",
    "models_app/demo/story.py": "data: one entry per model",
}


@pytest.mark.parametrize("pattern", LIMITS)
def test_files_stay_small(pattern):
    long = {}
    for path in ROOT.glob(pattern):
        name = str(path.relative_to(ROOT))
        if not path.is_file() or "__pycache__" in name or name in EXCEPT:
            continue
        if (lines := len(path.read_text().splitlines())) > LIMITS[pattern]:
            long[name] = lines
    assert not long, f"More than {LIMITS[pattern]} lines: split along a noun, not by number."


def test_exceptions_are_still_needed():
    assert [name for name in EXCEPT if not (ROOT / name).exists()] == []
