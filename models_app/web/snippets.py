"""Lines to copy that load a model: only clients that work today."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

from django.http import HttpRequest

from models_app.models import RegisteredModel, Stage
from models_app.registry import names

from .context import site_address


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines for one client."""

    client: str
    lines: str


def snippets(request: HttpRequest, model: RegisteredModel, revision: str) -> list[Snippet]:
    """How to get a revision of a model, per client."""
    here = site_address(request)
    version = f"{here}/api/v1/models/{quote(model.name)}/versions/{quote(revision)}"
    return [
        Snippet("MLflow", mlflow_lines(here, model, revision)),
        Snippet(
            "modelry",
            f"curl -fsSO {here}/client.py\nexport MODELRY_URL={here}\n"
            f"python3 client.py pull {shlex.quote(f'{model.name}@{revision}')}",
        ),
        Snippet(
            "curl",
            f'curl -H "Authorization: Bearer $MODELRY_TOKEN" -O -J \\\n  "{version}/archive.zip"',
        ),
        Snippet(
            "Python",
            f'''import io, os, urllib.request, zipfile

request = urllib.request.Request(
    "{version}/archive.zip",
    headers={{"Authorization": "Bearer " + os.environ["MODELRY_TOKEN"]}},
)
with urllib.request.urlopen(request) as answer:
    zipfile.ZipFile(io.BytesIO(answer.read())).extractall("model")''',
        ),
        Snippet("Facts as JSON", f'curl -H "Authorization: Bearer $MODELRY_TOKEN" \\\n  "{version}"'),
    ]


def mlflow_lines(server: str, model: RegisteredModel, revision: str) -> str:
    """For the client that everybody has: it loads what it wrote, and downloads anything."""
    if revision in Stage.values or revision.isdigit() or revision == "latest":
        name = "None" if revision == Stage.DEV else revision.title() if revision in Stage.values else revision
        uri = f"models:/{names.flat(model.name)}/{name}"
    else:
        uri = f"models:/{names.flat(model.name)}@{revision}"
    # A name may hold quotation marks.
    written = json.dumps(uri, ensure_ascii=False)
    made_there = model.newest is not None and bool(model.newest.source)
    load = (
        f"model = mlflow.pyfunc.load_model({written})"
        if made_there
        else f"folder = mlflow.artifacts.download_artifacts({written})"
    )
    return f"""export MLFLOW_TRACKING_URI={server}
export MLFLOW_TRACKING_TOKEN=$MODELRY_TOKEN

import mlflow
{load}"""
