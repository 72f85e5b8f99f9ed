"""Arguments and results: kept only where a server asks for it, and never a secret that can be told."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User

from gateway import masking, usage
from gateway.calls import Call, Content
from gateway.types import Receive, Scope, Send
from gateway.usage import UsageWriter
from redaction.redactor import Redactor
from servers.models import Secret

from .conftest import EVENTS, JSON, Running, Upstream, bearer, call, host, in_database, token

pytestmark = pytest.mark.core
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"


def cleaned(value: Any) -> Any:
    return masking.shown(Content(arguments=value), Redactor(["what-the-server-knows"]))["arguments"]


@pytest.mark.parametrize(
    "key",
    [
        "password", "PASSWORD", "db_passwd", "api_key", "apiKey", "X-Api-Key", "Authorization", "Set-Cookie",
        "client_secret", "accessToken", "private_key", "credentials", "otp", "session_id",
    ],
)  # fmt: skip
def test_by_its_key(key: str) -> None:
    assert cleaned({key: "hunter2", "city": "Bern", "deep": [{key: {"a": 1}}]}) == {
        key: "***",
        "city": "Bern",
        "deep": [{key: "***"}],
    }


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        PEM,
        "sk-proj-abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefgh",
        "mcph_abcdefghijklmnopqrstuvwxyz0123456789",
        "what-the-server-knows",
    ],
)
def test_by_its_look(secret: str) -> None:
    found = cleaned({"text": f"before {secret} after", "list": [secret], secret: 1})
    assert secret not in str(found)
    assert found["text"].startswith("before ***" if "mcph_" not in secret else "before mcph_***")
    assert found["text"].endswith(" after")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"password": "hun\\"ter2", "city": "Bern"}', '{"password": ***, "city": "Bern"}'),
        ("API_KEY=abc123 LOG=info", "API_KEY=*** LOG=info"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: *** ***"),
        ("https://me:hunter2@db.example/x", "https://***@db.example/x"),
        ("the token of a ring", "the token of a ring"),
    ],
)
def test_in_text(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_what_is_long_is_cut_and_what_is_large_left_out() -> None:
    assert cleaned("x" * 5000) == "x" * 1000 + "…"
    assert cleaned(["x" * 900] * 20) == {"omitted_bytes": 18_061}
    nested: Any = "deep"
    for _ in range(900):
        nested = [nested]
    assert "…" in str(cleaned(nested))
    assert cleaned({"a\x00b": "c\x00d"}) == {"ab": "cd"}


def test_masking_is_quick_on_text_without_spaces() -> None:
    began = time.process_time()
    for character in ("a", "-", "password", '"', "eyJ"):
        cleaned([character * 60_000] * 3)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("as_events", [False, True])
async def test_kept_on_request(gateway: Running, upstream: Upstream, owner: User, as_events: bool) -> None:
    async def behave(scope: Scope, receive: Receive, send: Send) -> None:
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"text": "key is letmein9"}]}})
        body = b"event: message\ndata: " + body + b"\n\n" if as_events else body
        note = b'data: {"method":"notifications/progress"}\n\n'
        headers = EVENTS if as_events else JSON
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if as_events:
            await send({"type": "http.response.body", "body": note, "more_body": True})
        await send({"type": "http.response.body", "body": body})

    def make() -> str:
        server = host(owner, "clock", upstream.url, record_arguments=True)
        secret = Secret(server=server, name="KEY")
        secret.seal("letmein9")
        secret.save()
        Secret.objects.create(server=server, name="BROKEN", sealed=b"unreadable")
        return token(owner, server)

    upstream.behave = behave
    value = await in_database(make)
    asked = call(name="tell", arguments={"city": "Bern", "password": "hunter2"})
    async with gateway.client.post(gateway.mcp("clock"), json=asked, headers=bearer(value)) as response:
        await response.read()
    (details,) = await gateway.calls()
    assert details["arguments"] == {"city": "Bern", "password": "***"}
    assert details["result"] == {"content": [{"text": "key is ***"}]}
    assert details["sse_messages"] == (2 if as_events else 0)


def test_contents_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_CONTENT", 100_000)
    writer = UsageWriter()
    made = [Call(1, 1, "x", counts=True, bytes_in=60_000, content=Content("a", "b")) for _ in range(4)]
    for each in made:
        writer.record(each)
    assert [each.content is not None for each in made] == [True, True, False, False]
    assert writer.dropped == 0
