from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0030_reopened_incidents'),
    ]

    # What a worker has in hand meanwhile is read once more: the time it said last is over.
    operations = [
        migrations.RenameField('uploadfile', 'worker_at', 'lease_until'),
    ]
