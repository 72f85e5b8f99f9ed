from django.db import migrations


def keep_what_staff_saw(apps, schema_editor):
    """Django's staff flag showed every server; now teams do. Those who had it and are no administrators get a
    team with every server that is there: as operators where Django's permissions let them change servers."""
    User = apps.get_model("auth", "User")
    staff = list(User.objects.filter(is_staff=True, is_superuser=False, is_active=True))
    if not staff:
        return
    team = apps.get_model("access", "Team").objects.create(name="Staff")
    Membership = apps.get_model("access", "Membership")
    for user in staff:
        role = "operator" if changes_servers(apps, user) else "viewer"
        Membership.objects.create(team=team, user=user, role=role)
    apps.get_model("servers", "Server").objects.filter(team=None).update(team=team)


def changes_servers(apps, user):
    changing = {"codename": "change_server", "content_type__app_label": "servers"}
    Permission = apps.get_model("auth", "Permission")
    own = Permission.objects.filter(user=user, **changing)
    return own.exists() or Permission.objects.filter(group__user=user, **changing).exists()


class Migration(migrations.Migration):
    dependencies = [("servers", "0003_server_team"), ("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(keep_what_staff_saw, migrations.RunPython.noop)]
