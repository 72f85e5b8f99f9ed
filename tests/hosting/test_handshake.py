from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import bridge
from hosting import handshake, mcp_lists
from hosting.deadline import Deadline
from hosting.errors import Cancelled, RuntimeFault
from hosting.handshake import EXITED, ServerFacts
from hosting.mcp_client import NotServing
from hosting.runtimes.base import Handle, RunStatus
from hosting.runtimes.process import ProcessRuntime
from registry.reasons import Reason
from tests.hosting.runtimes.programs import deadline, prepared, spec

SDK_SERVER = """
import os, sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("weather", version="1.2.3", instructions="Ask for a city.")

@server.tool()
def forecast(city: str) -> str:
    "The weather of tomorrow."
    return f"{city}: sun"

@server.prompt()
def packing(city: str) -> str:
    return f"What to pack for {city}?"

@server.resource("weather://stations")
def stations() -> str:
    return "[]"

@server.resource("weather://{city}/today")
def today(city: str) -> str:
    return city

if sys.argv[1] == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host=os.environ["HOST"], port=int(os.environ["PORT"]), **eval(sys.argv[1]))
"""
Answer = tuple[int, str, bytes]
Script = Callable[[dict[str, Any], dict[str, str]], Answer]


def rpc(message: dict[str, Any], **body: Any) -> Answer:
    answer = {"jsonrpc": "2.0", "id": message.get("id"), **body}
    return 200, "application/json", json.dumps(answer).encode()


def legacy(message: dict[str, Any], headers: dict[str, str]) -> Answer:
    """A server of the legacy era with one tool a page."""
    match message["method"]:
        case "initialize":
            capabilities: dict[str, Any] = {"tools": {}}
            return rpc(message, result={"protocolVersion": "2025-06-18", "capabilities": capabilities})
        case "notifications/initialized":
            return 202, "", b""
        case "tools/list":
            page = int(message["params"].get("cursor", 0))
            following = {"nextCursor": str(page + 1)} if page < 2 else {}
            return rpc(message, result={"tools": [{"name": f"tool{page}"}], **following})
    return rpc(message, error={"code": -32601, "message": "Method not found"})


