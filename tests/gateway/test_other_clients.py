"""Clients that people use, each as it is installed, through the gateway to a server of the `mcp` package."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from deploy.bench import packages

from .conftest import Running, host, in_database, token
from .test_clients import hosted

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
FASTMCP = "fastmcp==4.1.0"
FASTMCP_CALLS = """
import asyncio, json, sys
from fastmcp import Client

async def main(url, token):
    async with Client(url, auth=token) as client:
        tools = sorted(tool.name for tool in await client.list_tools())
        steps = []

        async def progressed(progress, total, message):
            steps.append(progress)

        counted = await client.call_tool("count", {"to": 3}, progress_handler=progressed)
        print(json.dumps({"tools": tools, "text": counted.content[0].text, "steps": steps}))

asyncio.run(main(*sys.argv[1:]))
"""


async def run(*command: str) -> Any:
    """What the program writes to its standard output, as JSON."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        written, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return json.loads(written)


async def test_the_inspector(
    gateway: Running, owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_CATALOG_PATH", str(tmp_path / "mcp.json"))
    node = await asyncio.to_thread(packages.newer_node)
    directory = await asyncio.to_thread(packages.npm_packages, INSPECTOR)
    inspector = [node, str(directory / ".bin" / "mcp-inspector"), "--cli"]
    async with hosted("one") as url:
        key = await in_database(lambda: token(owner, host(owner, "clock", url)))
        there = [gateway.mcp("clock"), "--transport", "http", "--header", f"Authorization: Bearer {key}"]
        listed = await run(*inspector, *there, "--method", "tools/list")
        assert {tool["name"] for tool in listed["tools"]} == {"whoami", "count", "fail"}
        about = ["--method", "tools/call", "--tool-name", "whoami"]
        assert (await run(*inspector, *there, *about))["content"][0]["text"] == "one"


async def test_fastmcps_client(gateway: Running, owner: User) -> None:
    python = str(await asyncio.to_thread(packages.python_environment, FASTMCP) / "python")
    async with hosted("one") as url:
        key = await in_database(lambda: token(owner, host(owner, "clock", url)))
        found = await run(python, "-c", FASTMCP_CALLS, gateway.mcp("clock"), key)
    assert found == {"tools": ["count", "fail", "whoami"], "text": "counted to 3", "steps": [1, 2, 3]}
