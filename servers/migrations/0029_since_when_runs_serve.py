"""What serves has done so since its deployment went well: only those took calls.

On the way back restarts lose their steps, and those that had not come to an end are ended: the version before
knows neither, and starts such a server again by a deployment.
"""

from django.db import migrations
from django.utils import timezone


def note_beginnings(apps, schema_editor):
    for run in apps.get_model("servers", "Run").objects.select_related("deployment").iterator(chunk_size=200):
        if run.deployment.status == "succeeded":
            run.ready_at = run.deployment.finished_at or run.began_at
            run.save(update_fields=["ready_at"])


def end_restarts(apps, schema_editor):
    runs = apps.get_model("servers", "Run").objects
    apps.get_model("servers", "Step").objects.filter(deployment=None).delete()
    unfinished = runs.filter(ended_at=None, ready_at=None, deployment__status="succeeded")
    unfinished.update(ended_at=timezone.now(), why="An earlier version of the platform took over.")
    runs.filter(handle__isnull=True).update(handle={"endpoint": "", "data": {}})


class Migration(migrations.Migration):
    dependencies = [("servers", "0028_restarts_are_runs")]

    operations = [migrations.RunPython(note_beginnings, end_restarts)]
