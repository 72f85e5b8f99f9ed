import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("servers", "0022_what_deployments_built")]

    operations = [
        migrations.AlterField(
            model_name="deployment",
            name="build",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="deployments",
                to="servers.build",
            ),
        ),
        migrations.RemoveField(model_name="deployment", name="runtime"),
        migrations.RemoveField(model_name="deployment", name="revision"),
        migrations.RemoveField(model_name="deployment", name="summary"),
        migrations.RemoveField(model_name="deployment", name="plan"),
        migrations.RemoveField(model_name="deployment", name="platforms"),
        migrations.RemoveField(model_name="deployment", name="images"),
        migrations.RemoveField(model_name="deployment", name="image"),
        migrations.RemoveField(model_name="deployment", name="digest"),
        migrations.RemoveField(model_name="deployment", name="command"),
        migrations.RemoveField(model_name="deployment", name="directory"),
    ]
