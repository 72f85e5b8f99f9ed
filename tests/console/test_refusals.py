"""Pages for what is not there, not allowed or not understood: each says so, and leads back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from servers.models import Server
from tests.console.conftest import logged_in

OVERVIEW = f'href="{reverse("admin:index")}"'


@pytest.mark.parametrize("path", ["/nothing/", "/admin/nothing/", "/admin/servers/server/999/change/"])
def test_what_is_not_there(console: Client, path: str) -> None:
    answer = console.get(path)
    assert answer.status_code == 404
    assert "This page does not exist, or you may not see it." in answer.text
    assert OVERVIEW in answer.text


def test_what_a_role_does_not_allow(viewer: User) -> None:
    answer = logged_in(viewer).get(reverse("admin:servers_server_add"))
    assert answer.status_code == 403
    assert "Your role does not allow this" in answer.text
    assert OVERVIEW in answer.text


def test_a_form_from_before_a_new_login(
    session: Callable[[User], Client], staff: User, seeded: dict[str, Server]
) -> None:
    answer = session(staff).post(reverse("admin:servers_server_stop", args=[seeded["time"].pk]))
    assert answer.status_code == 403
    assert "Nothing was done." in answer.text
    assert OVERVIEW in answer.text


@pytest.mark.parametrize("host", ["mcp.example.org", "[2001:db8::1]"])
def test_an_unknown_host_is_told_what_to_set(client: Client, host: str) -> None:
    answer = client.get("/", headers={"host": f"{host}:3000"})
    assert answer.status_code == 400
    assert f"ALLOWED_HOSTS={host}<" in answer.text


def test_the_sidebar_leads_nowhere_that_is_refused(viewer: User, console: Client) -> None:
    catalog = f'href="{reverse("catalog:add")}"'
    assert catalog in console.get(reverse("admin:index")).text
    assert catalog not in logged_in(viewer).get(reverse("admin:index")).text


def test_an_empty_list_says_whether_something_was_sought(outsider: User) -> None:
    client, servers = logged_in(outsider), reverse("admin:servers_server_changelist")
    assert "Nothing here yet" in client.get(servers).text
    assert "No results match" in client.get(servers, {"q": "x"}).text
