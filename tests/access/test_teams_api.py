"""Teams and the audit over REST."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from access.actor import Actor
from access.models import AuditEntry, Membership, Role, Team
from servers import services
from servers.models import Server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core


def test_a_team_is_made_renamed_and_removed(api: Api, staff: User) -> None:
    client = api(staff)
    made = client.post("/api/teams/", {"name": "Weather"})
    assert (made.status_code, made.json()["members"]) == (201, [])
    here = f"/api/teams/{made.json()['id']}/"
    assert client.patch(here, {"name": "Forecast"}).json()["name"] == "Forecast"
    assert client.post("/api/teams/", {"name": "forecast"}).status_code == 400
    assert client.delete(here).status_code == 204
    assert not Team.objects.exists()


def test_members_come_and_go(api: Api, staff: User, team: Team, outsider: User) -> None:
    client, here = api(staff), f"/api/teams/{team.pk}/members"
    for role in ("viewer", "operator"):
        answer = client.put(f"{here}/outsider/", {"role": role})
        assert (answer.status_code, answer.json()) == (200, {"user": "outsider", "role": role})
    assert {"user": "outsider", "role": "operator"} in client.get(f"/api/teams/{team.pk}/").json()["members"]
    assert client.put(f"{here}/outsider/", {"role": "emperor"}).status_code == 400
    assert client.put(f"{here}/nobody/", {"role": "viewer"}).status_code == 400
    assert client.delete(f"{here}/outsider/").status_code == 204
    assert client.delete(f"{here}/outsider/").status_code == 404


def test_who_keeps_a_team(api: Api, team: Team, teammate: User, viewer: User, outsider: User) -> None:
    here = f"/api/teams/{team.pk}/"
    for user, sees, keeps in ((teammate, 200, 403), (viewer, 200, 403), (outsider, 404, 404)):
        client = api(user)
        assert client.get(here).status_code == sees
        assert client.patch(here, {"name": "Mine"}).status_code == keeps
        assert client.put(f"{here}members/{user.username}/", {"role": "administrator"}).status_code == keeps
        assert client.post("/api/teams/", {"name": "Mine"}).status_code == 403
        assert client.delete(here).status_code in (403, 404)
    Membership.objects.filter(user=teammate).update(role=Role.ADMINISTRATOR)
    client = api(teammate)
    assert client.put(f"{here}members/outsider/", {"role": "viewer"}).status_code == 200
    assert client.patch(here, {"name": "Ours"}).status_code == 200
    assert client.delete(here).status_code == 403


def test_a_server_is_given_to_a_team(
    api: Api, server: Server, owner: User, teammate: User, staff: User
) -> None:
    other = Team.objects.create(name="Elsewhere")
    here = f"/api/servers/{server.pk}/"
    refused = api(owner).patch(here, {"team": "Elsewhere"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "team")
    Membership.objects.create(team=other, user=owner, role=Role.OPERATOR)
    Membership.objects.create(team=other, user=teammate, role=Role.OPERATOR)
    assert api(teammate).patch(here, {"team": "Elsewhere"}).status_code == 400  # it is not theirs to give
    assert api(owner).patch(here, {"team": "Elsewhere"}).json()["team"] == "Elsewhere"
    assert api(staff).patch(here, {"team": None}).json()["team"] is None
    entry = AuditEntry.objects.filter(action="server.changed").earliest("id")
    assert (entry.before, entry.after) == ({"team": "Owner's team"}, {"team": "Elsewhere"})


def test_who_may_add_servers(api: Api, viewer: User, outsider: User, teammate: User) -> None:
    body = {"name": "New", "source": {"kind": "package", "ecosystem": "pypi", "name": "x"}, "deploy": False}
    codes = {
        user.username: api(user).post("/api/servers/", body).status_code
        for user in (viewer, outsider, teammate)
    }
    assert codes == {"viewer": 403, "outsider": 403, "teammate": 201}


def test_the_audit_by_its_filters(
    api: Api, server: Server, owner: User, viewer: User, outsider: User, staff: User
) -> None:
    client = api(owner)
    client.post(f"/api/servers/{server.pk}/stop/")
    services.set_secret(server=server, name="API_KEY", value="hunter2-hunter2", by=Actor(owner))

    def actions(user: User, query: str = "") -> list[str]:
        answer = api(user).get(f"/api/audit/?server={server.pk}{query}")
        return [entry["action"] for entry in answer.json()["results"]]

    assert actions(owner) == actions(staff) == ["secret.set", "server.stopped"]
    assert actions(viewer) == actions(outsider) == []
    assert actions(owner, "&action=server.stopped") == ["server.stopped"]
    assert actions(owner, "&actor=owner&via=api") == ["server.stopped"]
    assert actions(owner, "&until=2020-01-01T00:00:00Z") == []
    assert client.get("/api/audit/?since=yesterday").status_code == 400
    assert client.post("/api/audit/", {}).status_code == 405
