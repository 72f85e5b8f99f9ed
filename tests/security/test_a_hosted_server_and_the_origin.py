"""A hosted server that speaks for the origin it shares with the console: beside MCP nothing crosses."""

from __future__ import annotations

import aiohttp
import pytest
from django.contrib.auth.models import User

from mcphost.asgi import make_application
from tests.gateway.conftest import serving

from .gateways import Running, answer, bearer, call, gateway, hosted, options, owner, saying, transactional_db

__all__ = ["gateway", "options", "owner", "transactional_db"]

POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
MAY_CROSS = {
    "allow", "cache-control", "content-encoding", "content-length", "content-security-policy", "content-type",
    "date", "mcp-protocol-version", "mcp-session-id", "retry-after", "server", "transfer-encoding",
    "x-accel-buffering", "x-content-type-options",
}  # fmt: skip
LIES = (
    b"Refresh: 0; url=https://evil.example/",
    b"Location: https://evil.example/",
    b"Content-Location: https://evil.example/",
    b"Content-Security-Policy: default-src *",
    b"Content-Security-Policy-Report-Only: report-uri https://evil.example/",
    b"X-Frame-Options: ALLOWALL",
    b"X-Content-Type-Options: sniff",
    b"X-XSS-Protection: 0",
    b"Service-Worker-Allowed: /",
    b"Set-Cookie: mcphost_session=evil; Path=/",
    b"Set-Login: logged-out",
    b"Clear-Site-Data: *",
    b"Strict-Transport-Security: max-age=0",
    b"Public-Key-Pins: x",
    b"Alt-Svc: h3=evil.example:443",
    b"Link: <https://evil.example/x.js>; rel=preload",
    b"NEL: {}",
    b"Report-To: {}",
    b"Reporting-Endpoints: x=https://evil.example/",
    b"Permissions-Policy: camera=*",
    b"Document-Policy: x",
    b"Referrer-Policy: unsafe-url",
    b"Origin-Agent-Cluster: ?0",
    b"Cross-Origin-Opener-Policy: unsafe-none",
    b"Cross-Origin-Resource-Policy: cross-origin",
    b"Access-Control-Allow-Origin: *",
    b"Access-Control-Allow-Credentials: true",
    b"Timing-Allow-Origin: *",
    b"WWW-Authenticate: Bearer resource_metadata=https://evil.example/",
    b"Proxy-Authenticate: Basic",
    b"Authentication-Info: x",
    b"Content-Disposition: attachment; filename=setup.exe",
    b"SourceMap: https://evil.example/",
    b"Speculation-Rules: https://evil.example/",
    b"No-Vary-Search: params",
    b"Cache-Control: public, max-age=31536000",
    b"Expires: Fri, 01 Jan 2100 00:00:00 GMT",
    b"ETag: x",
    b"Vary: *",
    b"X-Forwarded-Host: evil.example",
    b"X-Accel-Redirect: /internal/",
    b"X-Sendfile: /etc/passwd",
    b"Upgrade: h2c",
    b"X-Whatever-Comes-Next: 1",
)


def guarded(response: aiohttp.ClientResponse) -> bool:
    said = response.headers
    alone = [said.getall("Content-Security-Policy"), said.getall("X-Content-Type-Options")]
    return alone == [[POLICY], ["nosniff"]] and said["Cache-Control"] == "no-store, no-transform"


async def test_a_server_that_sends_every_header_that_a_browser_obeys(gateway: Running, owner: User) -> None:
    needed = (b"Content-Type: application/json", b"Retry-After: 7", b"Mcp-Session-Id: abc", b"Allow: POST")
    async with saying(answer((*LIES, *needed))) as url:
        headers = await hosted(owner, url)
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert {name.lower() for name in response.headers} <= MAY_CROSS
            assert guarded(response)
            assert (response.headers["Retry-After"], response.headers["Allow"]) == ("7", "POST")
            assert response.headers["Mcp-Session-Id"]
            assert await response.read() == b"{}"


async def test_a_server_that_sends_them_with_events(gateway: Running, owner: User) -> None:
    parts = answer((*LIES, b"Content-Type: text/event-stream; charset=x"), b"data: {}\n\n")
    async with saying(parts) as url:
        headers = await hosted(owner, url)
        async with gateway.client.get(gateway.mcp("evil"), headers=headers) as response:
            assert {name.lower() for name in response.headers} <= MAY_CROSS
            assert guarded(response)
            assert response.headers["Content-Type"] == "text/event-stream"
            assert await response.read() == b"data: {}\n\n"


