"""Each deployment's build becomes a row: one for those that started the same, of the one that made it.

Until now a deployment that started what another had built (a restart, a rollback, some that were resumed)
held a copy of what that one had built.
"""

from django.db import migrations

MADE = (
    "runtime", "revision", "summary", "plan", "platforms", "images", "image", "digest", "command", "directory",
)  # fmt: skip


def move_builds(apps, schema_editor):
    deployments = apps.get_model("servers", "Deployment").objects
    builds = apps.get_model("servers", "Build").objects
    known = {}  # by the deployments that start them
    for server in deployments.order_by("server_id").values_list("server_id", flat=True).distinct():
        for row in deployments.filter(server_id=server).order_by("number").iterator(chunk_size=200):
            base = known.get(row.based_on_id)
            if base is None or not _starts_the_same(row, base):
                resumed = base if row.mode == "resume" else None
                made = {name: getattr(row, name) for name in MADE}
                base = builds.create(server_id=server, number=row.number, resumes=resumed, **made)
            known[row.pk] = base
            deployments.filter(pk=row.pk).update(build=base)
        known.clear()


def _starts_the_same(row, build):
    if row.mode == "same-digest":
        return True
    there = row.directory or row.image
    return row.mode == "resume" and bool(there) and there == (build.directory or build.image)


def copy_back(apps, schema_editor):
    deployments = apps.get_model("servers", "Deployment").objects
    for row in deployments.select_related("build").iterator(chunk_size=200):
        made = {name: getattr(row.build, name) for name in MADE}
        deployments.filter(pk=row.pk).update(**made)


class Migration(migrations.Migration):
    dependencies = [("servers", "0021_builds")]

    operations = [migrations.RunPython(move_builds, copy_back)]
