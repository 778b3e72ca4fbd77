from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("models_app", "0004_mlflow_fill")]

    operations = [
        migrations.AddConstraint(
            model_name='runmetric',
            constraint=models.UniqueConstraint(fields=('run', 'key', 'step', 'at', 'value', 'is_nan'), name='run_metric_once'),
        ),
    ]
