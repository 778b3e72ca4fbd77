"""Bytes by digest: blobs, the mutable tree of an upload or a run, and the immutable manifest it is sealed into."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Blob(models.Model):
    """Verified bytes, stored once. `touched_at` protects from the sweep while a reference is being made.

    `condemned_at` is when the sweep found that nothing refers to it; its bytes go, and with them the row, when that is
    still so later. Bytes that were found damaged are moved aside; `damage` says what was found. `cold_place` is the
    colder class (and of which store) that the bytes move to, `cooled_at` when they were there.
    """

    sha256 = models.CharField(max_length=64, primary_key=True, editable=False)
    size = models.BigIntegerField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    condemned_at = models.DateTimeField(null=True, editable=False)
    damaged_at = models.DateTimeField(null=True, editable=False)
    damage = models.CharField(max_length=200, default="", editable=False)
    cold_place = models.CharField(max_length=300, default="", editable=False)
    cooled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        # Nearly all rows have none of these.
        indexes = [
            models.Index(fields=["sha256"], name="blob_cold", condition=~models.Q(cold_place="")),
            models.Index(
                fields=["condemned_at"], name="blob_condemned", condition=models.Q(condemned_at__isnull=False)
            ),
            models.Index(
                fields=["damaged_at"], name="blob_damaged", condition=models.Q(damaged_at__isnull=False)
            ),
        ]

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
    # As a blob's: nothing names it any more.
    condemned_at = models.DateTimeField(null=True, editable=False)

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


class StorageTask(models.Model):
    """How far a long task over the storage is, so that it goes on where it stopped, and what it last came to."""

    name = models.CharField(max_length=30, unique=True)
    position = models.CharField(max_length=200, default="")
    facts = models.JSONField(default=dict)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
