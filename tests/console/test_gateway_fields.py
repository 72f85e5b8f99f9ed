"""Limits and tool policies in the forms of servers and tokens."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from servers.models import Server, Token

pytestmark = pytest.mark.core
RULES = {"calls_per_minute": "30", "tools_allowed": "read_*\n\n  list \r\n", "tools_denied": "read_secret"}
SERVER = {
    "name": "New one", "source_kind": "package", "package_ecosystem": "pypi",
    "package_name": "mcp-server-time", "port": "8000", "path": "/mcp", "cpu": "1", "memory_mb": "512",
    "pids": "128",
}  # fmt: skip


def rules_of(row: Server | Token) -> tuple[int, list[str], list[str]]:
    return row.calls_per_minute, row.tools_allowed, row.tools_denied


def test_of_a_server(console: Client, staff: User) -> None:
    console.post(reverse("admin:servers_server_add"), {**SERVER, **RULES, "record_arguments": "on"})
    server = Server.objects.get()
    assert rules_of(server) == (30, ["read_*", "list"], ["read_secret"])
    assert server.record_arguments
    page = console.get(reverse("admin:servers_server_edit", args=[server.pk]))
    assert "read_*\nlist" in page.content.decode()
    changed = {**SERVER, "slug": server.slug, "owner": staff.pk}
    console.post(reverse("admin:servers_server_edit", args=[server.pk]), changed)
    server.refresh_from_db()
    assert rules_of(server) == (0, [], [])
    assert not server.record_arguments


def test_of_a_token(console: Client, staff: User) -> None:
    given: dict[str, Any] = {"name": "laptop", "owner": staff.pk, "scope": "mcp", **RULES}
    console.post(reverse("admin:servers_token_add"), given)
    assert rules_of(Token.objects.get(name="laptop")) == (30, ["read_*", "list"], ["read_secret"])


@pytest.mark.parametrize("rules", [{"tools_denied": "x" * 201}, {"calls_per_minute": "-1"}])
def test_what_is_refused(console: Client, staff: User, rules: dict[str, str]) -> None:
    given = {"name": "laptop", "owner": staff.pk, "scope": "mcp", **rules}
    answer = console.post(reverse("admin:servers_token_add"), given)
    assert list(answer.context["adminform"].form.errors) == list(rules)
    assert not Token.objects.filter(name="laptop").exists()
