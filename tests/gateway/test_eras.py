"""Callers and servers of different eras, and headers that do not say what the body says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from gateway import era
from gateway.errors import Refusal
from gateway.request import Request
from servers.models import Server
from servers.models.server import Transport
from tests.agreements import AGREEMENTS

from .conftest import Running, Upstream, bearer, call, host, in_database, token

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = call("initialize", protocolVersion=LEGACY)
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {"type": "object", "properties": {"zone": {"type": "integer", "x-mcp-header": "Zone"}}},
    },
}


def modern(method: str, **params: Any) -> dict[str, Any]:
    return call(method, _meta=META, **params)


def said(message: dict[str, Any], **headers: str) -> dict[str, str]:
    """The headers that belong to the message, but for those given."""
    params = message["params"]
    usual = {"mcp-protocol-version": MODERN, "mcp-method": message["method"], "mcp-name": params.get("name")}
    return {name: value for name, value in {**usual, **headers}.items() if value is not None}


def a_server(owner: User, upstream: Upstream, era: str, **fields: Any) -> str:
    server = host(owner, "clock", upstream.url, **fields)
    versions = {"modern": [MODERN], "legacy": [LEGACY], "both": [MODERN, LEGACY]}.get(era, [])
    tools = [{"name": "tell", "inputSchema": SCHEMA}]
    server.deployments.update(facts={"era": era, "protocol_versions": versions}, discovery={"tools": tools})
    return token(owner, server)


async def ask(
    gateway: Running, key: str, message: dict[str, Any], method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    sent = bearer(key, **headers)
    async with gateway.client.request(method, gateway.mcp("clock"), json=message, headers=sent) as response:
        return response.status, (await response.json(content_type=None)).get("error", {})


async def test_a_modern_caller_of_a_legacy_server_is_told_to_fall_back(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    """400 without one of the modern era's own error codes: those would keep clients from falling back."""
    key = await in_database(lambda: a_server(owner, upstream, "legacy"))
    message = modern("server/discover")
    status, error = await ask(gateway, key, message, **said(message))
    assert (status, error["code"]) == (400, -32600)
    assert LEGACY in error["message"]
    assert upstream.seen == []
    assert await ask(gateway, key, INITIALIZE) == (200, {})


async def test_a_legacy_caller_of_a_modern_server_learns_what_it_speaks(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "modern"))
    status, error = await ask(gateway, key, INITIALIZE)
    assert (status, error["code"]) == (400, -32022)
    assert (error["data"]["supported"], error["data"]["requested"]) == ([MODERN], LEGACY)
    for method in ("GET", "DELETE"):
        assert (await ask(gateway, key, {}, method))[0] == 405
    assert upstream.seen == []
    message = modern("server/discover")
    assert await ask(gateway, key, message, **said(message)) == (200, {})


@pytest.mark.parametrize("era", ["both", ""])
async def test_a_server_of_both_or_of_an_unknown_era_gets_either(
    gateway: Running, upstream: Upstream, owner: User, era: str
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, era))
    message = modern("tools/call", name="tell")
    assert await ask(gateway, key, INITIALIZE) == (200, {})
    assert await ask(gateway, key, message, **said(message)) == (200, {})
    assert (await ask(gateway, key, {}, "GET"))[0] == 200
    assert (await ask(gateway, key, {}, "GET", **{"mcp-protocol-version": MODERN}))[0] == 405


@pytest.mark.parametrize("case", AGREEMENTS)
def test_headers_must_say_what_the_body_says(case: str) -> None:
    asked = AGREEMENTS[case]
    raw = [(name.lower().encode(), value.encode()) for name, value in asked.headers()]
    request = Request("POST", "/mcp/clock", b"", "http", raw)
    if not asked.refused:
        era.check(request, asked.message(), "both", [])
        return
    with pytest.raises(Refusal, match=f"The {asked.refused} header") as refused:
        era.check(request, asked.message(), "both", [])
    assert (refused.value.status, refused.value.code) == (400, -32020)


