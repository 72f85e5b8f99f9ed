"""The token of the service account that pods run as opens the cluster. An operator wants it for a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import Actor
from access.models import Team
from hosting.errors import Invalid
from servers import intake
from servers.models import Server
from servers.states import Trigger
from tests.accounts import api, make_server, owner, server, staff, team

__all__ = ["api", "owner", "server", "staff", "team"]

Api = Callable[[User], APIClient]
GIVEN = {"account_token": True}
REFUSAL = "Only an administrator of the platform gives"
NEW = {
    "name": "Wants",
    "source": {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"},
    "deploy": False,
}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def filled(server: Server, **changed: Any) -> dict[str, Any]:
    """The form of a server as a browser sends it."""
    return {
        "name": server.name, "source_kind": "package", "package_ecosystem": "pypi", "package_name": "x",
        "port": 8000, "path": "/mcp", "cpu": 1, "memory_mb": 512, "pids": 128, "team": server.team_id or "",
        **changed,
    }  # fmt: skip


def has_it(server: Server) -> bool:
    server.refresh_from_db()
    return bool(server.placement.get("account_token"))


def test_an_operator_asks_for_it_over_rest(api: Api, owner: User, server: Server) -> None:
    refused = api(owner).patch(f"/api/servers/{server.pk}/", {"placement": GIVEN}, format="json")
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert (error["field"], error["pointer"]) == ("placement.account_token", "#/placement/account_token")
    assert REFUSAL in error["detail"]
    assert not has_it(server)


def test_an_operator_makes_a_server_that_has_it(api: Api, owner: User) -> None:
    refused = api(owner).post("/api/servers/", {**NEW, "placement": GIVEN}, format="json")
    assert refused.status_code == 400
    assert REFUSAL in refused.json()["detail"]
    assert not Server.objects.exists()


def test_an_operator_forges_the_form(owner: User, server: Server) -> None:
    answer = browser(owner).post(change_url(server), filled(server, account_token="on"))
    assert answer.status_code == 200
    assert REFUSAL in str(answer.context["adminform"].form.errors["account_token"])
    assert not has_it(server)


def test_an_operator_forges_the_form_of_a_new_server(owner: User, team: Team) -> None:
    form = {**filled(Server(name="New", team=team)), "account_token": "on"}
    answer = browser(owner).post(reverse("admin:servers_server_add"), form)
    assert REFUSAL in str(answer.context["adminform"].form.errors["account_token"])
    assert not Server.objects.exists()


def test_every_way_in_ends_at_the_same_check(owner: User, staff: User) -> None:
    """What the command line, the catalog and doors to come call."""
    fields = {
        "name": "x", "slug": "x", "source_kind": "package",
        "source": {"ecosystem": "pypi", "name": "x"}, "placement": GIVEN,
    }  # fmt: skip
    with pytest.raises(Invalid, match=REFUSAL):
        intake.create(by=Actor(owner), fields=fields, trigger=Trigger.COMMAND, deploy=False)
    made, _ = intake.create(by=Actor(staff), fields=fields, trigger=Trigger.COMMAND, deploy=False)
    assert has_it(made)


def test_an_administrator_gives_it_through_each_door(api: Api, staff: User, server: Server) -> None:
    url = f"/api/servers/{server.pk}/"
    assert api(staff).patch(url, {"placement": GIVEN}, format="json").status_code == 200
    assert has_it(server)
    assert api(staff).patch(url, {"placement": {}}, format="json").status_code == 200
    form = filled(server, account_token="on", owner=server.owner_id)
    assert browser(staff).post(change_url(server), form).status_code == 302
    assert has_it(server)


def test_what_an_administrator_gave_stays_and_an_operator_may_take_it_away(
    api: Api, owner: User, team: Team
) -> None:
    server, url = make_server(owner, team=team, placement=GIVEN), "/api/servers/{}/"
    url = url.format(server.pk)
    kept = api(owner).patch(url, {"placement": {**GIVEN, "replicas": 2}}, format="json")
    assert (kept.status_code, has_it(server)) == (200, True)
    assert api(owner).patch(url, {"limits": {"memory_mb": 256}}, format="json").status_code == 200
    assert browser(owner).post(change_url(server), filled(server, account_token="on")).status_code == 302
    assert has_it(server)

    assert browser(owner).post(change_url(server), filled(server)).status_code == 302
    assert not has_it(server)
    again = api(owner).patch(url, {"placement": GIVEN}, format="json")
    assert (again.status_code, has_it(server)) == (400, False)


def test_the_form_offers_it_to_who_may_give_it(owner: User, staff: User, server: Server) -> None:
    def box(user: User) -> str:
        page = browser(user).get(change_url(server)).content.decode()
        start = page.index('name="account_token"')
        return page[page.rindex("<input", 0, start) : page.index(">", start)]

    assert "disabled" in box(owner)
    assert "disabled" not in box(staff).replace("disabled:", "")
    Server.objects.filter(pk=server.pk).update(placement=GIVEN)
    assert " disabled" not in box(owner).replace("disabled:", "")


def change_url(server: Server) -> str:
    return reverse("admin:servers_server_edit", args=[server.pk])
