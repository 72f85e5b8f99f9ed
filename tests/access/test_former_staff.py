"""What the migration does for who had Django's staff flag."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User

from access.models import Membership, Team
from tests.accounts import make_server

migration = import_module("servers.migrations.0004_team_of_former_staff")


def test_former_staff_keep_what_they_saw(owner: User, staff: User) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    changer = User.objects.create_user("changer", is_staff=True)
    changer.user_permissions.add(Permission.objects.get(codename="change_server"))
    server = make_server(owner)

    migration.keep_what_staff_saw(apps, None)

    server.refresh_from_db()
    assert server.is_visible_to(looker)
    assert not server.is_operable_by(looker)
    assert server.is_operable_by(changer)
    assert set(Membership.objects.filter(team__name="Staff").values_list("user", flat=True)) == {
        looker.pk,
        changer.pk,
    }


@pytest.mark.django_db
def test_without_them_there_is_no_team() -> None:
    migration.keep_what_staff_saw(apps, None)
    assert not Team.objects.exists()
