"""Upload sessions: a version on its way in, file by file, till it is registered or given up."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .artifacts import Blob


class UploadSession(models.Model):
    """Files that one person sends for a version. `registration` is what was said of the version when it began.

    `version` is what it became; sealed for good when `sealed_at` says when.
    """

    uid = models.CharField(max_length=32, unique=True, editable=False)
    model_name = models.CharField(max_length=256, editable=False)
    # Whose quota the files count against.
    team = models.ForeignKey("Team", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    registration = models.JSONField(default=dict, editable=False)
    created_by = models.ForeignKey(
        "User", on_delete=models.CASCADE, related_name="upload_sessions", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False, db_index=True)
    sealed_at = models.DateTimeField(null=True, editable=False)
    version = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    def __str__(self) -> str:
        return self.uid


class UploadFile(models.Model):
    """A declared file. It is here when it has its `blob`, which it protects from the sweep.

    `arrival` and what follows is how a large one comes in parts (registry/artifacts/arrivals.py); the first row of
    several with one digest has it.
    """

    session = models.ForeignKey(UploadSession, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=1000, editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    size = models.BigIntegerField(editable=False)
    blob = models.ForeignKey(
        Blob, null=True, on_delete=models.PROTECT, related_name="upload_files", editable=False
    )
    arrival = models.CharField(max_length=32, default="", editable=False)
    way = models.CharField(max_length=16, default="", editable=False)
    part_count = models.IntegerField(default=1, editable=False)
    part_size = models.BigIntegerField(default=0, editable=False)
    at_store = models.TextField(default="", editable=False)
    # All of it is at the store since then, and is to be read (registry/artifacts/verifying.py), which a worker with a
    # lease does; nobody else before that ends.
    verifying_at = models.DateTimeField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    # What kept a worker from reading it the last time.
    trouble = models.CharField(max_length=500, default="", editable=False)
    # What is wrong with what came, till it comes again.
    refusal = models.CharField(max_length=500, default="", editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["session", "sha256"], name="upload_file_digest"),
            models.Index(
                fields=["verifying_at"], name="upload_file_verifying", condition=Q(verifying_at__isnull=False)
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["session", "path"], name="upload_path_once")]

    def __str__(self) -> str:
        return self.path
