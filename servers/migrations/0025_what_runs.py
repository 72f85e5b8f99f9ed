"""What runs becomes a row. Of what ran before nobody knows when it ended, and why: it has none."""

from django.db import migrations
from django.utils import timezone


def move_runs(apps, schema_editor):
    deployments = apps.get_model("servers", "Deployment").objects
    runs = apps.get_model("servers", "Run").objects
    for row in deployments.filter(saved_run__isnull=False).iterator(chunk_size=200):
        began = row.steps.filter(kind="start").values_list("started_at", flat=True).first()
        run = runs.create(
            deployment=row,
            runtime=row.saved_run["runtime"],
            handle={"endpoint": row.saved_run["endpoint"], "data": row.saved_run["data"]},
            endpoint=row.endpoint,
            endpoints=row.endpoints,
            output_cursor=row.output_cursor,
            uses=row.uses,
            began_at=began or row.started_at or timezone.now(),
        )
        deployments.filter(pk=row.pk).update(run=run)


def copy_back(apps, schema_editor):
    deployments = apps.get_model("servers", "Deployment").objects
    for run in apps.get_model("servers", "Run").objects.filter(ended_at=None).iterator(chunk_size=200):
        deployments.filter(pk=run.deployment_id).update(
            saved_run={"runtime": run.runtime, **run.handle},
            endpoint=run.endpoint,
            endpoints=run.endpoints,
            output_cursor=run.output_cursor,
            uses=run.uses,
        )


class Migration(migrations.Migration):
    dependencies = [("servers", "0024_runs")]

    operations = [migrations.RunPython(move_runs, copy_back)]
