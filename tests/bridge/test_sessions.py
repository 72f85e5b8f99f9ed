"""The revisions up to 2025-11-25, over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.bridge.conftest import Start
from tests.bridge.harness import (
    HEADERS,
    LEGACY,
    Bridge,
    LegacyClient,
    Message,
    initialize,
    messages,
    notification,
    read_events,
    request,
    text_of,
    tool,
    until,
)


@pytest.fixture
async def client(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> AsyncIterator[LegacyClient]:
    client = await LegacyClient(http, legacy_bridge.url).open()
    yield client
    await client.close()


async def test_answers_with_json_when_nothing_precedes_the_response(client: LegacyClient) -> None:
    async with asyncio.timeout(60):
        while True:  # after a second of silence it would be events
            async with client.post(tool("echo", text="hello")) as response:
                assert response.headers["Mcp-Session-Id"] == client.headers["Mcp-Session-Id"]
                [answer] = await messages(response)
            assert text_of(answer) == "hello"
            if response.content_type == "application/json":
                return


async def test_server_speaks_in_its_own_words(client: LegacyClient) -> None:
    """What is sent is the server's line, to the letter: Python writes a space after each colon."""
    async with client.post(request("ping", 5)) as response:
        said = (await response.text()).rpartition("data: ")[2].rstrip()  # events where it took a second
    assert said == '{"jsonrpc": "2.0", "id": 5, "result": {}}'


async def test_sessions_have_servers_of_their_own(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    clients = await asyncio.gather(*(LegacyClient(http, legacy_bridge.url).open() for _ in range(3)))
    pids = await asyncio.gather(*(client.result("pid") for client in clients))
    assert len(set(pids)) == 3
    await asyncio.gather(*(client.close() for client in clients))


async def test_concurrent_calls_of_one_session(client: LegacyClient) -> None:
    texts = [f"text {number}" for number in range(20)]
    echoes = (client.result("echo", number, text=text) for number, text in enumerate(texts))
    assert await asyncio.gather(*echoes) == texts


async def test_a_number_and_a_string_are_two_ids(client: LegacyClient) -> None:
    calls = [client.call("sleep", request_id, seconds=0.2) for request_id in (1, "1")]
    answers = await asyncio.gather(*calls)
    assert [answer[-1]["id"] for answer in answers] == [1, "1"]


async def test_an_id_in_use_is_refused(client: LegacyClient) -> None:
    async with client.post(tool("hang", 3)) as hanging, client.post(tool("echo", 3, text="x")) as response:
        assert response.status == 400
        assert hanging.status == 200
        await client.send(notification("notifications/cancelled", requestId=3))


async def test_a_cancelled_call_does_not_confuse(client: LegacyClient) -> None:
    """What comes next belongs to the call that is open, though the cancelled one is not answered yet."""
    async with client.post(tool("elicit", 1)) as cancelled:
        assert cancelled.status == 200
        await client.send(notification("notifications/cancelled", requestId=1))
        assert len(await client.call("log", 2)) == 2


async def test_progress_comes_on_the_stream_of_its_request(client: LegacyClient) -> None:
    calls = []
    for token in ("a", 2):
        message = tool("progress", f"id-{token}", meta={"progressToken": token})
        calls.append(client.post(message))
    for token, call in zip(("a", 2), calls, strict=True):
        async with call as response:
            *progress, last = await messages(response)
        assert [step["params"]["progressToken"] for step in progress] == [token] * 3
        assert last["id"] == f"id-{token}"


async def test_log_messages_come_with_the_only_call(client: LegacyClient) -> None:
    log, response = await client.call("log")
    assert log["params"]["data"] == "hello"
    assert text_of(response) == "logged"


@pytest.mark.parametrize(
    ("name", "method"), [("elicit", "elicitation/create"), ("sample", "sampling/createMessage")]
)
async def test_server_asks_the_client(client: LegacyClient, name: str, method: str) -> None:
    async with client.post(tool(name)) as response:
        events = read_events(response)
        asked = await _next_message(events)
        assert asked["method"] == method
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"answer": "Ada"}}
        assert await client.send(answer) == 202
        assert json.loads(text_of(await _next_message(events))) == {"answer": "Ada"}