async def test_what_does_not_agree_never_reaches_the_server(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "both"))
    message = modern("tools/call", name="tell")
    status, error = await ask(gateway, key, message, **said(message, **{"mcp-name": "other"}))
    assert (status, error["code"], upstream.seen) == (400, -32020, [])


async def test_a_request_without_envelope_is_the_servers_to_refuse(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "both"))
    assert await ask(gateway, key, call(), **{"mcp-protocol-version": MODERN}) == (200, {})


LONG = {"file": "A" * 100_000}


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_body_is_compared_before_the_server_has_all_of_it(
    gateway: Running, upstream: Upstream, owner: User, announced: bool
) -> None:
    """The name comes after arguments of 100 kB."""

    async def send(message: dict[str, Any], **headers: str) -> tuple[int, int]:
        body = json.dumps(message).encode()

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 30_000):
                yield body[at : at + 30_000]

        data = body if announced else pieces()
        about = bearer(key, **said(message, **headers))
        async with gateway.client.post(gateway.mcp("clock"), data=data, headers=about) as response:
            return response.status, (await response.json()).get("error", {}).get("code", 0)

    key = await in_database(lambda: a_server(owner, upstream, "both"))
    message = modern("tools/call", arguments=LONG, name="tell")
    assert await send(message, **{"mcp-name": "other"}) == (400, -32020)
    assert await send(message, **{"mcp-method": "tools/list"}) == (400, -32020)
    assert await send({**message, "method": "ping"}, **{"mcp-method": "ping"}) == (404, -32601)
    assert [seen.body for seen in upstream.seen if seen.whole] == []
    assert await send(message) == (200, 0)
    assert json.loads(upstream.seen[-1].body) == message


def test_a_long_body_that_is_no_object_is_not_the_modern_eras() -> None:
    def refusal(*headers: tuple[bytes, bytes]) -> int:
        try:
            era.check_passed(Request("POST", "/mcp/clock", b"", "http", list(headers)), None)
        except Refusal as refused:
            return refused.code
        return 0

    version = (b"mcp-protocol-version", MODERN.encode())
    assert refusal(version) == -32700
    assert refusal(version, (b"content-encoding", b"gzip")) == 0
    assert refusal((b"mcp-protocol-version", LEGACY.encode())) == refusal() == 0


async def test_a_long_body_is_recorded_by_what_it_calls(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "both"))
    assert (await ask(gateway, key, call(arguments=LONG, name="tell")))[0] == 200
    (row,) = await gateway.calls()
    assert (row["method"], row["name"], row["outcome"]) == ("tools/call", "tell", "ok")


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
async def test_removed_methods_are_refused(
    gateway: Running, upstream: Upstream, owner: User, method: str
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "both"))
    message = modern(method)
    status, error = await ask(gateway, key, message, **said(message))
    assert (status, error["code"], upstream.seen) == (404, -32601, [])


@pytest.mark.parametrize(
    ("arguments", "headers", "status"),
    [
        ({"region": "eu"}, {"mcp-param-region": "eu"}, 200),
        ({"where": {"zone": 42}}, {"mcp-param-zone": "42.0"}, 200),
        ({}, {}, 200),
        ({"region": "eu"}, {"mcp-param-region": "us"}, 400),
        ({"region": "eu"}, {}, 400),
        ({}, {"mcp-param-region": "eu"}, 400),
        ({"where": {"zone": 42}}, {"mcp-param-zone": "42.5"}, 400),
    ],
)
async def test_mirrored_arguments_are_checked_for_servers_that_see_no_headers(
    gateway: Running,
    upstream: Upstream,
    owner: User,
    arguments: dict[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    key = await in_database(lambda: a_server(owner, upstream, "both", transport=Transport.STDIO))
    message = modern("tools/call", name="tell", arguments=arguments)
    assert (await ask(gateway, key, message, **said(message, **headers)))[0] == status
    await in_database(lambda: Server.objects.update(transport=Transport.HTTP))
