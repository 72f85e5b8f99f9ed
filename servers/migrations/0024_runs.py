import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("servers", "0023_deployments_have_builds")]

    operations = [
        migrations.RenameField(model_name="deployment", old_name="run", new_name="saved_run"),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("runtime", models.CharField(max_length=12)),
                ("handle", models.JSONField()),
                ("endpoint", models.CharField(blank=True, default="", max_length=500)),
                ("endpoints", models.JSONField(blank=True, default=dict)),
                ("output_cursor", models.TextField(blank=True, default="")),
                ("uses", models.JSONField(blank=True, null=True)),
                ("began_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("why", models.TextField(blank=True, default="")),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="servers.deployment"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(("ended_at", None)), fields=("deployment",), name="one_live_run_per_deployment"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="deployment",
            name="run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="servers.run",
            ),
        ),
    ]
