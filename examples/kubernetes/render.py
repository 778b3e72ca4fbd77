#!/usr/bin/env python3
"""The InferenceService of a deployment, on standard output. Needs Python and nothing else.

    python render.py < message.json          from the message of the webhook deployment.started
    python render.py                         from the environment that `modelry deploy-agent` gives to its command

FORMAT says what KServe loads it as, `mlflow` unless told.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import string
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("inferenceservice.yaml")
# The facts that stand in the template, and what the agent calls them.
FACTS = {
    "model": "MODELRY_MODEL",
    "version": "MODELRY_VERSION",
    "deployment": "MODELRY_DEPLOYMENT",
    "digest": "MODELRY_DIGEST",
    "url": "MODELRY_PAGE",
    "archive_url": "MODELRY_ARCHIVE_URL",
    "rollback_target": "MODELRY_ROLLBACK_TARGET",
}


def service_name(model: str) -> str:
    """A name that Kubernetes takes, another for every model: vision/defects → vision-defects-5d3c9f."""
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:40].strip("-")
    plain = plain if plain[:1].isalpha() else f"m-{plain}".strip("-")
    return f"{plain}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"


def render(facts: Mapping[str, Any], *, model_format: str = "mlflow") -> str:
    """The manifest. Whatever stands in a fact stays one string: it is written as JSON."""
    told = {name: "" if facts.get(name) is None else str(facts[name]) for name in FACTS}
    told |= {"name": service_name(told["model"]), "format": model_format, "page": told["url"]}
    places = {name: json.dumps(value) for name, value in told.items()}
    return string.Template(TEMPLATE.read_text()).substitute(places)


def main() -> None:
    if "MODELRY_DEPLOYMENT" in os.environ:
        facts: Mapping[str, Any] = {fact: os.environ[name] for fact, name in FACTS.items()}
    else:
        facts = json.load(sys.stdin)["data"]
    sys.stdout.write(render(facts, model_format=os.environ.get("FORMAT", "mlflow")))


if __name__ == "__main__":
    main()
