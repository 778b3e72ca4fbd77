"""Blobs and manifests: sealed, so only to look at."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import Blob, Manifest, ManifestEntry

from .base import RegistryAdmin


@admin.register(Blob)
class BlobAdmin(RegistryAdmin):
    list_display = ("sha256", "size", "created_at", "touched_at")
    search_fields = ("sha256__startswith",)
    ordering = ("-touched_at",)


@admin.register(Manifest)
class ManifestAdmin(RegistryAdmin):
    list_display = ("digest", "file_count", "total_size", "created_at")
    search_fields = ("digest__startswith",)
    ordering = ("-id",)


@admin.register(ManifestEntry)
class ManifestEntryAdmin(RegistryAdmin):
    list_display = ("path", "size", "blob", "manifest")
    list_select_related = ("manifest", "blob")
    search_fields = ("path", "blob__sha256__startswith")
    ordering = ("-id",)
