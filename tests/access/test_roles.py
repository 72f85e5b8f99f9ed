"""Who sees a server, and who operates it: rows and querysets say the same."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User

from access import roles
from access.models import Membership, Role, Team
from servers.models import Server
from tests.accounts import make_server, with_member

pytestmark = pytest.mark.core


def may(user: User | AnonymousUser, server: Server) -> str:
    """What the queryset and the row agree on: "operates", "sees" or ""."""
    ours = Server.objects.filter(pk=server.pk)
    sees, operates = server.is_visible_to(user), server.is_operable_by(user)
    assert ours.visible_to(user).exists() is sees
    assert ours.operable_by(user).exists() is operates
    assert sees or not operates
    return "operates" if operates else "sees" if sees else ""


def test_what_each_may(
    server: Server, owner: User, teammate: User, viewer: User, outsider: User, staff: User
) -> None:
    assert may(owner, server) == may(teammate, server) == may(staff, server) == "operates"
    assert may(viewer, server) == "sees"
    assert may(outsider, server) == may(AnonymousUser(), server) == ""


def test_a_server_without_a_team_is_its_owners_alone(owner: User, teammate: User) -> None:
    server = make_server(owner)
    assert may(owner, server) == "operates"
    assert may(teammate, server) == ""


def test_the_staff_flag_of_django_means_nothing(server: Server, outsider: User) -> None:
    outsider.is_staff = True
    assert may(outsider, server) == ""


def test_who_is_inactive_may_nothing(server: Server, owner: User, staff: User) -> None:
    owner.is_active = staff.is_active = False
    assert may(owner, server) == may(staff, server) == ""


def test_a_role_in_one_team_says_nothing_about_another(server: Server, outsider: User) -> None:
    with_member(Team.objects.create(name="Elsewhere"), outsider, Role.ADMINISTRATOR)
    assert may(outsider, server) == ""


def test_a_role_ends_with_the_membership(server: Server, teammate: User) -> None:
    Membership.objects.filter(user=teammate).delete()
    assert may(teammate, server) == ""


def test_a_large_team_doubles_no_row(server: Server, owner: User, teammate: User, viewer: User) -> None:
    assert Server.objects.visible_to(owner).count() == 1
    assert Server.objects.visible_to(teammate).count() == 1


def test_who_may_add_servers(owner: User, teammate: User, viewer: User, outsider: User, staff: User) -> None:
    assert [roles.may_add(user) for user in (teammate, staff, viewer, outsider)] == [True, True, False, False]
