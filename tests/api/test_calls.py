"""Limits, tool policies and what is recorded, set over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from servers.models import Server, Token

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core
RULES = {"calls_per_minute": 30, "tools_allowed": ["read_*"], "tools_denied": ["read_secret"]}


def test_of_a_server(api: Api, owner: User, server: Server) -> None:
    client, url = api(owner), f"/api/servers/{server.pk}/"
    before = client.get(url).json()
    assert (before["calls_per_minute"], before["tools_allowed"], before["record_arguments"]) == (0, [], False)
    answer = client.patch(url, {**RULES, "record_arguments": True})
    assert answer.status_code == 200, answer.content
    server.refresh_from_db()
    assert (server.calls_per_minute, server.tools_allowed) == (30, ["read_*"])
    assert (server.tools_denied, server.record_arguments) == (["read_secret"], True)
    client.patch(url, {"tools_allowed": []})
    assert client.get(url).json()["tools_allowed"] == []


def test_of_a_token(api: Api, owner: User, server: Server) -> None:
    made = api(owner).post("/api/tokens/", {"name": "laptop", "server": server.pk, **RULES})
    assert made.status_code == 201, made.content
    assert {key: made.json()[key] for key in RULES} == RULES
    token = Token.objects.get(name="laptop")
    assert (token.calls_per_minute, token.tools_denied) == (30, ["read_secret"])


@pytest.mark.parametrize(
    "rules",
    [
        {"calls_per_minute": -1},
        {"calls_per_minute": "many"},
        {"tools_allowed": "read_*"},
        {"tools_allowed": [""]},
        {"tools_denied": ["x" * 201]},
        {"tools_denied": ["a\x00b"]},
        {"tools_denied": ["x"] * 101},
        {"record_arguments": "perhaps"},
    ],
)
def test_what_is_refused(api: Api, owner: User, server: Server, rules: dict[str, Any]) -> None:
    client, (field,) = api(owner), rules
    answers = [client.patch(f"/api/servers/{server.pk}/", rules)]
    if field != "record_arguments":
        answers.append(client.post("/api/tokens/", {"name": "laptop", **rules}))
    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"].startswith(field)
