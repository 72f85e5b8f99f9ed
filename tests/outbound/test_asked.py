from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

import outbound
from tests.notices.receiver import Receiver, receiving


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as server:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, server.url(""))
        for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def ask(url: str, *, allow_private: bool = False, seconds: float = 60) -> int:
    with outbound.request(
        "GET", urlsplit(url), allow_private=allow_private, seconds=seconds, headers={}
    ) as answer:
        return int(answer.status)


def test_a_proxy_is_asked_for_names(proxy: Receiver) -> None:
    proxy.replies = []
    assert ask("http://somewhere.example/a?b") == 204
    (call,) = proxy.calls
    assert (call.path, call.headers["host"]) == ("http://somewhere.example/a?b", "somewhere.example")


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "0xa9.254.43518", "127.1", "localhost", "[::ffff:10.0.0.1]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_not_asked_for_what_is_plainly_an_inner_address(
    host: str, scheme: str, proxy: Receiver
) -> None:
    with pytest.raises(outbound.PrivateAddress):
        ask(f"{scheme}://{host}/latest")
    assert not proxy.calls


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of one that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silence_ends(scheme: str, silent: int) -> None:
    with pytest.raises(outbound.TooSlow):
        ask(f"{scheme}://127.0.0.1:{silent}/", allow_private=True, seconds=0.3)
