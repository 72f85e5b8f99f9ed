"""A registry that a stranger named answers what it likes: bodies, headers and lines without end, a byte at a
time, numbers and digests that are none, documents of other shapes, text that acts. Each ends soon in one
error that says so, and nothing of it is obeyed, waited for or kept."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from registry import transport
from registry.challenge import read_challenge
from registry.client import DOCKER_MANIFEST, OCI_INDEX, RegistryClient, digest_of
from registry.content import next_page, read_platform
from registry.credentials import CredentialStore
from registry.engine_errors import from_engine
from registry.errors import RegistryError, from_response
from registry.inspection import start_command
from registry.reference import Reference
from tests.registry.http import Request, Response, serving

JSON = {"Content-Type": "application/json"}
ANSI, BIDI, NUL = "\x1b]0;owned\x07\x1b[2J", "\u202egpj.exe", "\x00"
Talk = Callable[[socket.socket], None]


@pytest.fixture
def says() -> Iterator[Callable[[Talk], str]]:
    """`says(talk)`: the host of a registry that says so to everybody, whatever it is asked."""
    stop, listeners = threading.Event(), list[socket.socket]()

    def start(talk: Talk) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, talk, stop), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, talk: Talk, stop: threading.Event) -> None:
    with suppress(OSError):
        while not stop.is_set():
            connection, _ = listener.accept()
            threading.Thread(target=_talk, args=(connection, talk), daemon=True).start()


def _talk(connection: socket.socket, talk: Talk) -> None:
    with suppress(OSError), connection:
        connection.recv(65_536)
        talk(connection)


def client_of(host: str, timeout: float = 30) -> RegistryClient:
    return RegistryClient(host, credentials=CredentialStore(None), timeout=timeout)


def resolve(host: str, timeout: float = 30, ref: str = "v1") -> Any:
    return client_of(host, timeout).resolve(Reference(host, "app", ref))


def refused(answer: Callable[[Request], Response]) -> str:
    """What is said of a registry that answers so."""
    with serving(answer) as server, pytest.raises(RegistryError) as caught:
        resolve(server.host)
    return str(caught.value)


# --- Without end

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WITHOUT_END: dict[str, tuple[bytes, bytes]] = {
    "a body": (HEAD + b"\r\n", b" " * 65_536),
    "a body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "the length of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65_536),
    "an extension of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65_536),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n" * 1_000),
    "a header": (b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 65_536),
    "a status line": (b"HTTP/1.1 200 ", b"x" * 65_536),
}


@pytest.mark.parametrize("what", WITHOUT_END)
def test_what_never_ends(says: Callable[[Talk], str], what: str) -> None:
    begin, more = WITHOUT_END[what]

    def talk(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(more)

    with pytest.raises(RegistryError):
        resolve(says(talk))


SLOWLY = {
    "a status line": b"HTTP/1.1 200 " + b"x" * 1_000,
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1_000,
    "a body of a length": HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 1_000,
    "a body until the end": HEAD + b"\r\n" + b"{" + b" " * 1_000,
    "an answer before the answer": b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
}


@pytest.mark.parametrize("what", SLOWLY)
def test_a_byte_at_a_time(says: Callable[[Talk], str], what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes in time, and all of them together do not: only the deadline of the whole ends it."""
    gone = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(SLOWLY[what][:12])
        try:
            for byte in SLOWLY[what][12:]:
                gone.wait(0.02)
                connection.sendall(bytes([byte]))
        finally:
            gone.set()

    monkeypatch.setattr(transport, "PATIENCE", 0.02)
    with pytest.raises(RegistryError, match=r"no whole answer within 0\.6 s") as caught:
        resolve(says(talk))
    assert not caught.value.permanent
    assert gone.wait(60), "the connection is ended, not left behind"


