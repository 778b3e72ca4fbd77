"""Lines to copy that load a model: only clients that work today."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from django.http import HttpRequest

from models_app.models import RegisteredModel


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines for one client."""

    client: str
    lines: str


def snippets(request: HttpRequest, model: RegisteredModel, revision: str) -> list[Snippet]:
    """How to get a revision of a model, per client."""
    root = request.build_absolute_uri("/api/v1/models/") + quote(model.name)
    version = f"{root}/versions/{quote(revision)}"
    return [
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