class Scripted(BaseHTTPRequestHandler):
    script: Script
    seen: list[tuple[str, str, dict[str, str]]]

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append(("POST", message["method"], headers))
        self.answer(*type(self).script(message, headers))

    def do_DELETE(self) -> None:
        self.seen.append(("DELETE", "", {name.lower(): value for name, value in self.headers.items()}))
        self.answer(200, "", b"")

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Mcp-Session-Id", "session-1")
        if kind:
            self.send_header("Content-Type", kind)
        if status in (307, 308):
            self.send_header("Location", "/mcp/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # a client may have read enough
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serving(script: Script) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    seen: list[tuple[str, str, dict[str, str]]] = []
    handler = type("Handler", (Scripted,), {"script": staticmethod(script), "seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint at which nothing listens, nor will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"


def running() -> RunStatus:
    return RunStatus(alive=True)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Callable[[str], tuple[str, Callable[[], RunStatus]]]]:
    """Hosts the SDK's server with the given options; its endpoint and whether it is alive."""
    runtime = ProcessRuntime(tmp_path / "runs", Path(bridge.__path__[0]))
    handles: list[Handle] = []

    def host(options: str) -> tuple[str, Callable[[], RunStatus]]:
        directory = prepared(tmp_path / "runs" / str(len(handles)), SDK_SERVER)
        command = (sys.executable, "server.py", options)
        transport = "stdio" if options == "stdio" else "streamable-http"
        handle = runtime.start(
            spec(directory, command=command, transport=transport), deadline=deadline(), log=print
        )
        handles.append(handle)
        return handle.endpoint, lambda: runtime.poll(handle)

    yield host
    for handle in handles:
        runtime.stop(handle, grace=5)


@pytest.mark.parametrize("options", ["{}", "{'json_response': True}", "{'stateless_http': True}", "stdio"])
def test_the_sdks_server_is_known_in_both_eras_with_all_that_it_offers(hosted: Any, options: str) -> None:
    endpoint, alive = hosted(options)
    facts = handshake.wait_healthy(endpoint, deadline=deadline(60), alive=alive)
    assert facts.era == "both"
    assert facts.protocol_versions == ("2026-07-28", "2025-11-25")
    assert (facts.name, facts.version, facts.instructions) == ("weather", "1.2.3", "Ask for a city.")

    for era in ("both", "modern", "legacy"):
        found = handshake.discover(
            endpoint, ServerFacts(era, (), capabilities=facts.capabilities), deadline=deadline()
        )
        assert [tool["name"] for tool in found.tools] == ["forecast"]
        assert found.tools[0]["inputSchema"]["required"] == ["city"]
        assert [prompt["name"] for prompt in found.prompts] == ["packing"]
        assert [resource["uri"] for resource in found.resources] == ["weather://stations"]
        assert [each["uriTemplate"] for each in found.resource_templates] == ["weather://{city}/today"]


def test_the_sdks_guard_takes_the_host_that_it_is_named_under_another_name(hosted: Any) -> None:
    """127.1 is this machine, and no name that a guard knows: as those in a cluster."""
    endpoint, alive = hosted("{}")
    other = endpoint.replace("127.0.0.1", "127.1")
    facts = handshake.wait_healthy(other, deadline=deadline(60), alive=alive)
    assert (facts.era, facts.host) == ("both", "")
    assert [tool["name"] for tool in handshake.discover(other, facts, deadline=deadline()).tools] == [
        "forecast"
    ]


def test_a_legacy_server_is_asked_within_a_session_that_is_closed() -> None:
    with serving(legacy) as (endpoint, seen):
        facts = handshake.probe(endpoint, deadline=deadline())
        assert (facts.era, facts.protocol_versions) == ("legacy", ("2025-06-18",))
        assert [what for _, what, _ in seen] == [
            *("server/discover", "initialize", "notifications/initialized", ""),
        ]
        assert seen[0][2]["mcp-method"] == "server/discover"
        assert seen[0][2]["mcp-protocol-version"] == "2026-07-28"
        assert "mcp-protocol-version" not in seen[1][2]
        for _, _, headers in seen[2:]:
            assert headers["mcp-session-id"] == "session-1"
            assert headers["mcp-protocol-version"] == "2025-06-18"
        assert seen[-1][0] == "DELETE"


def test_a_modern_server_is_asked_without_a_session() -> None:
    def modern(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        meta = message["params"]["_meta"]
        assert meta["io.modelcontextprotocol/protocolVersion"] == headers["mcp-protocol-version"]
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        if message["method"] == "tools/list":
            return rpc(message, result={"tools": [{"name": "a"}]})
        info = {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "2"}}
        offer = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        return rpc(message, result={**offer, "_meta": info})

    def only_modern(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        if message["method"] == "initialize":
            return rpc(message, error={"code": -32022, "message": "Unsupported protocol version"})
        return modern(message, headers)

    with serving(only_modern) as (endpoint, seen):
        facts = handshake.probe(endpoint, deadline=deadline())
        assert (facts.era, facts.name, facts.version) == ("modern", "new", "2")
        assert handshake.discover(endpoint, facts, deadline=deadline()).tools == [{"name": "a"}]
        assert seen[-1][1] == "tools/list"


def test_lists_are_read_page_by_page_and_only_those_announced() -> None:
    with serving(legacy) as (endpoint, seen):
        facts = handshake.probe(endpoint, deadline=deadline())
        found = handshake.discover(endpoint, facts, deadline=deadline())
        assert [tool["name"] for tool in found.tools] == ["tool0", "tool1", "tool2"]
        assert found.prompts == found.resources == found.resource_templates == []
        assert not {what for _, what, _ in seen} & {"prompts/list", "resources/list"}
        assert seen[-1][0] == "DELETE"


def test_endless_lists_are_cut() -> None:
    def endless(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        if message["method"] != "tools/list":
            return legacy(message, headers)
        page = int(message["params"].get("cursor", 0))
        tools = [{"name": f"{page}.{number}"} for number in range(50)]
        return rpc(message, result={"tools": tools, "nextCursor": str(page + 1)})

    with serving(endless) as (endpoint, _):
        found = handshake.discover(
            endpoint, ServerFacts("legacy", (), capabilities={"tools": {}}), deadline=deadline()
        )
        assert len(found.tools) == mcp_lists.MAX_ITEMS
        assert found.truncated == ("tools/list",)
        assert found.notes == ("The list of tools/list was cut: it holds more than 2,000 items.",)


ROUND = ("The pages of tools/list go round: what came once was listed, and no more asked.",)
Page = tuple[list[str], str | None]


@pytest.mark.parametrize(
    ("pages_by_cursor", "names", "asked", "notes"),
    [
        # "" at the end, taken by the server for a cursor like any other, or for none.
        ({None: (["one", "two"], "p2"), "p2": (["three"], ""), "": (["three"], "")}, "one two three", 3, ()),
        ({None: (["one", "two"], ""), "": (["one", "two"], "")}, "one two", 2, ()),
        ({None: (["one"], "p2"), "p2": (["two"], ""), "": (["one"], "p2")}, "one two", 3, ROUND),
        # "" at the end, and then an error for it.
        ({None: (["one"], "")}, "one", 2, ()),
        # "" that leads on.
        ({None: (["one"], ""), "": (["two"], "p3"), "p3": (["three"], None)}, "one two three", 3, ()),
        # Cursors that stand still, go round, or lead to what was there.
        ({None: (["one"], "same"), "same": (["one"], "same")}, "one", 2, ROUND),
        ({None: (["one"], "a"), "a": (["two"], "b"), "b": (["three"], "a")}, "one two three", 3, ROUND),
        ({None: (["one"], "a"), "a": (["one"], "b"), "b": (["one"], "c")}, "one", 2, ROUND),
        # Pages that overlap, and one that is empty, as behind a filter.
        ({None: (["one", "two"], "a"), "a": (["two", "three"], None)}, "one two three", 2, ()),
        ({None: ([], "a"), "a": (["one"], None)}, "one", 2, ()),
    ],
)
def test_a_list_ends_however_its_cursors_do(
    pages_by_cursor: dict[str | None, Page], names: str, asked: int, notes: tuple[str, ...]
) -> None:
    def paged(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        if message["method"] != "tools/list":
            return legacy(message, headers)
        cursor = message["params"].get("cursor")
        if cursor not in pages_by_cursor:
            return rpc(message, error={"code": -32602, "message": "Invalid cursor"})
        tools, following = pages_by_cursor[cursor]
        return rpc(message, result={"tools": [{"name": name} for name in tools], "nextCursor": following})

    with serving(paged) as (endpoint, seen):
        found = handshake.discover(
            endpoint, ServerFacts("legacy", (), capabilities={"tools": {}}), deadline=deadline()
        )
        assert [tool["name"] for tool in found.tools] == names.split()
        assert [what for _, what, _ in seen].count("tools/list") == asked
        assert (found.notes, found.truncated) == (notes, ())


def test_pages_without_end_that_hold_nothing_are_cut_too() -> None:
    def empty(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        if message["method"] != "tools/list":
            return legacy(message, headers)
        page = int(message["params"].get("cursor", 0))
        return rpc(message, result={"tools": [], "nextCursor": str(page + 1)})

    with serving(empty) as (endpoint, seen):
        found = handshake.discover(
            endpoint, ServerFacts("legacy", (), capabilities={"tools": {}}), deadline=deadline()
        )
        assert [what for _, what, _ in seen].count("tools/list") == mcp_lists.MAX_PAGES
        assert found.truncated == ("tools/list",)
        assert found.notes == ("The list of tools/list was cut: it has more than 100 pages.",)


def test_a_list_that_is_announced_and_missing_is_empty_and_an_error_is_a_fault() -> None:
    facts = ServerFacts("legacy", (), capabilities={"prompts": {}})
    with serving(legacy) as (endpoint, _):
        assert handshake.discover(endpoint, facts, deadline=deadline()).prompts == []

    def broken(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        if message["method"] == "prompts/list":
            return rpc(message, error={"code": -32603, "message": "database is gone"})
        return legacy(message, headers)

    with (
        serving(broken) as (endpoint, _),
        pytest.raises(RuntimeFault, match=r"prompts/list.*database is gone"),
    ):
        handshake.discover(endpoint, facts, deadline=deadline())


def test_the_answer_is_found_among_other_messages_of_a_stream() -> None:
    def streaming(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        status, kind, body = legacy(message, headers)
        if message["method"] != "initialize":
            return status, kind, body
        note = b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}'
        stream = (
            b": hello\r\nid: 1\r\ndata:\r\n\r\ndata: " + note + b"\r\n\r\nevent: message\r\ndata: " + body
        )
        return 200, "text/event-stream; charset=utf-8", stream + b"\r\n\r\n"

    with serving(streaming) as (endpoint, _):
        assert handshake.probe(endpoint, deadline=deadline()).era == "legacy"


@pytest.mark.parametrize(
    "stream", ["data: {}\r\r", "\ufeffdata: {}\n\n", "data: {}\n\r", "data\ndata: {}\r\n\r\n"]
)
def test_an_answer_is_an_event_whatever_ends_its_lines(stream: str) -> None:
    def streaming(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        status, kind, body = legacy(message, headers)
        if message["method"] != "initialize":
            return status, kind, body
        return 200, "text/event-stream", stream.encode().replace(b"{}", body)

    with serving(streaming) as (endpoint, _):
        assert handshake.probe(endpoint, deadline=deadline()).era == "legacy"


def test_what_no_database_keeps_is_left_out() -> None:
    def odd(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        status, kind, body = legacy(message, headers)
        tool = (
            rb'{"name": "cut\u0000", "description": "\ud83d", "inputSchema": {"default": NaN, "\udc00": 1}}'
        )
        return status, kind, body.replace(b'{"name": "tool0"}', tool)

    with serving(odd) as (endpoint, _):
        facts = handshake.probe(endpoint, deadline=deadline())
        first = handshake.discover(endpoint, facts, deadline=deadline()).tools[0]
    assert first == {"name": "cut", "description": "?", "inputSchema": {"default": None, "?": 1}}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, "application/json", b"[" * 100_000), "not MCP"),
        ((404, "text/html", b"<h1>Not found</h1>"), "HTTP 404 at /mcp. Set the server's path"),
        ((307, "", b""), "HTTP 307 to /mcp/"),
        ((401, "text/plain", b"no"), "credentials of its own"),
        ((500, "text/plain", b"oops"), "HTTP 500"),
        ((200, "text/html", b"<h1>Welcome</h1>"), "not MCP: HTTP 200, content type text/html"),
        ((200, "application/json", b'{"hello": "world"}'), "not MCP"),
        ((200, "application/json", b"{"), "not MCP"),
        ((200, "text/event-stream", b"data: {}\n\n"), "not MCP"),
    ],
)
def test_what_is_not_mcp_is_told_apart(answer: Answer, words: str) -> None:
    with serving(lambda *_: answer) as (endpoint, _), pytest.raises(NotServing) as caught:
        handshake.probe(endpoint, deadline=deadline())
    assert words in str(caught.value)


def test_an_answer_that_never_comes_ends_with_the_timeout() -> None:
    hold = threading.Event()

    def silent(*_: object) -> Answer:
        hold.wait(30)
        return 500, "", b""

    with serving(silent) as (endpoint, _):
        with pytest.raises(NotServing, match=r"did not answer within 0\.2 s"):
            handshake.probe(endpoint, deadline=deadline(), timeout=0.2)
        hold.set()


def test_an_answer_too_long_is_not_read_to_its_end() -> None:
    huge = 200, "application/json", b'{"jsonrpc": "2.0", "id": 2, "result": {"x": "' + b"x" * (9 << 20)
    with serving(lambda *_: huge) as (endpoint, _), pytest.raises(NotServing, match="longer than"):
        handshake.probe(endpoint, deadline=deadline())


def test_waiting_goes_on_until_the_server_answers() -> None:
    asked = iter([(503, "", b""), (404, "text/plain", b"")] * 2)

    def slow(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        return next(asked, None) or legacy(message, headers)

    with serving(slow) as (endpoint, _):
        assert handshake.wait_healthy(endpoint, deadline=deadline(), alive=running).era == "legacy"


def test_waiting_ends_at_once_when_the_run_has_exited(silent: str) -> None:
    exited = RunStatus(False, 3, "It exited with code 3.")
    with pytest.raises(RuntimeFault, match="has exited before it answered") as caught:
        handshake.wait_healthy(silent, deadline=deadline(600), alive=lambda: exited)
    assert "It exited with code 3." in caught.value.message
    assert caught.value.details == {"exit_code": 3}
    assert caught.value.reason is Reason.CRASHED
    assert caught.value.hint == EXITED


def test_what_helps_is_said_once(silent: str) -> None:
    exited = RunStatus(False, 3, f"It exited with code 3. {EXITED}", advice=EXITED)
    with pytest.raises(RuntimeFault) as caught:
        handshake.wait_healthy(silent, deadline=deadline(600), alive=lambda: exited)
    assert str(caught.value).count(EXITED) == 1


def test_the_end_of_the_deadline_says_what_was_seen_last(silent: str) -> None:
    with pytest.raises(RuntimeFault, match=r"seen last: Connection refused.*PORT"):
        handshake.wait_healthy(silent, deadline=deadline(2), alive=running)


def test_waiting_can_be_cancelled(silent: str) -> None:
    with pytest.raises(Cancelled):
        handshake.wait_healthy(silent, deadline=Deadline.of(600, lambda: True), alive=running)
