"""Files of a version: the listing, one file, everything as an archive."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.response import Response

from models_app.http.ranges import ANYTHING, TYPES, send_blob, send_version
from models_app.models import ManifestEntry, ModelVersion
from models_app.registry.access import get_version
from models_app.registry.artifacts import manifests
from models_app.registry.errors import NotFound

from . import fields
from .base import Door, Listing, address
from .schema import operation

TAG = "Files"
MEDIA = sorted({ANYTHING, *(kind.partition(";")[0] for kind in TYPES.values())})
DOWNLOAD = (304, 400, 401, 403, 404, 412, 416)


class FileSerializer(serializers.ModelSerializer):
    """A file of a version."""

    sha256 = serializers.CharField(source="blob_id")
    url = serializers.SerializerMethodField(help_text="Download it here; ranges work.")

    class Meta:
        model = ManifestEntry
        fields = ["path", "size", "sha256", "url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, entry: ManifestEntry) -> str:
        version: ModelVersion = self.context["version"]
        return address(
            self.context["request"],
            "file",
            name=version.model.name,
            revision=str(version.number),
            path=entry.path,
        )


class FileFilter(filters.FilterSet):
    prefix = fields.Exactly("path", "Paths that start so, like tokenizer/", lookup_expr="startswith")
    sha256 = fields.Exactly("blob_id")


class FileList(Listing):
    model = ManifestEntry
    serializer_class = FileSerializer
    filterset_class = FileFilter
    orderings = {"path": (("path", "asc"),), "-size": (("size", "desc"), ("id", "desc"))}

    def rows(self) -> QuerySet[ManifestEntry]:
        self.version = get_version(self.kwargs["name"], self.kwargs["revision"], by=self.actor)
        return ManifestEntry.objects.filter(manifest=self.version.manifest_id)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "version": getattr(self, "version", None)}

    @operation(
        "List a version's files",
        tag=TAG,
        name="files_list",
        answers=FileSerializer(many=True),
        path="name revision",
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        return self.list(request)


class Anything(BaseContentNegotiation):
    """Bytes are what they are: whatever Accept says, the file is sent."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class FileDownload(Door):
    content_negotiation_class = Anything

    @operation(
        "Download a file",
        tag=TAG,
        name="files_download",
        answers=OpenApiTypes.BINARY,
        media=MEDIA,
        also=206,
        path="name revision path",
        errors=DOWNLOAD,
        description="Takes Range, If-Range and the other conditions; the ETag is the file's SHA-256. HEAD works too. "
        "With an object store, large files are redirected to an address there: follow it, without the token.",
    )
    def get(self, request: Any, name: str, revision: str, path: str) -> Any:
        version = get_version(name, revision, by=self.actor)
        entry = manifests.entry(version.manifest_id, path)
        if entry is None:
            raise NotFound(f"{version} has no such file.", next_step="List its files.")
        return send_blob(
            request._request,
            sha256=entry.blob_id,
            size=entry.size,
            path=entry.path,
            last_modified=version.created_at,
            direct=True,
        )


class ArchiveDownload(Door):
    content_negotiation_class = Anything

    @operation(
        "Download all files as one archive",
        tag=TAG,
        name="files_archive",
        answers=OpenApiTypes.BINARY,
        media=("application/zip", "application/x-tar"),
        path="name revision kind",
        errors=DOWNLOAD,
        description="A zip or tar, written while it is sent, with its length known before.",
    )
    def get(self, request: Any, name: str, revision: str, kind: str) -> Any:
        version = get_version(name, revision, by=self.actor)
        title = f"{version.model.name.replace('/', '-')}-{version.number}"
        return send_version(request._request, version, kind=kind, name=title)
