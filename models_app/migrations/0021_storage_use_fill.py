from django.db import migrations
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce


def add_up(apps, schema_editor):
    """What is there already: each model's sum of its versions, each team's of its models."""
    model, version, team, use = (
        apps.get_model("models_app", name)
        for name in ("RegisteredModel", "ModelVersion", "Team", "StorageUse")
    )
    versions = version.objects.filter(model=OuterRef("pk")).order_by().values("model")
    sums = versions.annotate(total=Sum("manifest__total_size")).values("total")
    model.objects.update(size=Coalesce(Subquery(sums), 0))
    totals = dict(model.objects.order_by().values_list("team").annotate(total=Sum("size")))
    use.objects.bulk_create(use(team=one, size=totals.get(one.pk, 0)) for one in team.objects.all())


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0020_storage_use'),
    ]

    operations = [
        migrations.RunPython(add_up, migrations.RunPython.noop),
    ]
