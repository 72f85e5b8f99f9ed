"""The `mcp` package's client, in both eras, against the `mcp` package's server, through the gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError

from servers.models import Run

from .conftest import Running, bearer, deploy, host, in_database, serving, token, until

ERAS = ["legacy", "auto", "2026-07-28"]


def clock(name: str) -> MCPServer:
    server = MCPServer(name)

    @server.tool()
    async def whoami() -> str:
        return name

    @server.tool()
    async def count(to: int, context: Context) -> str:
        for number in range(to):
            await context.report_progress(number + 1, to)
        return f"counted to {to}"

    @server.tool()
    async def fail() -> str:
        raise ToolError("no")

    return server


@contextlib.asynccontextmanager
async def hosted(name: str) -> AsyncIterator[str]:
    async with serving(clock(name).streamable_http_app()) as url:
        yield f"{url}/mcp"


@contextlib.asynccontextmanager
async def connected(gateway: Running, key: str, mode: str) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=bearer(key), timeout=60) as http:
        transport = streamable_http_client(gateway.mcp("clock"), http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_of_either_era_lists_and_calls(gateway: Running, owner: User, mode: str) -> None:
    progress: list[float] = []

    async def on_progress(done: float, _total: float | None, _message: str | None) -> None:
        progress.append(done)

    async with hosted("one") as url:
        key = await in_database(lambda: token(owner, host(owner, "clock", url)))
        async with connected(gateway, key, mode) as client:
            listed = await client.list_tools()
            assert {tool.name for tool in listed.tools} == {"whoami", "count", "fail"}
            counted = await client.call_tool("count", {"to": 3}, progress_callback=on_progress)
            assert counted.content[0].text == "counted to 3"
            assert (await client.call_tool("fail", {})).is_error
        recorded = {made["name"]: made for made in await gateway.calls() if made["method"] == "tools/call"}
    assert progress == [1, 2, 3]
    era = "legacy" if mode == "legacy" else "modern"
    assert {name: made["outcome"] for name, made in recorded.items()} == {"count": "ok", "fail": "tool_error"}
    assert {made["era"] for made in recorded.values()} == {era}
    assert all(made["client"] and made["protocol_version"] for made in recorded.values())


async def test_a_redeploy_in_the_middle_of_a_session(gateway: Running, owner: User) -> None:
    """The open session stays with the old deployment, a new one opens on the new."""
    async with hosted("old") as old, hosted("new") as new:
        server = await in_database(lambda: host(owner, "clock", old))
        key = await in_database(lambda: token(owner, server))
        async with connected(gateway, key, "legacy") as client:
            assert (await client.call_tool("whoami", {})).content[0].text == "old"
            await in_database(lambda: deploy(server, new))

            async def switched() -> bool:
                async with connected(gateway, key, "legacy") as other:
                    return (await other.call_tool("whoami", {})).content[0].text == "new"

            await until(switched)
            assert (await client.call_tool("whoami", {})).content[0].text == "old"
            first = Run.objects.filter(deployment__server=server, deployment__number=1)
            await in_database(lambda: first.update(ended_at=timezone.now(), endpoint=""))

            async def lost() -> bool:
                try:
                    await client.call_tool("whoami", {})
                except MCPError as error:
                    return "initialize again" in str(error)
                return False

            await until(lost)


async def test_a_modern_client_moves_to_the_new_deployment_unawares(gateway: Running, owner: User) -> None:
    async with hosted("old") as old, hosted("new") as new:
        server = await in_database(lambda: host(owner, "clock", old))
        key = await in_database(lambda: token(owner, server))
        async with connected(gateway, key, "2026-07-28") as client:
            assert (await client.call_tool("whoami", {})).content[0].text == "old"
            await in_database(lambda: deploy(server, new))

            async def switched() -> bool:
                return (await client.call_tool("whoami", {})).content[0].text == "new"

            await until(switched)


async def test_a_client_of_both_eras_falls_back_before_a_server_that_has_sessions_only(
    gateway: Running, owner: User
) -> None:
    async with hosted("one") as url:
        server = await in_database(lambda: host(owner, "clock", url))
        facts = {"era": "legacy", "protocol_versions": ["2025-11-25"]}
        await in_database(lambda: server.deployments.update(facts=facts))
        key = await in_database(lambda: token(owner, server))
        async with connected(gateway, key, "auto") as client:
            assert client.protocol_version == "2025-11-25"
            assert (await client.call_tool("whoami", {})).content[0].text == "one"


async def test_a_client_with_sessions_only_learns_why_a_modern_server_refuses_it(
    gateway: Running, owner: User
) -> None:
    async with hosted("one") as url:
        server = await in_database(lambda: host(owner, "clock", url))
        facts = {"era": "modern", "protocol_versions": ["2026-07-28"]}
        await in_database(lambda: server.deployments.update(facts=facts))
        key = await in_database(lambda: token(owner, server))
        with pytest.raises(ExceptionGroup) as caught:
            async with connected(gateway, key, "legacy"):
                pass
        refused = caught.value
        while isinstance(refused, ExceptionGroup):
            refused = refused.exceptions[0]
        assert isinstance(refused, MCPError)
        assert (refused.code, refused.error.data["supported"]) == (-32022, ["2026-07-28"])
        async with connected(gateway, key, "auto") as client:
            assert client.protocol_version == "2026-07-28"
