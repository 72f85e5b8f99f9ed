"""The bundled example server, spoken to by the MCP SDK's own client and by hand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

SERVER = Path(__file__).parents[2] / "examples/hello/server.py"
META = "io.modelcontextprotocol/"


def client(mode: str) -> Client:
    return Client(stdio_client(StdioServerParameters(command=sys.executable, args=[str(SERVER)])), mode=mode)


def by_hand(*messages: Any) -> list[Any]:
    """Send lines, close stdin; returns what was answered."""
    lines = "".join(f"{m if isinstance(m, str) else json.dumps(m)}\n" for m in messages)
    done = subprocess.run([sys.executable, SERVER], input=lines, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_the_sdk_client_uses_everything_it_offers(mode: str) -> None:
    async with client(mode) as session:
        tools = await session.list_tools()
        assert [tool.name for tool in tools.tools] == ["greet", "add", "now", "count"]
        greeting = await session.call_tool("greet", {"name": "Ada"})
        assert greeting.content[0].text == "Hello, Ada!"
        assert (await session.call_tool("add", {"a": 2, "b": 0.5})).structured_content == {"sum": 2.5}
        assert (await session.call_tool("now", {})).content[0].text.endswith("+00:00")
        assert [str(item.uri) for item in (await session.list_resources()).resources] == ["hello://about"]
        assert "hello server" in (await session.read_resource("hello://about")).contents[0].text
        assert (await session.list_prompts()).prompts[0].arguments[0].required is True
        prompt = await session.get_prompt("introduce", {"name": "Ada"})
        assert "Ada" in prompt.messages[0].content.text


@pytest.mark.parametrize(("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
async def test_the_newest_version_of_each_era_is_negotiated(mode: str, version: str) -> None:
    async with client(mode) as session:
        assert session.protocol_version == version


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_count_reports_progress(mode: str) -> None:
    seen: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with client(mode) as session:
        result = await session.call_tool("count", {"to": 3, "delay_ms": 1}, progress_callback=note)
    assert result.content[0].text == "counted to 3"
    assert seen == [(1, 3), (2, 3), (3, 3)]


async def test_a_slow_call_holds_up_no_other() -> None:
    async with client("auto") as session:
        slow = asyncio.ensure_future(session.call_tool("count", {"to": 1000, "delay_ms": 60_000}))
        assert (await session.call_tool("greet", {"name": "Bob"})).content[0].text == "Hello, Bob!"
        slow.cancel()


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("greet", {}, "missing argument: name"),
        ("greet", {"name": 7}, "must be of type string"),
        ("add", {"a": True, "b": 1}, "must be of type number"),
        ("now", {"timezone": "Mars/Olympus"}, "unknown time zone"),
        ("count", {"to": 0}, "to must be 1 to 1000"),
    ],
)
async def test_wrong_arguments_are_told_to_the_model(name: str, arguments: dict[str, Any], says: str) -> None:
    async with client("auto") as session:
        result = await session.call_tool(name, arguments)
    assert result.is_error is True
    assert says in result.content[0].text


async def test_an_unknown_tool_is_a_protocol_error() -> None:
    async with client("auto") as session:
        with pytest.raises(MCPError, match="nothing"):
            await session.call_tool("nothing", {})


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_initialize_answers_in_the_version_asked_for(version: str) -> None:
    [answer] = by_hand(request("initialize", protocolVersion=version, capabilities={}))
    assert answer["result"]["protocolVersion"] == version


def test_initialize_answers_an_unknown_version_with_its_newest() -> None:
    [answer] = by_hand(request("initialize", protocolVersion="1999-01-01", capabilities={}))
    assert answer["result"]["protocolVersion"] == "2025-11-25"


def test_a_stateless_result_is_complete_and_names_the_server() -> None:
    meta = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {}}
    [answer] = by_hand(request("tools/list", _meta=meta))
    assert answer["result"]["resultType"] == "complete"
    assert answer["result"]["cacheScope"] == "public"
    assert answer["result"]["_meta"][f"{META}serverInfo"]["name"] == "hello"


def test_an_unsupported_stateless_version_names_those_supported() -> None:
    meta = {f"{META}protocolVersion": "2030-01-01", f"{META}clientCapabilities": {}}
    [answer] = by_hand(request("server/discover", _meta=meta))
    assert answer["error"]["code"] == -32022
    assert answer["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2030-01-01"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{nonsense", -32700),
        ({"id": 1, "method": "ping"}, -32600),
        (request("no/such/method"), -32601),
        (request("server/discover"), -32602),
        (request("resources/read", uri="hello://nothing"), -32002),
    ],
)
def test_what_is_malformed_or_unknown_gets_its_code(message: Any, code: int) -> None:
    [answer] = by_hand(message)
    assert answer["error"]["code"] == code


def test_notifications_and_blank_lines_get_no_answer() -> None:
    assert by_hand("", {"jsonrpc": "2.0", "method": "notifications/initialized"}) == []


def test_a_batch_is_answered_as_one() -> None:
    [answers] = by_hand([request("ping"), {**request("ping"), "id": "two"}])
    assert [answer["id"] for answer in answers] == [1, "two"]


def test_a_cancelled_request_gets_no_answer() -> None:
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    slow = request("tools/call", name="count", arguments={"to": 1000, "delay_ms": 60_000})
    assert by_hand(slow, cancel) == []
