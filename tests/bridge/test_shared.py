"""Revision 2026-07-28, over plain HTTP: one server process for all."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from tests.agreements import AGREEMENTS
from tests.bridge.conftest import Start
from tests.bridge.harness import (
    DEADLINE,
    HEADERS,
    LEGACY,
    MODERN,
    Bridge,
    Message,
    ModernClient,
    enveloped,
    initialize,
    messages,
    modern_headers,
    notification,
    read_events,
    request,
    text_of,
    tool,
    until,
)


@pytest.fixture
def client(modern_bridge: Bridge, http: aiohttp.ClientSession) -> ModernClient:
    return ModernClient(http, modern_bridge.url)


async def test_discover_passes(client: ModernClient) -> None:
    async with client.post(request("server/discover", "first")) as response:
        assert "Mcp-Session-Id" not in response.headers
        answer = await response.json()
    assert answer["id"] == "first"
    assert answer["result"]["supportedVersions"] == ["2026-07-28"]


async def test_all_share_one_server(client: ModernClient) -> None:
    pids = await asyncio.gather(*(client.result("pid") for _ in range(5)))
    assert len(set(pids)) == 1


async def test_a_client_of_one_form_gets_that(client: ModernClient) -> None:
    message = request("tools/call", 1, name="progress", arguments={"text": "x"}, _meta={"progressToken": 1})
    async with client.post(message, Accept="application/json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert (await response.json())["id"] == 1
    async with client.post(tool("echo", text="x"), Accept="text/event-stream") as response:
        assert response.content_type == "text/event-stream"
        assert text_of((await messages(response))[-1]) == "x"
    async with client.post(request("subscriptions/listen", 3), Accept="application/json") as response:
        assert (response.status, (await response.json())["id"]) == (406, 3)


async def test_the_same_id_and_token_at_once(client: ModernClient) -> None:
    """Four callers that know nothing of each other use id 1 and token 1 at the same time."""

    async def call(text: str) -> list[str]:
        message = tool("hold", 1, meta={"progressToken": 1}, count=4, text=text)
        async with client.post(message) as response:
            progress, last = await messages(response)
        assert last["id"] == 1
        assert progress["params"]["progressToken"] == 1
        return [progress["params"]["message"], text_of(last)]

    texts = ["a", "b", "c", "d"]
    assert await asyncio.gather(*map(call, texts)) == [[text, text] for text in texts]


async def test_numbers_keep_their_digits(client: ModernClient) -> None:
    digits = "12345678901234567890"
    message = tool("echo", text="DIGITS")
    body = json.dumps(enveloped(message)).replace('"DIGITS"', digits)
    async with client.http.post(client.url, data=body, headers=modern_headers(message)) as response:
        assert f'"text": {digits}' in (await response.text()).replace('":', '": ').replace(":  ", ": ")


async def test_subscription_keeps_its_id(client: ModernClient) -> None:
    async with client.post(request("subscriptions/listen", "listen-1")) as response:
        *changes, last = await messages(response)
    key = "io.modelcontextprotocol/subscriptionId"
    assert [change["params"]["_meta"][key] for change in changes] == ["listen-1"] * 2
    assert last["id"] == last["result"]["_meta"][key] == "listen-1"


async def test_closing_the_response_cancels(start: Start, http: aiohttp.ClientSession) -> None:
    client = ModernClient(http, start(command=MODERN).url)
    async with client.post(tool("hang", 1, meta={"progressToken": "t"})) as response:
        await anext(read_events(response))
        response.close()
    assert await client.result("cancelled", count=1) == "1"


async def test_a_client_that_does_not_read_holds_up_nobody_for_long(
    start: Start, http: aiohttp.ClientSession
) -> None:
    bridge = start(command=MODERN)
    message = tool("flood", 1, meta={"progressToken": 1}, count=1000, size=1 << 17)
    async with deaf_client(bridge, message) as reader:
        await until(lambda: bridge.logged("a client that does not take what it is sent was cut off"))
        assert await ModernClient(http, bridge.url).result("echo", text="still here") == "still here"
        await read_to_the_end(reader)


@asynccontextmanager
async def deaf_client(bridge: Bridge, message: Message) -> AsyncIterator[asyncio.StreamReader]:
    """Posts a message and takes nothing of the answer but what fits into the sockets."""
    host, port = bridge.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    body = json.dumps(enveloped(message)).encode()
    headers = {**modern_headers(message), "Content-Length": str(len(body))}
    lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "\r\n"]
    writer.write("\r\n".join(lines).encode() + body)
    yield reader
    writer.close()


async def read_to_the_end(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        while await reader.read(1 << 20):
            pass


async def test_requests_of_the_server_are_refused(client: ModernClient) -> None:
    assert [text_of(message) for message in await client.call("ask")] == ["asked"]


async def test_notifications_are_accepted_and_dropped(client: ModernClient) -> None:
    message = notification("notifications/cancelled", requestId=1)
    async with client.post(message) as response:
        assert response.status == 202


@pytest.mark.parametrize(
    ("method", "code", "status"), [("nonsense", -32601, 404), ("initialize", -32601, 404)]
)
async def test_errors_have_the_status_of_their_code(
    client: ModernClient, method: str, code: int, status: int
) -> None:
    async with client.post(request(method, 5)) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code
        assert (await response.json())["id"] == 5


async def test_an_unknown_version_is_the_servers_to_refuse(client: ModernClient) -> None:
    message = request("tools/list")
    body = json.dumps(enveloped(message)).replace("2026-07-28", "2099-01-01")
    headers = {**modern_headers(message), "MCP-Protocol-Version": "2099-01-01"}
    async with client.http.post(client.url, data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["data"]["supported"] == ["2026-07-28"]


@pytest.mark.parametrize("case", AGREEMENTS)
async def test_headers_must_say_what_the_body_says(client: ModernClient, case: str) -> None:
    asked = AGREEMENTS[case]
    headers = [*HEADERS.items(), *asked.headers()]
    async with client.http.post(client.url, json=asked.message(), headers=headers) as response:
        status, answer = response.status, await response.json()
    error = answer.get("error", {})
    assert (status == 400, error.get("code") == -32020) == (bool(asked.refused),) * 2
    if asked.refused:
        assert answer["id"] == asked.message()["id"]
        assert f"The {asked.refused} header" in error["message"]


async def test_envelope_must_be_whole(client: ModernClient) -> None:
    message = request("tools/list")
    async with client.http.post(client.url, json=message, headers=modern_headers(message)) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == -32602


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_is_no_session(client: ModernClient, method: str) -> None:
    headers = {**HEADERS, "MCP-Protocol-Version": "2026-07-28"}
    async with client.http.request(method, client.url, headers=headers) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


async def test_crash_fails_all_callers_and_the_server_comes_back(
    start: Start, http: aiohttp.ClientSession
) -> None:
    client = ModernClient(http, start(command=MODERN).url)
    before = await client.result("pid")
    async with client.post(tool("hang", 1, meta={"progressToken": 1})) as hanging:
        assert hanging.status == 200
        async with client.post(tool("crash", 2)) as response:
            assert response.status == 502
            error = {"code": -32000, "message": "server exited with code 3"}
            assert await response.json() == {"jsonrpc": "2.0", "id": 2, "error": error}
        assert (await messages(hanging))[-1] == {"jsonrpc": "2.0", "id": 1, "error": error}
    assert await client.result("pid") != before


async def test_a_server_that_keeps_failing_is_not_started_at_once(
    start: Start, http: aiohttp.ClientSession
) -> None:
    client = ModernClient(http, start(command=["sh", "-c", "exit 3"]).url)
    statuses = []
    async with asyncio.timeout(DEADLINE):
        while 503 not in statuses:  # it waits for longer each time: at last this is quick enough to see it
            async with client.post(request("server/discover")) as response:
                statuses.append(response.status)
                assert (await response.json())["error"]["code"] == -32000
    assert statuses[0] == 502
    assert int(response.headers["Retry-After"]) > 0


async def test_legacy_only_server_lets_clients_fall_back(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start(command=LEGACY)
    client = ModernClient(http, bridge.url)
    for request_id in (1, "again"):
        async with client.post(request("server/discover", request_id)) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == -32601
            assert (await response.json())["id"] == request_id
    await until(lambda: not bridge.servers())  # none is kept for an era it does not speak


# Before its answer it sends a notification whose method no log can write.
ODD = r"""
import json, sys
request = json.loads(sys.stdin.readline())
print(json.dumps({"jsonrpc": "2.0", "method": "\ud800", "params": {"_meta": {"%s": 99}}}))
print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": "no object"}), flush=True)
sys.stdin.read()
"""


async def test_an_error_that_is_no_object_and_a_method_that_is_no_text_are_passed_on_and_logged(
    start: Start, http: aiohttp.ClientSession
) -> None:
    command = [sys.executable, "-c", ODD % "io.modelcontextprotocol/subscriptionId"]
    bridge = start(command=command)
    async with ModernClient(http, bridge.url).post(request("server/discover")) as response:
        assert (await response.json())["error"] == "no object"
    await until(lambda: bridge.logged("belongs to no request: dropped"))


async def test_both_eras_at_one_url(modern_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    """A server without initialize refuses it itself, in a process of its own."""
    async with http.post(modern_bridge.url, json=initialize(), headers=HEADERS) as response:
        assert (await response.json())["error"]["code"] == -32022


async def test_idle_server_ends_and_starts_again(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start("--idle-timeout", "0.3", command=MODERN)
    client = ModernClient(http, bridge.url)
    before = await client.result("pid")
    await until(lambda: not bridge.servers())
    assert await client.result("pid") != before
