from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0027_webhook_environments'),
    ]

    operations = [
        migrations.AddField(
            model_name='deployment',
            name='held',
            field=models.CharField(blank=True, editable=False, max_length=300),
        ),
    ]
