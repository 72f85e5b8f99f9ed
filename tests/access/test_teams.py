"""Teams and people: what services write, and what the console lets each of them do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from access import people, teams
from access.actor import PLATFORM
from access.models import AuditEntry, Membership, Role, Team
from servers.models import Server
from tests.accounts import with_member

Browse = Callable[[User], Client]


@pytest.fixture
def browse(db: None) -> Browse:
    def logged_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return logged_in


def page_of(team: Team) -> str:
    return reverse("admin:access_team_change", args=[team.pk])


def members_form(team: Team, **changed: Any) -> dict[str, Any]:
    """What the team's page sends, with one row more for somebody new."""
    rows = list(team.memberships.select_related("user"))
    form: dict[str, Any] = {
        "name": team.name, "memberships-TOTAL_FORMS": len(rows) + 1, "memberships-INITIAL_FORMS": len(rows),
        "registry_logins-TOTAL_FORMS": 0, "registry_logins-INITIAL_FORMS": 0,
    }  # fmt: skip
    for number, row in enumerate(rows):
        form |= {
            f"memberships-{number}-id": row.pk,
            f"memberships-{number}-team": team.pk,
            f"memberships-{number}-role": row.role,
        }
    return {**form, **changed}


def test_a_team_with_its_members(staff: User, owner: User) -> None:
    team = teams.create(name=" Weather ", by=PLATFORM)
    teams.set_member(team=team, user=owner, role=Role.VIEWER, by=PLATFORM)
    teams.set_member(team=team, user=owner, role=Role.OPERATOR, by=PLATFORM)
    teams.rename(team=team, name="Forecast", by=PLATFORM)
    teams.remove_member(team=team, user=owner, by=PLATFORM)
    teams.delete(team=team, by=PLATFORM)
    said = [(entry.action, entry.before, entry.after) for entry in AuditEntry.objects.order_by("id")]
    assert said == [
        ("team.created", None, {"name": "Weather"}),
        ("member.added", None, {"user": "owner", "role": "viewer"}),
        ("member.changed", {"user": "owner", "role": "viewer"}, {"user": "owner", "role": "operator"}),
        ("team.renamed", {"name": "Weather"}, {"name": "Forecast"}),
        ("member.removed", {"user": "owner", "role": "operator"}, None),
        ("team.deleted", {"members": {}}, None),
    ]


def test_a_name_is_taken_whatever_its_case(team: Team) -> None:
    with pytest.raises(ValidationError, match="a team of this name"):
        teams.create(name=team.name.upper(), by=PLATFORM)


def test_a_role_that_is_none(team: Team, outsider: User) -> None:
    with pytest.raises(ValidationError, match="role"):
        teams.set_member(team=team, user=outsider, role="emperor", by=PLATFORM)


def test_a_server_outlives_its_team(team: Team, server: Server) -> None:
    teams.delete(team=team, by=PLATFORM)
    server.refresh_from_db()
    assert server.team is None


def test_the_last_administrator_stays_one(staff: User) -> None:
    staff.is_superuser = False
    with pytest.raises(ValidationError, match="only administrator"):
        people.save(user=staff, by=PLATFORM)


def test_an_administrator_adds_a_member_by_name(
    browse: Browse, staff: User, team: Team, outsider: User
) -> None:
    number = team.memberships.count()
    new = {f"memberships-{number}-username": "outsider", f"memberships-{number}-role": "operator"}
    assert browse(staff).post(page_of(team), members_form(team, **new)).status_code == 302
    assert Membership.objects.get(team=team, user=outsider).role == Role.OPERATOR
    entry = AuditEntry.objects.get(action="member.added")
    assert (entry.actor, entry.via, entry.after) == (
        "staff",
        "admin",
        {"user": "outsider", "role": "operator"},
    )


def test_a_name_that_nobody_has_is_told_beside_the_field(browse: Browse, staff: User, team: Team) -> None:
    number = team.memberships.count()
    answer = browse(staff).post(
        page_of(team), members_form(team, **{f"memberships-{number}-username": "nobody"})
    )
    assert "There is no user with this name." in answer.content.decode()


def test_an_administrator_of_the_team_decides_who_belongs_to_it(
    browse: Browse, team: Team, teammate: User, outsider: User
) -> None:
    client = browse(teammate)
    number = team.memberships.count()
    new = {f"memberships-{number}-username": "outsider", f"memberships-{number}-role": "viewer"}
    assert client.post(page_of(team), members_form(team, **new)).status_code == 403
    Membership.objects.filter(user=teammate).update(role=Role.ADMINISTRATOR)
    assert client.post(page_of(team), members_form(team, **new)).status_code == 302
    assert Membership.objects.filter(team=team, user=outsider).exists()
    assert client.post(reverse("admin:access_team_add"), {"name": "Mine"}).status_code == 403
    assert (
        client.post(reverse("admin:access_team_delete", args=[team.pk]), {"post": "yes"}).status_code == 403
    )


def test_a_member_sees_the_team_and_another_does_not(
    browse: Browse, team: Team, viewer: User, outsider: User
) -> None:
    shown = browse(viewer).get(page_of(team)).content.decode()
    assert ">owner<" in "".join(shown.split())
    assert "memberships-0-DELETE" not in shown
    assert browse(outsider).get(page_of(team)).status_code == 404


def test_users_are_kept_by_administrators(browse: Browse, staff: User, teammate: User) -> None:
    lists, client = reverse("admin:auth_user_changelist"), browse(staff)
    assert "teammate" in client.get(lists).content.decode()
    url = reverse("admin:auth_user_change", args=[teammate.pk])
    assert client.post(url, {"username": "teammate", "email": "t@example.org"}).status_code == 302
    teammate.refresh_from_db()
    assert not teammate.is_active
    entry = AuditEntry.objects.get(action="user.changed")
    assert entry.after == {"email": "t@example.org", "is_active": False}
    for door in (lists, url, reverse("admin:auth_user_add")):
        assert browse(User.objects.get(username="owner")).get(door).status_code in (403, 404)


def test_the_only_administrator_is_told_why_not(browse: Browse, staff: User) -> None:
    url = reverse("admin:auth_user_change", args=[staff.pk])
    answer = browse(staff).post(url, {"username": "staff", "is_active": "on"})
    assert "This is the only administrator" in answer.content.decode()


def test_a_password_that_is_set_for_somebody_is_written_down_but_not_what_it_is(
    browse: Browse, staff: User, teammate: User
) -> None:
    url = reverse("admin:auth_user_password_change", args=[teammate.pk])
    given = {"password1": "a-long-new-word-7", "password2": "a-long-new-word-7", "usable_password": "true"}
    assert browse(staff).post(url, given).status_code == 302
    teammate.refresh_from_db()
    assert teammate.check_password("a-long-new-word-7")
    entry = AuditEntry.objects.get(action="user.password_set")
    assert (entry.target, entry.before, entry.after) == ("teammate", None, None)


def test_a_former_member_is_out_at_once(browse: Browse, team: Team, server: Server, viewer: User) -> None:
    client, url = browse(viewer), reverse("admin:servers_server_change", args=[server.pk])
    assert client.get(url).status_code == 200
    with_member(Team.objects.create(name="Other"), viewer, Role.OPERATOR)
    teams.remove_member(team=team, user=viewer, by=PLATFORM)
    assert client.get(url).status_code == 404
