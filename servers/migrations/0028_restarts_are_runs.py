import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("servers", "0027_why_deployments_failed")]

    operations = [
        migrations.AddField("run", "worker", models.CharField(blank=True, default="", max_length=100)),
        migrations.AddField("run", "heartbeat_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("run", "enqueued_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("run", "log_start", models.PositiveBigIntegerField(default=0)),
        migrations.AddField("run", "ready_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("run", "reason", models.CharField(blank=True, default="", max_length=24)),
        migrations.AlterField("run", "handle", models.JSONField(blank=True, null=True)),
        migrations.AddField(
            "step",
            "run",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="steps",
                to="servers.run",
            ),
        ),
        migrations.AlterField(
            "step",
            "deployment",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="steps",
                to="servers.deployment",
            ),
        ),
        migrations.AddConstraint(
            "step", models.UniqueConstraint(fields=("run", "kind"), name="step_of_restart_once")
        ),
        migrations.AddConstraint(
            "step",
            models.CheckConstraint(
                condition=Q(("deployment", None), ("run", None), _connector="XOR"),
                name="step_of_deployment_or_restart",
            ),
        ),
    ]
