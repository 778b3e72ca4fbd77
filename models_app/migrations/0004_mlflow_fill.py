"""What the new tables and columns say of rows that are there already."""

from typing import Any

from django.db import migrations

# Points sent twice become one; the later row goes.
DOUBLES = """
    DELETE FROM models_app_runmetric WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY run_id, key, step, at, value ORDER BY id) AS nth
            FROM models_app_runmetric
        ) AS points WHERE nth > 1
    )
"""
LATEST = """
    INSERT INTO models_app_runlatestmetric (run_id, key, step, at, value, is_nan)
    SELECT run_id, key, step, at, value, is_nan FROM (
        SELECT run_id, key, step, at, value, is_nan,
            row_number() OVER (PARTITION BY run_id, key ORDER BY step DESC, at DESC, value DESC) AS nth
        FROM models_app_runmetric
    ) AS points WHERE nth = 1
"""
NEWEST = """
    UPDATE models_app_registeredmodel SET newest_{stage}_id = (
        SELECT id FROM models_app_modelversion AS v
        WHERE v.model_id = models_app_registeredmodel.id AND v.stage = '{stage}' ORDER BY v.number DESC LIMIT 1
    )
"""


def forwards(apps: Any, schema_editor: Any) -> None:
    execute = schema_editor.execute
    execute(DOUBLES)
    execute(LATEST)
    execute(NEWEST.format(stage="dev"))
    execute(NEWEST.format(stage="archived"))
    _default_experiment(apps)


def _default_experiment(apps: Any) -> None:
    """Experiment 0, where MLflow's clients log without asking."""
    Experiment, Run = apps.get_model("models_app", "Experiment"), apps.get_model("models_app", "Run")
    if Experiment.objects.filter(pk=0).exists():
        return
    former = Experiment.objects.filter(name="Default").first()
    if former is None:
        Experiment.objects.create(pk=0, name="Default")
        return
    Experiment.objects.filter(pk=former.pk).update(name="Default, former")
    Experiment.objects.create(
        pk=0,
        name="Default",
        team=former.team,
        visibility=former.visibility,
        created_at=former.created_at,
        updated_at=former.updated_at,
    )
    Run.objects.filter(experiment=former).update(experiment_id=0)
    former.delete()


class Migration(migrations.Migration):
    dependencies = [("models_app", "0003_mlflow")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
