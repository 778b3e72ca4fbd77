"""Bytes by digest: blobs, the mutable tree of an upload or a run, and the immutable manifest it is sealed into."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Blob(models.Model):
    """Verified bytes, stored once. `touched_at` protects from the sweep while a reference is being made."""

    sha256 = models.CharField(max_length=64, primary_key=True, editable=False)
    size = models.BigIntegerField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    def __str__(self) -> str:
        return self.sha256[:12]


class ArtifactTree(models.Model):
    """A mutable working area: what a run or an upload has so far. Sealing makes a manifest of it."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )


class TreeEntry(models.Model):
    """A path in a tree and the blob it names.

    `folded` is the path without case as UTF-8: bytes sort alike everywhere, so a folder is one range of them.
    """

    tree = models.ForeignKey(ArtifactTree, on_delete=models.CASCADE, related_name="entries")
    path = models.CharField(max_length=1000)
    folded = models.BinaryField(editable=False)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tree", "folded"], name="tree_path_once")]

    def __str__(self) -> str:
        return self.path


class ArtifactUpload(models.Model):
    """A file that arrives in parts. Its parts wait in storage until it is complete; abandoned ones are swept."""

    uid = models.CharField(max_length=32, unique=True, editable=False)
    tree = models.ForeignKey(ArtifactTree, on_delete=models.CASCADE, related_name="uploads")
    path = models.CharField(max_length=1000)
    part_count = models.IntegerField()
    # What an object store calls it, when the parts go there.
    at_store = models.TextField(default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    def __str__(self) -> str:
        return self.uid


class Manifest(models.Model):
    """An immutable listing of paths and digests. Equal listings are one row: `digest` is the hash of the listing."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    file_count = models.IntegerField(editable=False)
    total_size = models.BigIntegerField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.digest[:12]


class ManifestEntry(models.Model):
    """One file of a manifest."""

    manifest = models.ForeignKey(Manifest, on_delete=models.CASCADE, related_name="entries")
    path = models.CharField(max_length=1000, editable=False)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="entries")
    size = models.BigIntegerField(editable=False)

    class Meta:
        verbose_name_plural = "manifest entries"
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["manifest", "path"], name="manifest_path_once")]

    def __str__(self) -> str:
        return self.path
