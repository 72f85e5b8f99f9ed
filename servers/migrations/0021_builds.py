import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("servers", "0020_how_a_server_is_built")]

    operations = [
        migrations.CreateModel(
            name="Build",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("runtime", models.CharField(blank=True, default="", max_length=12)),
                ("revision", models.CharField(blank=True, default="", max_length=200)),
                ("summary", models.CharField(blank=True, default="", max_length=300)),
                ("plan", models.JSONField(blank=True, default=dict)),
                ("platforms", models.JSONField(default=list)),
                ("images", models.JSONField(default=dict)),
                ("image", models.CharField(blank=True, default="", max_length=500)),
                ("digest", models.CharField(blank=True, default="", max_length=71)),
                ("command", models.JSONField(blank=True, default=list)),
                ("directory", models.CharField(blank=True, default="", max_length=500)),
                (
                    "resumes",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="servers.build",
                    ),
                ),
                (
                    "server",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="builds", to="servers.server"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("server", "number"), name="build_number_once"),
                ],
            },
        ),
        migrations.AddField(
            model_name="deployment",
            name="build",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="deployments",
                to="servers.build",
            ),
        ),
    ]
