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


@pytest.mark.parametrize(
    ("data", "result"),
    [
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
    ],
)
async def test_an_answer_that_means_something_is_passed_on(
    client: LegacyClient | ModernClient, data: str, result: Message
) -> None:
    assert (await said(client, data))["result"] == result


@pytest.mark.parametrize("request_id", [1, "1", 0, -3, "a b"])
@pytest.mark.parametrize("named", ["ID", '"ID"', "ID.0"])
async def test_an_id_may_come_back_in_another_type(
    client: LegacyClient | ModernClient, request_id: Any, named: str
) -> None:
    """In the newer era the server is given numbers; in the older one what its client chose."""
    legacy = isinstance(client, LegacyClient)
    if legacy and isinstance(request_id, str):
        named = {'"ID"': "ID", "ID.0": request_id if request_id == "1" else "ID"}.get(named, named)
    answer = await said(client, line("{}", head=f'"jsonrpc":"2.0","id":{named},'), request_id)
    assert answer["result"] == {}


@pytest.mark.parametrize(
    ("data", "why"),
    [
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
    ],
)
async def test_an_answer_that_means_nothing_is_refused_in_words(
    client: LegacyClient | ModernClient, data: str, why: str
) -> None:
    assert (await said(client, data))["error"] == {"code": -32603, "message": why}


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


async def test_a_line_that_is_too_long_is_refused(start: Start, http: aiohttp.ClientSession) -> None:
    """The id may stand at either end of it."""
    program = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    p = m['params']\n"
        "    r = json.dumps({'protocolVersion': p.get('protocolVersion'), 'x': 'x' * p.get('size', 0)})\n"
        "    e = ['\"jsonrpc\":\"2.0\"', '\"id\":%d' % m['id'], '\"result\":' + r]\n"
        "    print('{' + ','.join(e if p.get('first', True) else e[::2] + e[1:2]) + '}', flush=True)\n"
    )
    bridge = start(command=[sys.executable, "-c", program])
    client = await LegacyClient(http, bridge.url).open()
    for number, first in enumerate((True, False)):
        async with client.post(request("any", number, size=(64 << 20) + 1, first=first)) as response:
            answer = json.loads((await response.text()).rpartition("data: ")[2])
        assert (answer["id"], answer["error"]["code"]) == (number, -32603)
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