async def test_server_can_ask_while_several_calls_wait_and_nobody_listens(client: LegacyClient) -> None:
    async with client.post(tool("hang", 1)) as hanging, client.post(tool("elicit", 2)) as response:
        events = read_events(response)
        asked = await _next_message(events)
        await client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
        assert (await _next_message(events))["id"] == 2
        await client.send(notification("notifications/cancelled", requestId=1))
        assert hanging.status == 200


async def test_get_stream_carries_what_belongs_to_no_call(client: LegacyClient) -> None:
    assert await client.send(notification("notifications/initialized")) == 202
    async with client.get() as stream:
        assert stream.content_type == "text/event-stream"
        assert (await _next_message(read_events(stream)))["params"]["data"] == "ready"


async def test_a_newer_get_stream_replaces_the_older_which_ends(client: LegacyClient) -> None:
    async with client.get() as first, client.get() as second:
        assert (first.status, second.status) == (200, 200)
        assert [event async for event in read_events(first)] == []
        assert await client.send(notification("notifications/initialized")) == 202
        assert (await _next_message(read_events(second)))["params"]["data"] == "ready"


async def test_a_client_of_json_alone_gets_the_answer_alone(client: LegacyClient) -> None:
    """What comes before it goes to the GET stream, though it takes longer than a stream waits to begin."""
    json_only = {"Accept": "application/json"}
    async with client.get() as stream:
        for name, arguments in (("log", {}), ("progress", {"_meta": {"progressToken": 5}}), ("sleep", {})):
            meta = arguments.pop("_meta", None)
            message = tool(name, 1, meta, **({"seconds": 1.2} if name == "sleep" else {}))
            async with client.post(message, **json_only) as response:
                assert (response.status, response.content_type) == (200, "application/json")
                assert response.headers["Mcp-Session-Id"] == client.headers["Mcp-Session-Id"]
                assert (await response.json())["id"] == 1
        events = read_events(stream)
        heard = [(await _next_message(events))["method"] for _ in range(4)]
    assert heard == ["notifications/message", *["notifications/progress"] * 3]


async def test_a_client_of_events_alone_gets_events(client: LegacyClient) -> None:
    async with client.post(tool("echo", text="x"), Accept="text/event-stream") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert text_of((await messages(response))[-1]) == "x"


@pytest.mark.parametrize(
    ("name", "method"), [("elicit", "elicitation/create"), ("sample", "sampling/createMessage")]
)
async def test_a_call_that_asks_a_client_of_json_alone_must_stream(
    client: LegacyClient, name: str, method: str
) -> None:
    async with client.post(tool(name, 4), Accept="application/json") as response:
        assert response.status == 406
        said = await response.json()
    assert said["id"] == 4
    assert said["error"]["message"] == f"server asks the client {method}, which takes text/event-stream"
    async with client.post(tool("echo", 5, text="on"), Accept="application/json") as response:
        assert text_of(await response.json()) == "on"


async def test_a_client_of_json_alone_that_listens_can_be_asked(client: LegacyClient) -> None:
    async with client.get() as stream:
        asking = asyncio.create_task(_json_answer(client, tool("elicit", 1)))
        asked = await _next_message(read_events(stream))
        assert asked["method"] == "elicitation/create"
        await client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}})
        assert json.loads(text_of(await asking)) == {"action": "accept"}


async def test_get_stream_can_be_opened_again(client: LegacyClient) -> None:
    async with client.get() as first:
        assert first.status == 200
        first.close()
    statuses = []
    async with asyncio.timeout(60):
        while 200 not in statuses:
            async with client.get() as again:
                statuses.append(again.status)
                again.close()


async def test_cancel_reaches_the_server_and_ends_the_response(client: LegacyClient) -> None:
    async with client.post(tool("hang", 9)) as response:
        events = read_events(response)
        assert (await _next_message(events))["params"]["data"] == "hanging"
        assert await client.send(notification("notifications/cancelled", requestId=9)) == 202
        assert (await _next_message(events))["params"]["data"] == "cancelled"
        assert (await _next_message(events))["error"]["code"] == -32800