def test_a_connection_that_is_kept_obeys_the_deadline_too(
    says: Callable[[Talk], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        connection.recv(65_536)
        while True:
            connection.sendall(b"H")
            threading.Event().wait(0.02)

    client = client_of(says(talk))
    client.ping()
    monkeypatch.setattr(transport, "PATIENCE", 0.02)
    with pytest.raises(RegistryError, match="no whole answer"):
        client.ping()


@pytest.mark.parametrize("status", [200, 500])
def test_a_few_bytes_that_unpack_to_many(status: int) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    said = refused(lambda _: Response(status, bomb, {**JSON, "Content-Encoding": "gzip"}))
    assert "compressed" in said or said.endswith("HTTP 500")


@pytest.mark.parametrize("sign", [",", " ", " ,", 'a="', "<", "a ", "\\", "=", "\t,"])
def test_headers_that_take_long_to_read(sign: str) -> None:
    """Of 64 KiB each: a search that begins anew at every sign took five minutes, and stopped all else."""
    header = sign * (65_000 // len(sign))
    assert read_challenge(header) is None
    assert read_challenge(header[:8_000]) is None or sign in ("a ", 'a="')
    assert next_page(header, "/v2/a/tags/list") == ""


@pytest.mark.parametrize(
    "text", ["a" * 60_000, "a.b" * 20_000, "a:1" * 20_000, "a./" * 20_000, "[:" * 30_000]
)
def test_words_of_an_engine_that_take_long_to_read(text: str) -> None:
    assert from_engine(text).permanent


# --- Of another shape

CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()


def manifest(**fields: Any) -> Callable[[Request], Response]:
    body = json.dumps({"mediaType": DOCKER_MANIFEST, **fields}).encode()
    return lambda request: Response(200, CONFIG if "/blobs/" in request.path else body, JSON)


def index(*entries: Any) -> Callable[[Request], Response]:
    return manifest(mediaType=OCI_INDEX, manifests=list(entries))


SHAPES: dict[str, Callable[[Request], Response]] = {
    "nothing": lambda _: Response(200, b""),
    "a page": lambda _: Response(200, b"<html>", {"Content-Type": "text/html"}),
    "a list": lambda _: Response(200, b"[]", JSON),
    "nested": lambda _: Response(200, b"[" * 1_000_000, JSON),
    "nested objects": lambda _: Response(200, b'{"a":' * 500_000, JSON),
    "a number of many digits": lambda _: Response(200, b'{"a": ' + b"9" * 10_000 + b"}", JSON),
    "bytes": lambda _: Response(200, b"\xff\xfe\x00", JSON),
    "no config": manifest(),
    "a config that is a list": manifest(config=[1]),
    "a config that is a text": manifest(config="sha256:x"),
    "a digest that is a path": manifest(config={"digest": "../../../v2/_catalog?x="}),
    "a digest that is a number": manifest(config={"digest": 1}),
    "a digest of markup": manifest(config={"digest": f"sha256:{ANSI}<script>"}),
    "a digest that is not its": manifest(config={"digest": "sha256:" + "0" * 64}),
    "a digest of another kind that is not its": manifest(config={"digest": "sha512:" + "0" * 128}),
    "an index that is a text": manifest(mediaType=OCI_INDEX, manifests="abc"),
    "an index of numbers": index(1, 2),
    "an index of lists": index([], []),
    "an index of very many": index(
        *[{"platform": {"os": "linux", "architecture": f"a{n}"}} for n in range(1_001)]
    ),
}


@pytest.mark.parametrize("what", SHAPES)
def test_documents_of_another_shape(what: str) -> None:
    said = refused(SHAPES[what])
    assert said.isprintable()
    assert len(said) < 500


def test_a_digest_that_is_a_path_is_not_asked_for() -> None:
    with serving(SHAPES["a digest that is a path"]) as server:
        with pytest.raises(RegistryError, match="no digest"):
            resolve(server.host)
        assert server.paths() == ["GET /v2/app/manifests/v1"]


def test_an_index_that_leads_to_no_digest() -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    with serving(index({"digest": "../x", "platform": platform})) as server:
        with pytest.raises(RegistryError, match="no digest"):
            start_command(client_of(server.host), Reference(server.host, "app", "v1"), "linux/amd64")
        assert len(server.requests) == 1


def test_content_of_another_digest_than_was_asked_for() -> None:
    wanted = "sha512:" + "0" * 128
    with serving(manifest()) as server, pytest.raises(RegistryError, match="other content"):
        client_of(server.host).get_manifest(Reference(server.host, "app", digest=wanted))


PLATFORMS: list[Any] = [
    None, [], "x", {}, {"os": 1}, {"os": ANSI, "architecture": "x"}, {"os": "a/b", "architecture": "c/d/e"},
    {"os": " ", "architecture": " "}, {"os": "x" * 1_000_000, "architecture": "y"},
]  # fmt: skip


@pytest.mark.parametrize("fields", PLATFORMS)
def test_platforms_that_are_none(fields: Any) -> None:
    found = read_platform(fields)
    assert found.isprintable()
    assert len(found) < 200


def command_of(config: Any) -> Any:
    blob = json.dumps({"config": config}).encode()
    body = json.dumps({"mediaType": DOCKER_MANIFEST, "config": {"digest": digest_of(blob)}}).encode()
    with serving(lambda r: Response(200, blob if "/blobs/" in r.path else body, JSON)) as server:
        return start_command(client_of(server.host), Reference(server.host, "app", "v1"), "linux/amd64")


@pytest.mark.parametrize("config", [{"Entrypoint": "sh -c x"}, {"Cmd": [1, {}]}, {"Entrypoint": {"a": 1}}])
def test_a_command_that_is_no_list_of_words(config: Any) -> None:
    with pytest.raises(RegistryError, match="not a list of words"):
        command_of(config)


@pytest.mark.parametrize("config", [[], "x", 7, None])
def test_an_image_without_a_readable_command(config: Any) -> None:
    assert command_of(config) == ((), ())


@pytest.mark.parametrize("length", ["\u00b2", "-1", "9" * 5_000, "1e3", ""])
def test_a_length_that_is_no_number(says: Callable[[Talk], str], length: str) -> None:
    def talk(connection: socket.socket) -> None:
        head = (
            f"HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:{'a' * 64}\r\nContent-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode("latin-1"))

    host = says(talk)
    with pytest.raises(RegistryError):
        client_of(host).head_manifest(Reference(host, "app", "v1"))


@pytest.mark.parametrize("tags", [b'{"tags": "abc"}', b'{"tags": {"a": 1}}', b'{"tags": 7}'])
def test_tags_of_another_shape(tags: bytes) -> None:
    with serving(lambda _: Response(200, tags)) as server, pytest.raises(RegistryError, match="list of tags"):
        client_of(server.host).tags(Reference(server.host, "app"))


def test_tags_that_are_none_are_left_out() -> None:
    listed = json.dumps({"tags": ["v1", ANSI, "../x", 1, None, "x" * 1_000, "a b"]}).encode()
    with serving(lambda _: Response(200, listed)) as server:
        assert client_of(server.host).tags(Reference(server.host, "app")) == ["v1"]


@pytest.mark.parametrize(
    "link", ["<http://[>; rel=next", "<//elsewhere.example/x>; rel=next", "</admin>; rel=next"]
)
def test_a_next_page_that_is_none(link: str) -> None:
    with serving(lambda _: Response(200, b'{"tags": ["v1"]}', {"Link": link})) as server:
        assert client_of(server.host).tags(Reference(server.host, "app")) == ["v1"]
        assert len(server.requests) == 1


# --- Its token server


def with_token(token: bytes, **headers: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        if request.path.startswith("/token"):
            return Response(200, token, {**JSON, **headers})
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="x"'
        return Response(401, b"", {"WWW-Authenticate": realm})

    return answer


TOKENS = [
    b"[]", b"7", b"[" * 100_000, b'{"token": 7}', b'{"token": ["a"]}', b'{"token": "a b"}',
    b'{"token": "a\\r\\nX: y"}', '{"token": "\u2603"}'.encode(), b'{"token": "\\u001b[2J"}',
    b'{"token": "' + b"a" * 40_000 + b'"}', b'{"token": "' + b"a" * (2 << 20) + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_tokens_that_are_none(token: bytes) -> None:
    said = refused(with_token(token))
    assert "usable token" in said or "larger than" in said


@pytest.mark.parametrize(
    "life", [b"1e400", b"-1e400", b"9" * 4_000, b"NaN", b"true", b'"soon"', b"null", b"-5", b"[1]"]
)
def test_a_life_of_a_token_that_is_none(life: bytes) -> None:
    """The registry goes on refusing: that is what is told, and the token is kept no longer than a day."""
    assert "HTTP 401" in refused(with_token(b'{"token": "abc", "expires_in": ' + life + b"}"))


# --- What it says


def test_a_message_that_acts() -> None:
    document = {
        "errors": [{"code": f"DENIED{ANSI}", "message": f"<b onclick=x>{ANSI}{BIDI}{NUL}\nOK deployed"}]
    }
    said = from_response(403, {}, json.dumps(document).encode(), "Reading x").message
    assert said.isprintable()
    assert "\\x1b[2J" in said
    assert "\\u202e" in said
    assert said.startswith("Reading x: HTTP 403 DENIED")


def test_messages_without_end() -> None:
    document = {"errors": [{"code": "C" * 9_999, "message": "m" * 9_999, "detail": "d" * 9_999}] * 9_999}
    assert len(from_response(403, {}, json.dumps(document).encode(), "Reading x").message) < 3_000


@pytest.mark.parametrize(
    "errors",
    [
        "text",
        7,
        {},
        {"a": 1},
        [1],
        ["text"],
        [[]],
        [{"code": {"a": 1}}],
        [{"code": [1], "message": [2]}],
        None,
    ],
)
def test_error_documents_of_another_shape(errors: Any) -> None:
    body = json.dumps({"errors": errors}).encode()
    assert from_response(500, {}, body, "Reading x").message.startswith("Reading x: HTTP 500")


@pytest.mark.parametrize(
    "wait", ["1e999", "-1", "Fri, 31 Dec 99999 23:59:59 +9999", "\x1b", "Mon, 01 Jan 0001 00:00:00 +2359"]
)
def test_a_time_to_wait_that_is_none(wait: str) -> None:
    asked = from_response(503, {"Retry-After": wait}, b"", "Reading x").retry_after
    assert asked is None or 0 <= asked <= 300


def test_a_redirect_to_a_text_that_acts() -> None:
    to = f"ftp://{ANSI}\x9b2J.example/".encode().decode("latin-1").replace("\x07", "")

    def answer(request: Request) -> Response:
        if "/blobs/" in request.path:
            return Response(302, b"", {"Location": to})
        return manifest(config={"digest": "sha256:" + "0" * 64})(request)

    assert refused(answer).isprintable()


@pytest.mark.parametrize(
    "to",
    [
        "http://[",
        "http://",
        "//",
        "http://a:99999999/",
        "http://" + "a" * 60_000 + "/",
        "http://\xb2.\xff/",
        "x" * 60_000,
    ],
)
def test_a_redirect_to_nowhere(to: str) -> None:
    def answer(request: Request) -> Response:
        if "/blobs/" in request.path:
            return Response(302, b"", {"Location": to})
        return manifest(config={"digest": "sha256:" + "0" * 64})(request)

    said = refused(answer)
    assert said.isprintable()
    assert len(said) <= 4_000


def test_cookies_are_not_kept() -> None:
    with serving(lambda _: Response(200, b"{}", {"Set-Cookie": "who=you; Path=/"})) as server:
        client = client_of(server.host)
        client.ping()
        client.ping()
        assert not any("Cookie" in request.headers for request in server.requests)
