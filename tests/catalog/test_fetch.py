from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from catalog import fetch
from catalog.fetch import Guard, Unreachable
from hosting.errors import Invalid
from tests.catalog.conftest import RegistryApi

HERE = Guard(private=True, most_bytes=1000, seconds=60)
OUTSIDE = Guard(most_bytes=1000, seconds=5)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x",
        "https://192.168.1.1/", "https://169.254.169.254/latest", "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/", "https://100.64.0.1/", "https://224.0.0.1/",
        "https://2130706433/", "https://0x7f.1/",
    ],
)  # fmt: skip
def test_nothing_of_this_network_is_fetched(url: str) -> None:
    with pytest.raises((Invalid, Unreachable)) as caught:
        fetch.get(url, OUTSIDE)
    assert "private network" in str(caught.value) or "name service" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/", "https"), ("file:///etc/passwd", "https"), ("ftp://example.org/", "https"),
        ("https:///x", "https"), ("https://example.org:99999/", "not a URL"), ("", "https"),
        ("https://user:pw@example.org/", "password"), ("https://例え.jp/", "https"),
    ],
)  # fmt: skip
def test_only_https_without_a_password(url: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        fetch.get(url, OUTSIDE)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value).replace("password", "")


def test_a_redirect_is_checked_as_the_first_address_was(registry_api: RegistryApi) -> None:
    registry_api.raw = {
        "/a": (302, {"Location": "/b"}, b""),
        "/b": (200, {}, b"{}"),
        "/away": (302, {"Location": "ftp://example.org/"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
    }
    assert fetch.get(f"{registry_api.url}/a", HERE) == b"{}"
    with pytest.raises(Invalid):
        fetch.get(f"{registry_api.url}/away", HERE)
    with pytest.raises(Unreachable, match="too often"):
        fetch.get(f"{registry_api.url}/round", HERE)


def test_size_and_status_have_bounds(registry_api: RegistryApi) -> None:
    registry_api.raw = {"/big": (200, {}, b"x" * 2000), "/broken": (500, {}, b"")}
    with pytest.raises(Unreachable, match="more than"):
        fetch.get(f"{registry_api.url}/big", HERE)
    with pytest.raises(Unreachable, match="500"):
        fetch.get(f"{registry_api.url}/broken", HERE)
    with pytest.raises(Unreachable, match="404"):
        fetch.get(f"{registry_api.url}/nothing?key=hidden", HERE)


@pytest.fixture(params=[b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """Answers a byte now and then, for ever: of the body, or of the head."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(request.param)
        while not over.wait(0.05):
            try:
                connection.sendall(b" ")
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    over.set()
    listener.close()


def test_who_sends_slowly_meets_the_deadline(dripping: str) -> None:
    with pytest.raises(Unreachable, match="longer"):
        fetch.get(dripping, Guard(private=True, seconds=0.3))


def test_a_connection_that_is_refused_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached"):
        fetch.get(f"http://127.0.0.1:{port}/", HERE)
