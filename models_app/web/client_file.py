"""The client as one file, for machines where nothing can be installed."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import condition, require_safe

from models_app.client.single_file import source


def _etag(request: HttpRequest) -> str:
    return f'"{hashlib.sha256(source().encode()).hexdigest()}"'


@require_safe
@condition(etag_func=_etag)
def client_file(request: HttpRequest) -> HttpResponse:
    """The same for everyone, and no secret."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=300"}
    return HttpResponse(source(), content_type="text/x-python; charset=utf-8", headers=headers)
