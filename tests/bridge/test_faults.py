"""Servers that keep the protocol badly: each call is answered or refused at once, by either bridge, in either
era."""

from __future__ import annotations

import json
import sys
from typing import Any

import aiohttp
import pytest

from tests.bridge.conftest import Start
from tests.bridge.harness import (
    SERVERS,
    Bridge,
    LegacyClient,
    Message,
    ModernClient,
    initialize,
    notification,
    request,
    until,
)

ODD = [sys.executable, str(SERVERS / "odd_server.py")]
NOT_JSON = "server answered with a line that is not JSON"
NEITHER = "server answered with neither a result nor an error"
UNASKED = "server answered with an id that no request has"


@pytest.fixture(scope="module")
def odd_bridge(program: list[str]) -> Any:
    bridge = Bridge(program, [], ODD)
    yield bridge
    assert bridge.stop() == 0


@pytest.fixture(params=["legacy", "modern"])
async def client(
    odd_bridge: Bridge, http: aiohttp.ClientSession, request: pytest.FixtureRequest
) -> LegacyClient | ModernClient:
    if request.param == "modern":
        return ModernClient(http, odd_bridge.url)
    return await LegacyClient(http, odd_bridge.url).open()


async def said(client: LegacyClient | ModernClient, data: str, request_id: Any = 1) -> Message:
    """What the caller of a tool gets that writes `data`."""
    answer: Message = (await client.call("say", request_id, bytes=data))[-1]
    assert (answer["jsonrpc"], answer["id"], type(answer["id"])) == ("2.0", request_id, type(request_id))
    return answer


def line(result: str, head: str = '"jsonrpc":"2.0","id":ID,') -> str:
    return f'{{{head}"result":{result}}}\n'


MEANT: list[tuple[str, Message]] = [
    (line('{"text":"caf\xe9"}'), {"text": "caf�"}),
    (line('{"text":"\xc3\xa9 \xed\xa0\x80"}'), {"text": "é ���"}),
    (
        line('{"v":NaN,"w":[Infinity,-Infinity,1.50],"t":"NaN"}'),
        {"v": None, "w": [None, None, 1.5], "t": "NaN"},
    ),
    (line('{"n":12345678901234567890,"v":NaN}'), {"n": 12345678901234567890, "v": None}),
    (line('{"text":"a\ttab, \x1b[1m"}'), {"text": "a\ttab, \x1b[1m"}),
    ("\xef\xbb\xbf" + line("{}"), {}),
    (line("{}").replace("\n", "\r\n"), {}),
    (f"[{line('{}').strip()}]\n", {}),
    (f'{{"jsonrpc":"2.0","method":"notifications/x"}}{line("{}")}', {}),
    (f"{line('{}').strip()} {line('{}')}", {}),
    (line('{"twice":1}') + line('{"twice":2}'), {"twice": 1}),
    (line("{}", head='"id":ID,'), {}),
    (line("{}", head='"jsonrpc":2.0,"id":ID,'), {}),
    ('{"jsonrpc":"2.0","id":ID,"result":{},"error":null}\n', {}),
    (
        '{\n  "jsonrpc": "2.0",\n  "id": ID,\n  "result": {\n    "a": [\n      1\n    ]\n  }\n}\n',
        {"a": [1]},
    ),
    ("a line of its own\n[INFO] {}\n{}\n" + line("{}"), {}),
    ('{"level":"error","id":ID,"error":"of a log"}\n' + line("{}"), {}),
    ('{"jsonrpc":"2.0","id":ID,"method":"tools/call",broken\n' + line("{}"), {}),
]


async def test_an_answer_that_means_something_is_passed_on(client: LegacyClient | ModernClient) -> None:
    for number, (data, result) in enumerate(MEANT):
        assert ((await said(client, data, number)).get("result"), data) == (result, data)


@pytest.mark.parametrize("client", ["legacy"], indirect=True)
async def test_an_id_may_come_back_in_another_type(client: LegacyClient) -> None:
    for request_id, named in [
        (1, '"1"'),
        (2, "2.0"),
        (0, '"0"'),
        (-3, '"-3"'),
        ("4", "4"),
        ("5", "5.0"),
        (6, '"6.0"'),
    ]:
        answer = await said(client, line("{}", head=f'"jsonrpc":"2.0","id":{named},'), request_id)
        assert (answer["result"], named) == ({}, named)


@pytest.mark.parametrize("client", ["modern"], indirect=True)
async def test_so_may_the_numbers_that_the_bridge_gives(client: ModernClient) -> None:
    for request_id, named in [(1, '"ID"'), ("1", '"ID"'), ("a b", "ID.0"), (7, '"ID.0"')]:
        answer = await said(client, line("{}", head=f'"jsonrpc":"2.0","id":{named},'), request_id)
        assert (answer["result"], named) == ({}, named)


