"""How many bytes would become free without some versions: those that nothing else refers to."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists, OuterRef

from models_app.models import Blob, Manifest, ManifestEntry, ModelVersion, UploadFile

from . import sweep
from .sweep import Tally

# So many versions are named in one question; every database takes that.
MOST = 10_000


def freed_by(versions: Sequence[int]) -> Tally:
    """Blobs that only these versions name, by primary key, MOST at most; and their bytes: what the sweep would remove
    after them, also where for a day the upload still holds them that became one.
    """
    doomed = ModelVersion.objects.filter(pk__in=versions, manifest__isnull=False)
    others = ModelVersion.objects.filter(manifest=OuterRef("pk")).exclude(pk__in=versions)
    named = Manifest.objects.filter(~Exists(others), pk__in=doomed.values("manifest"))
    lost = list(
        sweep.unreferenced(named, contents=(ManifestEntry, ModelVersion)).values_list("pk", flat=True)
    )
    inside = ManifestEntry.objects.filter(manifest__in=lost).values("blob")
    elsewhere = ManifestEntry.objects.filter(blob=OuterRef("pk")).exclude(manifest__in=lost)
    blobs = Blob.objects.filter(~Exists(elsewhere), pk__in=inside)
    sending = UploadFile.objects.filter(blob=OuterRef("pk"), session__sealed_at=None)
    return sweep.tally(
        sweep.unreferenced(blobs.filter(~Exists(sending)), contents=(ManifestEntry, UploadFile))
    )
