"""The identity provider is the operator's choice, but its answers are still somebody else's bytes: whatever
comes, nobody is let in, a page says so, no thread waits without end, and nothing of it is kept in memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from django.test import Client

from access.models import AuditEntry
from access.sso import provider_http
from tests.access.provider import CLIENT_ID, CLIENT_SECRET, Provider

START = "/login/sso/"
METADATA, TOKEN, KEYS, USERINFO = "/.well-known/openid-configuration", "/token", "/keys", "/userinfo"
pytestmark = pytest.mark.django_db
Answering = Callable[[BaseHTTPRequestHandler], None]


class Hostile(Provider):
    """Answers as a good one does, but for the paths in `spoilt`."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: dict[str, Answering] = {}
        self.asked: list[str] = []

    def start(self) -> ThreadingHTTPServer:
        server = super().start()
        good, provider = server.RequestHandlerClass, self

        class Handler(good):  # type: ignore[misc, valid-type]
            def do_GET(self) -> None:
                self._answer(super().do_GET)

            def do_POST(self) -> None:
                self._answer(super().do_POST)

            def _answer(self, well: Callable[[], None]) -> None:
                path = urlsplit(self.path).path
                provider.asked.append(path)
                spoilt = provider.spoilt.get(path)
                spoilt(self) if spoilt else well()

        server.RequestHandlerClass = Handler
        return server


@pytest.fixture
def hostile(settings: Any) -> Iterator[Hostile]:
    made = Hostile()
    server = made.start()
    settings.OIDC_ISSUER, settings.OIDC_NAME = made.url, "Example ID"
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
    yield made
    server.shutdown()
    server.server_close()


def says(body: Any, *, status: int = 200, **headers: str) -> Answering:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def without_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 65536)
    except OSError:
        handler.close_connection = True


def by_the_byte(handler: BaseHTTPRequestHandler) -> None:
    """Each byte comes in time, the last one never."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.connection.settimeout(0.05)
    try:
        while True:
            handler.wfile.write(b" ")
            try:
                if not handler.connection.recv(1):
                    break
            except TimeoutError:
                continue
    except OSError:
        pass
    handler.close_connection = True


def bomb(handler: BaseHTTPRequestHandler) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(b" " * (64 << 20)) + packer.flush()
    says(packed, Content_Encoding="gzip")(handler)


def leads_to(place: str) -> Answering:
    return says(b"", status=307, Location=place)


DEEP = b"[" * 100_000
NOT_AS_WANTED: dict[str, Answering] = {
    "a list": says(["access_token"]),
    "a number": says(7),
    "null": says(None),
    "no JSON": says(b"<html>"),
    "deep": says(DEEP),
    "not UTF-8": says(b'{"issuer": "\xff\xfe"}'),
    "no content type": says([], Content_Type=""),
    "an error": says({"error": "\x1b[2Jgone", "error_description": "<script>alert(1)</script>"}, status=500),
    "a bomb": bomb,
    "without end": without_end,
}


def try_to_sign_in(client: Client) -> Any:
    """The last answer that the browser gets; the provider's own page is passed through where there is one."""
    begun = client.get(START)
    if begun.status_code != 302:
        return begun
    parts = urlsplit(_through(begun["Location"]))
    return client.get(f"{parts.path}?{parts.query}")


def refused(answer: Any) -> str:
    assert answer.status_code in (401, 403), answer.content
    text = str(answer.content.decode())
    assert "You are not signed in" in text
    assert "<script>alert" not in text
    assert not User.objects.exists()
    return text


