"""Answers that do not end, by a server that says when something is written, breaks off, and falls silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

import pytest
import urllib3
from urllib3.response import BaseHTTPResponse

from hosting.runtimes import followed
from hosting.runtimes.followed import Followed
from tests.eventually import eventually
from tests.hosting.runtimes.told import threads

NOTHING: tuple[list[str], str] = ([], "end")
BREAK = b""


class Logs:
    """Serves each log as long as the test wants. `put` lets it write, or break off with BREAK."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers_late = False  # the header comes with the first piece
        self.quiet_seconds = 60.0
        self._writes: dict[str, SimpleQueue[bytes]] = {}
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, key: str, piece: bytes) -> None:
        self._writes[key].put(piece)

    def ask(self, key: str) -> BaseHTTPResponse:
        return self._pool.request(
            "GET",
            f"http://127.0.0.1:{self.http.server_port}/{key}",
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=self.quiet_seconds),
        )

    def pieces(self, key: str) -> Iterator[bytes]:
        mine = self._writes[key] = SimpleQueue[bytes]()
        self.asked.append(key)
        while piece := mine.get():
            yield piece


def _handler(logs: Logs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers() if not logs.answers_late else None
            with suppress(OSError):
                for piece in logs.pieces(self.path.removeprefix("/")):
                    if logs.answers_late:
                        self.end_headers()
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    return Handler


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    monkeypatch.setattr(followed, "SHORTEST_PAUSE", 0.01)
    made = Logs()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def many(logs: Logs) -> Iterator[Followed]:
    found = Followed("test-log", logs.ask)
    yield found
    found.follow([])
    eventually(lambda: not threads("test-log"), what="all threads have ended")


def silent(many: Followed, key: str) -> bool:
    """Whether it counts as silent once it was read to its end."""
    many.read([key], lambda: NOTHING)
    return not many.may_have_more(key)


def test_what_is_written_is_noticed_until_it_was_read_to_the_end(logs: Logs, many: Followed) -> None:
    assert many.may_have_more("a")
    many.follow(["a", "b"])
    eventually(lambda: silent(many, "a") and silent(many, "b") and len(logs.asked) == 2)
    logs.put("a", b"line\n")
    eventually(lambda: many.may_have_more("a"), what="it was noticed")
    assert not many.may_have_more("b")
    assert many.read(["a"], lambda: (["line"], "cursor")) == (["line"], "cursor")
    assert many.may_have_more("a")  # there may be more than one call returns
    assert silent(many, "a")


def test_what_comes_while_it_is_read_is_not_lost(logs: Logs, many: Followed) -> None:
    many.follow(["a"])
    eventually(lambda: silent(many, "a") and logs.asked)

    def look() -> tuple[list[str], str]:
        logs.put("a", b"too late for this look\n")
        eventually(lambda: many.may_have_more("a"), what="it came")
        return NOTHING

    many.read(["a"], look)
    assert many.may_have_more("a")


def test_a_look_that_fails_leaves_it_to_be_read(logs: Logs, many: Followed) -> None:
    many.follow(["a"])
    eventually(lambda: silent(many, "a") and logs.asked)
    logs.put("a", b"line\n")
    eventually(lambda: many.may_have_more("a"))
    with pytest.raises(ZeroDivisionError):
        many.read(["a"], lambda: (["never"], str(1 / 0)))
    assert many.may_have_more("a")


def test_a_log_without_an_answer_yet_is_followed(logs: Logs, many: Followed) -> None:
    """A kubelet sends the header with the first line."""
    logs.answers_late = True
    many.follow(["a"])
    eventually(lambda: silent(many, "a") and logs.asked)
    logs.put("a", b"line\n")
    eventually(lambda: many.may_have_more("a"), what="it was noticed")


def test_one_that_broke_off_is_asked_until_it_is_followed_again(
    logs: Logs, many: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "SHORTEST_PAUSE", 60.0)
    monkeypatch.setattr(followed, "LONGEST_PAUSE", 60.0)
    many.follow(["a"])
    eventually(lambda: silent(many, "a") and logs.asked)
    logs.put("a", BREAK)
    eventually(lambda: many.may_have_more("a"), what="the break was noticed")
    assert not silent(many, "a")


def test_one_that_broke_off_is_opened_again_and_may_have_more(logs: Logs, many: Followed) -> None:
    many.follow(["a"])
    for count in (1, 2, 3):
        eventually(lambda count=count: len(logs.asked) == count and silent(many, "a"))  # type: ignore[misc]
        logs.put("a", BREAK)
        eventually(lambda: many.may_have_more("a"), what="it may have written meanwhile")


def test_a_connection_that_fell_silent_is_replaced(logs: Logs, many: Followed) -> None:
    logs.quiet_seconds = 0.1
    many.follow(["a"])
    eventually(lambda: len(logs.asked) >= 3, what="it asked again")


def test_those_above_the_bound_are_asked_and_follow_when_there_is_room(
    logs: Logs, many: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "MOST", 2)
    many.follow(["a", "b", "c"])
    eventually(lambda: silent(many, "a") and silent(many, "b"))
    assert not silent(many, "c")
    many.follow(["b", "c"])
    eventually(lambda: silent(many, "c"), what="it is followed now")
    eventually(lambda: len(threads("test-log")) == 2, what="the first has ended")


def test_the_same_again_asks_for_nothing(logs: Logs, many: Followed) -> None:
    many.follow(["a"])
    eventually(lambda: silent(many, "a") and logs.asked)
    many.follow(["a"])
    assert not many.may_have_more("a")
    assert logs.asked == ["a"]
