"""Servers from the package indexes, as people write them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mcp_types as types
import pytest
from mcp.client.client import Client

from tests.bridge.conftest import Start
from tests.bridge.test_clients import elicited, sampled, text

pytestmark = pytest.mark.real


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    home = tmp_path_factory.mktemp("npm")
    package = "@modelcontextprotocol/server-everything@2026.8.31"
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", home, package], check=True)
    return [str(home / "node_modules/.bin/mcp-server-everything"), "stdio"]


@pytest.fixture(scope="session")
def time_server(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    home = tmp_path_factory.mktemp("pypi") / "venv"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
    python = home / "bin/python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "mcp-server-time==2026.10.19"], check=True
    )
    return [str(python), "-m", "mcp_server_time"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_server_everything(start: Start, everything: list[str], mode: str) -> None:
    steps: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    bridge = start(command=everything)
    client = Client(bridge.url, mode=mode, elicitation_callback=elicited, sampling_callback=sampled)
    async with client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert text(await client.call_tool("echo", {"message": "hi"})) == "Echo: hi"
        long = {"duration": 1, "steps": 3}
        await client.call_tool("trigger-long-running-operation", long, progress_callback=progressed)
        assert steps == [1, 2, 3]
        assert {"trigger-sampling-request", "trigger-elicitation-request"} <= tools
        answer = await client.call_tool("trigger-sampling-request", {"prompt": "x", "maxTokens": 5})
        assert "none" in text(answer)
        assert "provided" in text(await client.call_tool("trigger-elicitation-request", {}))
        resources = (await client.list_resources()).resources
        content = (await client.read_resource(resources[0].uri)).contents[0]
        assert isinstance(content, types.TextResourceContents | types.BlobResourceContents)
        assert (await client.list_prompts()).prompts


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
async def test_server_time(start: Start, time_server: list[str], mode: str, version: str) -> None:
    bridge = start(command=time_server)
    async with Client(bridge.url, mode=mode) as client:
        assert client.protocol_version == version
        result = await client.call_tool("get_current_time", {"timezone": "Europe/Warsaw"})
        assert json.loads(text(result))["timezone"] == "Europe/Warsaw"
        wrong = await client.call_tool("get_current_time", {"timezone": "Nowhere"})
        assert wrong.is_error
