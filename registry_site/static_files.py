"""Static files as production serves them: compressed, under names that change with their content."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage

_, _IMPORTS = CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns


class StaticFiles(CompressedManifestStaticFilesStorage):
    """Our scripts that import others name them as they are served, too. Others' apps bring what does not resolve."""

    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*-worker.js", _IMPORTS),
        ("vendor/*.js", _IMPORTS),
    )