@pytest.mark.parametrize(
    ("said", "crosses"),
    [
        (["text/html"], "text/plain; charset=utf-8"),
        (["text/html; charset=utf-7"], "text/plain; charset=utf-8"),
        (["image/svg+xml"], "text/plain; charset=utf-8"),
        (["application/xhtml+xml"], "text/plain; charset=utf-8"),
        (["text/javascript"], "text/plain; charset=utf-8"),
        (["application/octet-stream"], "text/plain; charset=utf-8"),
        (["nonsense"], "text/plain; charset=utf-8"),
        (["application/json, text/html"], "text/plain; charset=utf-8"),
        (["application/json; a=b, text/html"], "application/json"),
        (["application/json", "text/html"], "application/json"),
        (["text/html", "application/json"], "text/plain; charset=utf-8"),
        (["Application/JSON ; charset=utf-8"], "application/json"),
        (["text/event-stream;charset=utf-8"], "text/event-stream"),
    ],
)
async def test_a_server_that_calls_its_answer_a_page(
    gateway: Running, owner: User, said: list[str], crosses: str
) -> None:
    page = b"<script>alert(document.domain)</script>\n\n"
    async with saying(answer([f"content-type: {kind}".encode() for kind in said], page)) as url:
        headers = await hosted(owner, url)
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert response.headers.getall("Content-Type") == [crosses]
            assert guarded(response)
            assert await response.read() == page


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
@pytest.mark.parametrize("location", [b"https://evil.example/login", b"//evil.example", b"http://[", b""])
async def test_a_server_that_sends_its_callers_elsewhere(
    gateway: Running, owner: User, status: int, location: bytes
) -> None:
    lines = [b"Location: " + location] if location else []
    async with saying(answer(lines, b"" if status == 304 else b"{}", b"%d Elsewhere" % status)) as url:
        headers = await hosted(owner, url)
        send = gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers, allow_redirects=False)
        async with send as response:
            assert response.status == 502
            assert "location" not in response.headers
            assert "evil.example" not in (await response.json())["error"]["message"]


@pytest.mark.parametrize("session", [b"two words", b"\xc3\xa9", b"x" * 5000, b'"<script>" ;'])
async def test_a_server_that_calls_a_session_what_no_caller_can_send_back(
    gateway: Running, owner: User, session: bytes
) -> None:
    async with saying(answer([b"content-type: application/json", b"mcp-session-id: " + session])) as url:
        headers = await hosted(owner, url)
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert response.status == 502
            assert "mcp-session-id" not in response.headers
            assert "session id" in (await response.json())["error"]["message"]


async def test_a_server_that_opens_a_session_where_there_is_none(gateway: Running, owner: User) -> None:
    async with saying(answer([b"content-type: application/json", b"mcp-session-id: abc"])) as url:
        headers = {**await hosted(owner, url), "mcp-protocol-version": "2026-07-28"}
        async with gateway.client.post(gateway.mcp("evil"), json=call(), headers=headers) as response:
            assert (response.status, response.headers.get("mcp-session-id")) == (200, None)


async def test_every_answer_of_the_gateways_own_is_data_too(gateway: Running, owner: User) -> None:
    async with saying() as url:
        good = await hosted(owner, url)
        asked = [
            ("GET", "evil", {}, 401),
            ("POST", "evil", bearer("mcph_unknown"), 401),
            ("POST", "nowhere", good, 404),
            ("GET", "not a slug", good, 404),
            ("PUT", "evil", good, 405),
            ("OPTIONS", "evil", {}, 405),
            ("POST", "evil", {**good, "origin": "https://evil.example"}, 403),
            ("POST", "evil", {**good, "host": "evil.example"}, 421),
            ("POST", "evil", {**good, "host": "a" * 5000 + ".example"}, 421),
            ("POST", "evil", {**good, "mcp-session-id": "x" * 5000}, 404),
            ("POST", "evil", good, 502),
        ]
        for method, slug, headers, status in asked:
            async with gateway.client.request(
                method, gateway.mcp(slug), json=call(), headers=headers
            ) as response:
                assert (response.status, guarded(response)) == (status, True), (method, slug)
        metadata = f"{gateway.url}/.well-known/oauth-protected-resource/mcp/evil"
        async with gateway.client.get(metadata) as response:
            assert guarded(response)
            assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_path_that_this_process_does_not_serve_is_data_too() -> None:
    async with (
        serving(make_application(frozenset())) as url,
        aiohttp.request("GET", f"{url}/mcp/evil") as response,
    ):
        assert (response.status, guarded(response)) == (404, True)