async def test_disconnect_is_no_cancel_and_the_response_can_be_fetched(client: LegacyClient) -> None:
    async with client.post(tool("elicit", 4)) as response:
        events = read_events(response)
        prime, _ = await anext(events)
        asked_id, asked = await anext(events)
        response.close()
    assert prime is not None
    await client.send({"jsonrpc": "2.0", "id": json.loads(asked)["id"], "result": {"late": True}})
    async with client.get(**{"Last-Event-ID": str(asked_id)}) as resumed:
        assert [message["id"] for message in await messages(resumed)] == [4]
    async with client.get(**{"Last-Event-ID": prime}) as again:
        assert [message["id"] for message in await messages(again)] == ["ask-1", 4]


async def test_replay_of_the_get_stream(client: LegacyClient) -> None:
    for _ in range(3):
        await client.send(notification("notifications/initialized"))
    async with client.get() as stream:
        events = read_events(stream)
        ids = [(await anext(events))[0] for _ in range(3)]
    async with client.get(**{"Last-Event-ID": str(ids[0])}) as resumed:
        events = read_events(resumed)
        assert [(await anext(events))[0] for _ in range(2)] == ids[1:]


async def test_earlier_clients_get_no_empty_event(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    client = await LegacyClient(http, legacy_bridge.url).open("2025-06-18")
    async with client.post(tool("log")) as response:
        assert [bool(data) async for _, data in read_events(response)] == [True, True]
    await client.close()


async def test_big_messages_pass_both_ways(client: LegacyClient) -> None:
    text = "é" * (1 << 20)  # 2 MiB in UTF-8
    body = json.dumps(tool("echo", text=text), ensure_ascii=False).encode()
    async with client.http.post(client.url, data=body, headers=client.headers) as response:
        assert text_of((await messages(response))[-1]) == text


async def test_a_client_that_reads_slowly_gets_everything(client: LegacyClient) -> None:
    async with client.post(tool("flood", count=64, size=1 << 17)) as response:
        *log, last = await messages(response)
    assert [message["params"]["data"][0] for message in log] == list(range(64))
    assert text_of(last) == "flooded"


async def test_bodies_may_span_lines(client: LegacyClient) -> None:
    body = json.dumps(tool("echo", text="two\nlines"), indent=2).replace("\n", "\r\n")
    async with client.http.post(client.url, data=body, headers=client.headers) as response:
        assert text_of((await messages(response))[-1]) == "two\nlines"


async def test_what_is_not_json_goes_to_the_log(client: LegacyClient, legacy_bridge: Bridge) -> None:
    assert [text_of(message) for message in await client.call("garbage")] == ["printed"]
    await until(lambda: legacy_bridge.logged("stdout of the server is not JSON-RPC: this is not JSON"))
    await until(lambda: legacy_bridge.logged("stdout of the server is not JSON-RPC: 42"))


async def test_stderr_of_the_server_is_the_log(client: LegacyClient, legacy_bridge: Bridge) -> None:
    await client.call("stderr", text="a line of its own")
    await until(lambda: "a line of its own" in legacy_bridge.lines)


async def test_bodies_are_not_logged(client: LegacyClient, legacy_bridge: Bridge) -> None:
    await client.result("echo", text="top secret")
    await client.call("garbage")
    await client.call("crash_midway")
    await until(lambda: legacy_bridge.logged("was not finished: 35 bytes"))
    assert not legacy_bridge.logged("secret")


async def test_delete_ends_the_session_and_its_server(
    legacy_bridge: Bridge, http: aiohttp.ClientSession
) -> None:
    client = await LegacyClient(http, legacy_bridge.url).open()
    pid = int(await client.result("pid"))
    async with client.get() as stream:
        assert await client.close() == 204
        assert [event async for event in read_events(stream)] == []
    assert await client.send(request("ping")) == 404
    await until(lambda: pid not in [server.pid for server in legacy_bridge.servers()])


async def test_crash_is_an_error_for_every_caller_and_the_end_of_the_session(
    legacy_bridge: Bridge, http: aiohttp.ClientSession
) -> None:
    client = await LegacyClient(http, legacy_bridge.url).open()
    async with client.post(tool("hang", 1)) as hanging:
        crashed = await client.call("crash", 2)
        error = {"code": -32000, "message": "server exited with code 3"}
        assert crashed == [{"jsonrpc": "2.0", "id": 2, "error": error}]
        assert (await messages(hanging))[-1] == {"jsonrpc": "2.0", "id": 1, "error": error}
    assert await client.send(request("ping")) == 404


async def test_the_session_header(legacy_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    client = LegacyClient(http, legacy_bridge.url)
    assert await client.send(request("ping")) == 400
    client.headers["Mcp-Session-Id"] = "unknown"
    assert await client.send(request("ping")) == 404
    async with client.get() as response:
        assert response.status == 404


async def test_initialize_that_is_refused_opens_no_session(start: Start, http: aiohttp.ClientSession) -> None:
    refusing = [LEGACY[0], "-c", _REFUSING_SERVER]
    bridge = start(command=refusing)
    async with http.post(bridge.url, json=initialize(), headers=HEADERS) as response:
        assert (await response.json())["error"]["code"] == -32602
    await until(lambda: not bridge.servers())


async def test_an_abandoned_session_makes_room(start: Start, http: aiohttp.ClientSession) -> None:
    """The one that was used least lately; its server is gone before the next begins."""
    bridge = start("--max-sessions", "2", command=LEGACY)
    first, second = [await LegacyClient(http, bridge.url).open() for _ in range(2)]
    assert await first.send(request("ping")) == 200
    for expected in ((200, 404), (404, 404), (404, 404)):
        newest = await LegacyClient(http, bridge.url).open()
        assert len(bridge.servers()) == 2
        assert (await first.send(request("ping")), await second.send(request("ping"))) == expected
        assert await newest.send(request("ping")) == 200


async def test_sessions_in_use_are_not_ended_for_others(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start("--max-sessions", "2", command=LEGACY)
    listening, calling = [await LegacyClient(http, bridge.url).open() for _ in range(2)]
    async with listening.get(), calling.post(tool("hang", 1)) as hanging:
        async with http.post(bridge.url, json=initialize(), headers=HEADERS) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "each is in use" in (await response.json())["error"]["message"]
        assert await calling.send(notification("notifications/cancelled", requestId=1)) == 202
        await messages(hanging)
        newer = await LegacyClient(http, bridge.url).open()
        assert await calling.send(request("ping")) == 404
        assert await listening.send(request("ping")) == 200
        assert await newer.close() == 204


async def test_idle_sessions_end(start: Start, http: aiohttp.ClientSession) -> None:
    bridge = start("--idle-timeout", "0.3", command=LEGACY)
    idle = await LegacyClient(http, bridge.url).open()
    async with listens(bridge, http) as listening:
        await until(lambda: len(bridge.servers()) == 1)
        assert await idle.send(request("ping")) == 404
        assert await listening.send(request("ping")) == 200


@asynccontextmanager
async def listens(bridge: Bridge, http: aiohttp.ClientSession) -> AsyncIterator[LegacyClient]:
    """One that began to listen before its session was idle for too long, however slow the machine is."""
    while True:
        client = await LegacyClient(http, bridge.url).open()
        async with client.get() as stream:
            if stream.status == 200:
                yield client
                return


async def _json_answer(client: LegacyClient, message: Message) -> Message:
    async with client.post(message, Accept="application/json") as response:
        assert response.status == 200
        answer: Message = await response.json()
        return answer


async def _next_message(events: AsyncIterator[tuple[str | None, str]]) -> Any:
    async for _, data in events:
        if data:
            return json.loads(data)
    raise AssertionError("the stream ended")


_REFUSING_SERVER = """
import json, sys
for line in sys.stdin:
    error = {"code": -32602, "message": "no"}
    print(json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "error": error}), flush=True)
"""
