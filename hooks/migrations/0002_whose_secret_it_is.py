import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from hosting.sources.origin import origin_of


def fill(apps, schema_editor):
    """A secret was shown to who made the hook, for the forge where the server's source is."""
    for hook in apps.get_model("hooks", "WebHook").objects.select_related("server"):
        hook.secret_by_id = hook.created_by_id
        if hook.kind != "generic" and hook.server.source_kind == "git":
            hook.origin = origin_of(str(hook.server.source.get("url", "")))
        hook.save(update_fields=["secret_by", "origin"])


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("hooks", "0001_webhooks_and_deliveries"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhook",
            name="origin",
            field=models.CharField(blank=True, default="", editable=False, max_length=520),
        ),
        migrations.AddField(
            model_name="webhook",
            name="secret_by",
            field=models.ForeignKey(
                blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL,
                related_name="+", to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
