from django.db import migrations, models

import sealing
from outbound.origin import origin_of


def fill(apps, schema_editor):
    """A secret signs for where its channel's URL leads now. One that cannot be read is sent nothing anyway."""
    for channel in apps.get_model("notices", "Channel").objects.all():
        try:
            channel.secret_origin = origin_of(sealing.open_sealed(bytes(channel.sealed_url)))
        except sealing.Unsealable:
            continue
        channel.save(update_fields=["secret_origin"])


class Migration(migrations.Migration):

    dependencies = [
        ("notices", "0001_channels_and_notices"),
    ]

    operations = [
        migrations.AddField(
            model_name="channel",
            name="secret_origin",
            field=models.CharField(blank=True, default="", editable=False, max_length=2000),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