MEANINGLESS = [
    (line('{"v":undefined}'), NOT_JSON),
    (line('{"text":"he said "no""}'), NOT_JSON),
    (line('{"text":"two\nlines"}'), NOT_JSON),
    (line('{"v":1'), NOT_JSON),
    ('{"jsonrpc":"2.0","result":{"v":-nan},"id":ID}\n', NOT_JSON),
    ('{"jsonrpc":"2.0","id":ID,"error":{"code":-1,"message":"a\\x"}}\n', NOT_JSON),
    ('{"jsonrpc":"2.0","id":ID}\n', NEITHER),
    (line("{}", head='"jsonrpc":"2.0",'), UNASKED),
    (line("{}", head='"jsonrpc":"2.0","id":null,'), UNASKED),
    (line("{}", head='"jsonrpc":"2.0","id":"made up",'), UNASKED),
    (line("{}", head='"jsonrpc":"2.0","id":true,'), UNASKED),
]


async def test_an_answer_that_means_nothing_is_refused_in_words(client: LegacyClient | ModernClient) -> None:
    for number, (data, why) in enumerate(MEANINGLESS):
        answer = await said(client, data, number)
        assert (answer.get("error"), data) == ({"code": -32603, "message": why}, data)


async def test_an_error_without_an_id_is_the_only_calls(client: LegacyClient | ModernClient) -> None:
    error = {"code": -32700, "message": "Parse error"}
    data = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}) + "\n"
    assert (await said(client, data))["error"] == error


async def test_what_was_mended_is_told_once_and_without_content(
    start: Start, http: aiohttp.ClientSession
) -> None:
    bridge = start(command=ODD)
    client = await LegacyClient(http, bridge.url).open()
    for number in range(2):
        await said(client, line('{"secret":"caf\xe9"}'), number)
        await said(client, line('{"secret":NaN'), number)
    await until(lambda: bridge.logged("the server writes a line that is not JSON in the place of an answer"))
    told = [said for said in bridge.lines if "not UTF-8" in said]
    assert told == ["bridge: the server writes bytes that are not UTF-8, each passed on as U+FFFD"]
    assert not bridge.logged("secret")


LONG_LINES = r"""
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    version, size = message["params"].get("protocolVersion", ""), message["params"].get("size", 0)
    result = '"result":{"protocolVersion":"%s","x":"%s"}' % (version, "x" * size)
    print('{"jsonrpc":"2.0",%s,"id":%d}' % (result, message["id"]), flush=True)
"""


async def test_a_line_that_is_too_long_is_refused(start: Start, http: aiohttp.ClientSession) -> None:
    """Its id is found at its end, too."""
    bridge = start(command=[sys.executable, "-c", LONG_LINES])
    client = await LegacyClient(http, bridge.url).open()
    async with client.post(request("any", 1, size=(64 << 20) + 1)) as response:
        answer = json.loads((await response.text()).rpartition("data: ")[2])
    assert (answer["id"], answer["error"]["code"]) == (1, -32603)
    assert "which is too long" in answer["error"]["message"]


async def test_an_answer_to_a_notification_is_not_taken_for_a_calls(
    start: Start, http: aiohttp.ClientSession
) -> None:
    bridge = start(command=[*ODD, "answers-notifications"])
    client = await LegacyClient(http, bridge.url).open()
    assert await client.send(notification("notifications/initialized")) == 202
    assert (await said(client, line('{"own":true}')))["result"] == {"own": True}


async def test_an_initialize_that_is_no_json_is_refused_and_opens_no_session(
    start: Start, http: aiohttp.ClientSession
) -> None:
    program = (
        'import sys; sys.stdin.readline(); print(\'{"id":0,"result":{oops}}\', flush=True); sys.stdin.read()'
    )
    bridge = start(command=[sys.executable, "-c", program])
    client = LegacyClient(http, bridge.url)
    async with client.post(initialize()) as response:
        assert (await response.json())["error"] == {"code": -32603, "message": NOT_JSON}
    await until(lambda: not bridge.servers())


async def test_a_notification_with_the_id_null_is_one(
    odd_bridge: Bridge, http: aiohttp.ClientSession
) -> None:
    client = await LegacyClient(http, odd_bridge.url).open()
    note = '{"jsonrpc":"2.0","id":null,"method":"notifications/message","params":{}}\n'
    first, last = await client.call("say", 1, bytes=note + line("{}"))
    assert first == {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
    assert last["result"] == {}


async def test_a_client_may_write_its_ids_as_floats(odd_bridge: Bridge, http: aiohttp.ClientSession) -> None:
    client = await LegacyClient(http, odd_bridge.url).open()
    body = json.dumps(request("ping", "ID")).replace('"ID"', "5.0")
    async with client.http.post(client.url, data=body, headers=client.headers) as response:
        assert (await response.json())["id"] == 5
