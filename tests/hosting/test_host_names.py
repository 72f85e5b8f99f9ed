"""The Host that hosted servers are named; that the SDK's own guard takes it is in test_handshake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hosting import handshake, host_names
from hosting.handshake import ServerFacts
from hosting.mcp_client import NotServing
from tests.hosting.runtimes.programs import deadline
from tests.hosting.test_handshake import Answer, legacy, serving

API_SERVER = "https://api:6443/k8s/api/v1/namespaces/mcp/services/weather:8000/proxy/mcp"


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("http://127.0.0.1:49153/mcp", "127.0.0.1:49153"),
        ("http://localhost:8000/mcp", "localhost:8000"),
        ("http://[::1]:8000/mcp", "[::1]:8000"),
        ("http://mcphost-notes:8000/mcp", "127.0.0.1:8000"),
        ("http://mcphost-notes.mcp.svc:8000/mcp", "127.0.0.1:8000"),
        ("http://10.1.2.3:8000/mcp", "127.0.0.1:8000"),
        ("http://[fd00::7]:8000/mcp", "127.0.0.1:8000"),
        ("http://notes/mcp", "127.0.0.1:80"),
        (API_SERVER, "api:6443"),
    ],
)
def test_a_server_in_another_network_is_named_the_loopback_address(endpoint: str, name: str) -> None:
    assert host_names.usual(endpoint) == name
    assert host_names.candidates(endpoint)[0] == name


def test_what_else_is_tried_has_the_servers_own_port() -> None:
    tried = host_names.candidates("http://notes:8000/mcp", "https://mcp.example.com/base")
    assert tried == (
        *("127.0.0.1:8000", "localhost:8000", "notes:8000", "mcp.example.com", "127.0.0.1", "localhost"),
    )
    behind = host_names.candidates(API_SERVER)
    assert behind == ("api:6443", "127.0.0.1:8000", "localhost:8000", "127.0.0.1", "localhost")
    pod = API_SERVER.replace("services/weather:8000", "pods/weather-1:8000")
    assert host_names.candidates(pod) == behind


def under_another_name(endpoint: str) -> str:
    """127.1 is this machine, and no address that a guard knows."""
    return endpoint.replace("127.0.0.1", "127.1")


def guarded(allowed: str, refusal: Answer) -> Any:
    def guard(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        return legacy(message, headers) if headers["host"] == allowed else refusal

    return guard


def rpc_refusal(text: str) -> bytes:
    error = {"code": -32000, "message": text}
    return json.dumps({"jsonrpc": "2.0", "error": error, "id": None}).encode()


@pytest.mark.parametrize(
    "refusal",
    [
        (421, "text/plain", b"Invalid Host header"),  # Python's SDK
        (403, "application/json", rpc_refusal("Invalid Host: 127.0.0.1")),  # TypeScript's
        (403, "text/plain", b"Forbidden: Host header is not allowed"),  # Rust's
        (400, "text/plain", b"Invalid host header"),  # Starlette's
    ],
)
def test_a_server_with_hosts_of_its_own_is_named_one_of_them(refusal: Answer) -> None:
    with serving(guarded("mcp.example.com", refusal)) as (endpoint, seen):
        other = under_another_name(endpoint)
        hosts = host_names.candidates(other, "https://mcp.example.com")
        facts = handshake.probe(other, deadline=deadline(), hosts=hosts)
        assert (facts.era, facts.host) == ("legacy", "mcp.example.com")
        assert len(handshake.discover(other, facts, deadline=deadline()).tools) == 3
        assert {headers["host"] for _, _, headers in seen[-4:]} == {"mcp.example.com"}  # the DELETE too


def test_a_server_that_takes_none_of_them_is_told_so() -> None:
    with serving(guarded("elsewhere.example", (421, "", b""))) as (endpoint, _):
        with pytest.raises(NotServing) as caught:
            handshake.probe(under_another_name(endpoint), deadline=deadline())
        port = endpoint.split(":")[2].removesuffix("/mcp")
        assert f"It refuses each Host that it was named: 127.0.0.1:{port}, localhost:{port}" in str(
            caught.value
        )
        assert "HTTP 421" in caught.value.message
        assert f"Let it allow 127.0.0.1:{port}" in caught.value.hint


def test_another_refusal_is_none_of_the_host() -> None:
    refused = 403, "text/plain", b"Send a token"
    with serving(lambda *_: refused) as (endpoint, seen), pytest.raises(NotServing, match="HTTP 403"):
        handshake.probe(under_another_name(endpoint), deadline=deadline())
    assert len(seen) == 2


def test_faults_of_the_protocol_are_read_over_http_too() -> None:
    """Bytes that are not UTF-8, a byte order mark, an array, an id that became a string."""

    def odd(message: dict[str, Any], headers: dict[str, str]) -> Answer:
        status, kind, body = legacy(message, headers)
        if message["method"] == "initialize":
            return status, kind, b"\xef\xbb\xbf[" + body + b"]"
        if message["method"] == "tools/list":
            body = body.replace(b'"id": %d' % message["id"], b'"id": "%d"' % message["id"])
            return (
                status,
                "text/event-stream",
                b"data: " + body.replace(b'"tool0"', b'"t\xf6\xf6l"') + b"\n\n",
            )
        return status, kind, body

    with serving(odd) as (endpoint, _):
        facts = handshake.probe(endpoint, deadline=deadline())
        assert facts == ServerFacts("legacy", ("2025-06-18",), capabilities={"tools": {}})
        names = [tool["name"] for tool in handshake.discover(endpoint, facts, deadline=deadline()).tools]
    assert names == ["t\ufffd\ufffdl", "tool1", "tool2"]
