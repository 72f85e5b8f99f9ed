from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("servers", "0025_what_runs")]

    operations = [
        migrations.RemoveField(model_name="deployment", name="saved_run"),
        migrations.RemoveField(model_name="deployment", name="output_cursor"),
        migrations.RemoveField(model_name="deployment", name="endpoint"),
        migrations.RemoveField(model_name="deployment", name="endpoints"),
        migrations.RemoveField(model_name="deployment", name="uses"),
    ]
