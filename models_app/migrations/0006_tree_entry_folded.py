"""Entries of trees by their path without case. Nothing wrote trees before, so there is nothing to fill."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0005_run_metric_once")]

    operations = [
        migrations.AddField(
            model_name="treeentry",
            name="folded",
            field=models.BinaryField(default=b""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="treeentry",
            name="changed_at",
            field=models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.RemoveConstraint(model_name="treeentry", name="tree_path_once"),
        migrations.AddConstraint(
            model_name="treeentry",
            constraint=models.UniqueConstraint(fields=("tree", "folded"), name="tree_path_once"),
        ),
    ]
