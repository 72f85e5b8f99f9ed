from django.db import migrations, models

from hosting.sources.origin import origin_of


def fill(apps, schema_editor):
    """The repository that a server has now is the one that its credential was given for, as far as is known.
    Where the source is none by now, nobody knows: such a credential is sent nowhere."""
    for secret in apps.get_model("servers", "Secret").objects.filter(purpose="source").select_related("server"):
        if secret.server.source_kind == "git":
            secret.origin = origin_of(str(secret.server.source.get("url", "")))
            secret.save(update_fields=["origin"])


class Migration(migrations.Migration):

    dependencies = [
        ("servers", "0014_what_a_run_uses"),
    ]

    operations = [
        migrations.AddField(
            model_name="secret",
            name="origin",
            field=models.CharField(blank=True, default="", editable=False, max_length=520),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
