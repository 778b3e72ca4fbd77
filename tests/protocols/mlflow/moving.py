"""Moving in from a recorded server, and all that it writes at a glance."""

import httpx

from models_app.models import Blob, Experiment, LoggedModel, ModelVersion, RegisteredModel, Run, TreeEntry
from models_app.protocols.mlflow.importer import Importer
from models_app.protocols.mlflow.importer_files import Options
from models_app.protocols.mlflow.importer_source import Source
from models_app.registry.access import Actor

SYSTEM = Actor.system(door="shell")
POINTER = "version elsewhere/1"


def move(recorded, people, *, by=SYSTEM, uri="http://mlflow.internal/prefix", **options):
    source = Source(uri, transport=_prefixed(recorded), pause=lambda seconds: None)
    options = {"team": people.risk, **options}
    return Importer(source, by=by, options=Options(**options), progress=lambda *_: None).run()


def _prefixed(recorded):
    def answer(request):
        url = request.url.copy_with(path=request.url.path.removeprefix("/prefix"))
        return recorded.answer(
            httpx.Request(request.method, url, headers=request.headers, content=request.content)
        )

    return httpx.MockTransport(answer)


def told(report):
    return [f"{row['kind']} {row['subject']}" for row in report.problems]


def snapshot():
    """All that a move writes, by what it is called and not by the numbers of rows."""
    return {
        "experiments": list(Experiment.objects.values_list("name", "created_at", "updated_at", "deleted_at")),
        "runs": [
            (
                *(
                    run.uid,
                    run.name,
                    run.experiment.name,
                    run.status,
                    run.user_name,
                    run.started_at,
                    run.ended_at,
                ),
                run.deleted_at is not None,
                sorted(run.tags.values_list("key", "value")),
                sorted(run.params.values_list("key", "value")),
                sorted(run.metric_points.values_list("key", "step", "at", "value", "is_nan")),
                sorted(run.latest_metrics.values_list("key", "step", "value", "is_nan")),
                sorted(run.inputs.values_list("dataset__name", "dataset__digest", "context")),
                sorted(run.run_models.values_list("logged_model__uid", "kind", "step")),
                sorted(TreeEntry.objects.filter(tree=run.tree_id).values_list("path", "blob_id")),
            )
            for run in Run.objects.order_by("uid")
        ],
        "logged": [
            (
                *(row.uid, row.name, row.status, row.created_at, row.updated_at, row.source_run.uid),
                sorted(row.metrics.values_list("key", "value", "run__uid")),
                sorted(TreeEntry.objects.filter(tree=row.tree_id).values_list("path", "blob_id")),
            )
            for row in LoggedModel.objects.order_by("uid")
        ],
        "models": [
            (
                *(row.name, row.team.slug, row.card, row.purpose, row.created_at, row.updated_at),
                *(row.last_number, row.version_count, str(row.newest), str(row.newest_production)),
                sorted(row.tags.values_list("key", "value")),
                sorted(row.aliases.values_list("name", "version__number")),
            )
            for row in RegisteredModel.objects.order_by("name")
        ],
        "versions": [
            (
                *(str(row), row.stage, row.source, row.description, row.created_at, row.updated_at),
                *(row.run and row.run.uid, row.logged_model and row.logged_model.uid),
                row.manifest and row.manifest.digest,
                row.framework,
                sorted(row.tags.values_list("key", "value")),
                sorted(row.metrics.values_list("name", "value")),
                row.transitions.count(),
            )
            for row in ModelVersion.objects.order_by("model__name", "number")
        ],
        "blobs": sorted(Blob.objects.values_list("sha256", "size")),
    }
