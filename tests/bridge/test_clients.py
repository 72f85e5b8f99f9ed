"""Through the eyes of a real client: the `mcp` package's, in both eras."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from tests.bridge.harness import Bridge, until


async def elicited(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def sampled(context: object, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="It")
    return types.CreateMessageResult(role="assistant", content=content, model="none")


def text(result: types.CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_legacy_server(legacy_bridge: Bridge, mode: str) -> None:
    """`auto` asks for server/discover first and falls back."""
    logged: list[Any] = []
    steps: list[float] = []

    async def log(params: types.LoggingMessageNotificationParams) -> None:
        logged.append(params.data)

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    client = Client(
        legacy_bridge.url,
        mode=mode,
        elicitation_callback=elicited,
        sampling_callback=sampled,
        logging_callback=log,
    )
    async with client:
        assert client.protocol_version == "2025-11-25"
        assert "echo" in [tool.name for tool in (await client.list_tools()).tools]
        assert text(await client.call_tool("echo", {"text": "hello"})) == "hello"
        assert json.loads(text(await client.call_tool("elicit")))["content"] == {"name": "Ada"}
        assert json.loads(text(await client.call_tool("sample")))["model"] == "none"
        await client.call_tool("progress", progress_callback=progressed)
        assert steps == [1, 2, 3]
        await until(lambda: "ready" in logged)  # sent after initialized, on the GET stream
        with pytest.raises(MCPError, match="server exited with code 3"):
            await client.call_tool("crash")
        with pytest.raises(MCPError, match="Session not found"):
            await client.call_tool("echo", {"text": "hello"})


@pytest.mark.parametrize("mode", ["auto", "2026-07-28"])
async def test_modern_server(modern_bridge: Bridge, mode: str) -> None:
    steps: list[str | None] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)

    async with Client(modern_bridge.url, mode=mode) as client:
        assert client.protocol_version == "2026-07-28"
        assert text(await client.call_tool("echo", {"text": "hello"})) == "hello"
        await client.call_tool("progress", {"text": "half"}, progress_callback=progressed)
        assert steps == ["half"]
        async with client.listen(tools_list_changed=True) as subscription:
            assert [type(event).__name__ async for event in subscription] == ["ToolsListChanged"]
