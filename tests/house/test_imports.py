"""Arrows point down only. The contracts stand in pyproject.toml."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_import_contracts_are_kept():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-logo"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_are_read_in_one_place():
    readers = []
    # The client runs on other machines, and has an environment of its own.
    server = [path for path in ROOT.glob("models_app/**/*.py") if "client" not in path.parts]
    for path in sorted(server):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
                readers.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not readers, "Read the environment in registry_site/settings.py only."
