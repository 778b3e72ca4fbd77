"""The whole client as one script that can be read before it is run: its modules, one after the other."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

MODULES = (
    "transfer",
    "cache",
    "ci",
    "push",
    "archive",
    "fetching",
    "pull",
    "command",
    "agent_state",
    "agent_hand",
    "agent_sight",
    "agent",
    "deploy_agent",
    "cli",
)
HEAD = '''#!/usr/bin/env python3
"""modelry: the client of this registry, for Python 3.11 and later, with nothing to install.

    python3 client.py push FOLDER --model team/name
    python3 client.py pull team/name@production
    python3 client.py deploy-agent --environment prod --exec ./deploy.sh
"""

from __future__ import annotations
'''
TAIL = """
if __name__ == "__main__":
    sys.exit(main())
"""


@cache
def source() -> str:
    """The script. Names at the top of the modules are there once, and imports between them are left out."""
    texts, seen = [HEAD], set[str]()
    for name in MODULES:
        text = (Path(__file__).parent / f"{name}.py").read_text()
        tree = ast.parse(text)
        lines = text.splitlines()
        for node in tree.body:
            for own in _names(node):
                assert own not in seen, f"{own} is there twice"
                seen.add(own)
            if isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"):
                for line in range(node.lineno - 1, node.end_lineno or node.lineno):
                    lines[line] = ""
        texts.append(f"\n# --- {name} ---\n" + "\n".join(lines).rstrip() + "\n")
    return "".join(texts) + TAIL


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        targets = [one for target in node.targets for one in ast.walk(target)]
        return [one.id for one in targets if isinstance(one, ast.Name)]
    return []
