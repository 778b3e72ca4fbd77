"""What a registration brings: metadata and files, as a form with the bytes in it or as JSON that names known bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from models_app.http import bodies
from models_app.registry import admission
from models_app.registry.access import Actor, require_login
from models_app.registry.artifacts import reuse
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.errors import FieldProblem, Invalid, Mismatch

from .base import Door
from .models import ModelFields
from .parsing import Strict, Text, read_json

PARTS = {"metadata", "digests"}


class FileRef(Strict):
    """A file whose bytes are already here, in a version that you may read."""

    path = Text(max_length=1000)
    sha256 = Text(max_length=64, min_length=64)
    size = serializers.IntegerField(required=False, min_value=0, help_text="Bytes; checked when given.")


@dataclass(slots=True)
class Registration:
    """One call's worth: which model (made if asked), what it is, and its files."""

    metadata: dict[str, Any] = field(default_factory=dict)
    create_model: bool = False
    model_fields: dict[str, Any] = field(default_factory=dict)
    references: list[Any] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)

    def mark(self) -> list[Any]:
        """What tells two registrations apart."""
        listing = sorted([file.path, file.sha256, file.size] for file in self.files)
        return [self.metadata, self.create_model, self.model_fields, listing]


def registration_in(view: Door, name: str) -> Registration:
    """Read the request's body, files straight into storage; rights and metadata are checked before the bytes if the
    metadata comes first.

    Raises Invalid, Mismatch for other bytes than the form's “digests” declare, TooLarge, Forbidden, NotFound.
    """
    require_login(view.actor)
    request = view.request._request
    if not bodies.is_multipart(request):
        registration = read_registration(view, view.json())
        check_early(registration, name, view.actor)
    else:
        early: list[Registration] = []

        def before_files(form: bodies.Form) -> None:
            if "metadata" in form.fields:
                early.append(read_registration(view, _object(form, "metadata")))
                check_early(early[0], name, view.actor, size=bodies.size_at_least(request))

        form = bodies.receive_form(request, before_files=before_files)
        if unknown := sorted(form.fields.keys() - PARTS):
            raise Invalid.many([FieldProblem(part[:100], "There is no such part.") for part in unknown])
        registration = early[0] if early else read_registration(view, _object(form, "metadata"))
        registration.files = form.files
        _compare(form.files, _object(form, "digests"))
    registration.files = [*registration.files, *reuse.readable(registration.references, by=view.actor)]
    return registration


def _object(form: bodies.Form, part: str) -> dict[str, Any]:
    text = form.get(part)
    data = read_json(text.encode(), field=part) if text.strip() else {}
    if not isinstance(data, dict):
        raise Invalid(part, "Must be a JSON object.")
    return data


def read_registration(view: Door, data: dict[str, Any]) -> Registration:
    """What a registration's JSON says. Raises Invalid, ValidationError."""
    rest = dict(data)
    create = rest.pop("create_model", False)
    if not isinstance(create, bool):
        raise Invalid("create_model", "true or false.")
    fields = rest.pop("model", None) or {}
    references = rest.pop("files", None) or []
    if not isinstance(references, list) or not all(isinstance(one, dict) for one in references):
        raise Invalid("files", "Must be a list of objects with path and sha256.")
    return Registration(
        metadata=rest,
        create_model=create,
        model_fields=view.sent(ModelFields, fields),
        references=[view.sent(FileRef, one) for one in references],
    )


def check_early(registration: Registration, name: str, actor: Actor, *, size: int = 0) -> None:
    """Refuse what would be refused anyway, before a long upload of so many bytes."""
    admission.check_registration(
        name,
        create_model=registration.create_model,
        fields=registration.model_fields,
        data=registration.metadata,
        by=actor,
        size=size,
    )


def _compare(files: list[StoredFile], declared: Mapping[str, Any]) -> None:
    """Every declared path must have arrived with the declared digest and size."""
    arrived = {file.path: file for file in files}
    wrong: list[FieldProblem] = []
    for path, facts in declared.items():
        if not isinstance(facts, dict) or set(facts) - {"sha256", "size"}:
            raise Invalid("digests", "Each path has an object with sha256 and size.")
        file = arrived.get(path)
        if file is None:
            wrong.append(FieldProblem("digests", f"{path[:200]} was declared and did not arrive."))
            continue
        if "sha256" in facts and str(facts["sha256"]).lower() != file.sha256:
            wrong.append(FieldProblem("digests", f"{path}: what arrived has the digest {file.sha256}."))
        if "size" in facts and facts["size"] != file.size:
            wrong.append(FieldProblem("digests", f"{path}: {file.size} bytes arrived, not {facts['size']}."))
    if wrong:
        raise Mismatch.many(wrong[:100])