@pytest.mark.parametrize("path", [METADATA, TOKEN, KEYS, USERINFO])
@pytest.mark.parametrize("what", NOT_AS_WANTED)
def test_whatever_it_answers_there_is_a_page_and_nobody_is_in(
    hostile: Hostile, client: Client, path: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.spoilt[path] = NOT_AS_WANTED[what]
    refused(try_to_sign_in(client))
    assert all(len(str(record.__dict__.get("reason", ""))) <= 500 for record in caplog.records)


@pytest.mark.parametrize("path", [METADATA, TOKEN, KEYS, USERINFO])
def test_an_answer_by_the_byte_ends_with_the_time_for_it(
    hostile: Hostile, client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for a whole exchange, not for each byte: `provider_http.SECONDS`, made short here."""
    monkeypatch.setattr(provider_http, "SECONDS", 0.5)
    hostile.spoilt[path] = by_the_byte
    refused(try_to_sign_in(client))


@pytest.mark.parametrize("path", [METADATA, TOKEN, KEYS, USERINFO])
def test_a_redirect_is_not_followed_with_the_secret_in_hand(
    hostile: Hostile, client: Client, path: str
) -> None:
    hostile.spoilt[path] = leads_to(f"{hostile.url}/elsewhere")
    refused(try_to_sign_in(client))
    assert "/elsewhere" not in hostile.asked


def test_endpoints_at_the_metadata_service_of_a_cloud_are_not_asked(hostile: Hostile, client: Client) -> None:
    hostile.spoilt[METADATA] = says({**hostile.metadata(), "token_endpoint": "http://169.254.169.254/token"})
    refused(try_to_sign_in(client))


@pytest.mark.parametrize(
    "claims",
    [
        {"preferred_username": "a\x00b"},
        {"preferred_username": "\ud800"},
        {"preferred_username": {"$ne": ""}},
        {"preferred_username": "<img src=x onerror=alert(1)>"},
        {"preferred_username": "x" * 100_000},
        {"email": ["a@example.org"]},
        {"given_name": "\x00", "family_name": "\ud800"},
        {"groups": [{"a": 1}, "\x00", "x" * 10_000]},
        {"sub": "x\x00y"},
        {"sub": ""},
        {"sub": "s" * 100_000},
        {"sub": 1001},
    ],
    ids=lambda claims: ascii(claims)[:40],
)
def test_claims_become_a_plain_account_or_a_page_that_says_why_not(
    hostile: Hostile, client: Client, claims: dict[str, Any]
) -> None:
    hostile.person |= claims
    answer = try_to_sign_in(client)
    assert answer.status_code in (302, 401, 403), answer.content
    for user in User.objects.all():
        user.full_clean(exclude=["password", "email"])
        assert not user.is_superuser
    if answer.status_code == 302:
        assert client.get("/admin/").status_code == 200


def test_a_session_from_before_the_login_is_worth_nothing_after_it(hostile: Hostile) -> None:
    """Fixation: who planted a session in a browser does not share the login that comes."""
    victim, planted = Client(), Client()
    begun = victim.get(START)
    planted.cookies.update(victim.cookies)
    parts = urlsplit(_through(begun["Location"]))
    assert victim.get(f"{parts.path}?{parts.query}").status_code == 302
    assert victim.get("/admin/").status_code == 200
    assert planted.get("/admin/").status_code == 302


def test_a_session_that_was_ended_is_not_taken_up_again(hostile: Hostile, client: Client) -> None:
    """Replay: a cookie that somebody kept is worth nothing after the logout."""
    try_to_sign_in(client)
    kept = Client()
    kept.cookies.update(client.cookies)
    assert kept.get("/admin/").status_code == 200
    assert client.post("/admin/logout/").status_code in (200, 302)
    assert kept.get("/admin/").status_code == 302


def test_an_answer_of_the_provider_opens_once_and_in_its_own_browser(hostile: Hostile) -> None:
    mine, thief = Client(), Client()
    parts = urlsplit(_through(mine.get(START)["Location"]))
    back = f"{parts.path}?{parts.query}"
    refused(thief.get(back))
    assert mine.get(back).status_code == 302
    assert thief.get(back).status_code == 401
    assert parse_qs(parts.query)["code"][0] not in str(list(AuditEntry.objects.values()))


def _through(address: str) -> str:
    return requests.get(address, allow_redirects=False, timeout=60).headers["Location"]
