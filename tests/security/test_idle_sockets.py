"""Somebody opens connections and does next to nothing with them: everybody else is served all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from pytest_django.fixtures import Settings

from gateway.types import Receive, Scope, Send
from mcphost.asgi import WEB_THREADS
from servers.front import threads
from servers.front.addresses import address_key
from servers.operations.connection_table import ConnectionTable, Limits
from tests.eventually import eventually
from tests.security.doorway import Door, door, head, opened

__all__ = ["door"]
pytestmark = pytest.mark.slow
MORE_THAN_THREADS = WEB_THREADS + 4
ANNOUNCED = "content-length: 1000"
CHUNKED = "transfer-encoding: chunked"
FORM = "content-type: multipart/form-data; boundary=x"
PART = b'--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n'


class Room:
    """What the views below share with the test that asks for them."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked = 0
        self.ended = 0


room = Room()


@pytest.fixture
def views(settings: Settings) -> Iterator[Room]:
    settings.ROOT_URLCONF = __name__
    room.__init__()  # type: ignore[misc]
    yield room
    room.may_end.set()


def waits(request: HttpRequest) -> HttpResponse:
    room.asked += 1
    room.begun.release()
    room.may_end.wait(60)
    return HttpResponse("done")


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            room.ended += 1

    return StreamingHttpResponse(pieces())


@csrf_exempt
def says(request: HttpRequest) -> HttpResponse:
    proto = request.META.get("HTTP_X_FORWARDED_PROTO", "")
    return HttpResponse(f"{len(request.body)} {request.META.get('CONTENT_LENGTH')} {proto}")


urlpatterns = [path("waits", waits), path("endless", endless), path("says", says)]


@pytest.mark.parametrize(
    "half",
    [
        head("/hooks/nothing/", ANNOUNCED) + b"x",
        head("/hooks/nothing/", CHUNKED) + b"5\r\nx",
        head("/admin/login/", ANNOUNCED, FORM) + PART,
        head("/api/servers/", ANNOUNCED, FORM) + PART,
        head("/nowhere/", ANNOUNCED) + b"x",
        b"POST /hooks/nothing/ HTTP/1.1\r\nhost: lo",
        b"",
    ],
)
def test_more_half_sent_requests_than_there_are_threads_stop_nobody(door: Door, half: bytes) -> None:
    for _ in range(MORE_THAN_THREADS):
        door.peer(half)
    assert door.get("/admin/login/").status_code == 200
    assert door.get("/api/servers/").status_code == 401
    assert door.post("/hooks/nothing/", data=b"{}").status_code == 404
    assert door.get("/readyz").text == "ok\n"


def test_a_head_that_does_not_come_is_not_waited_for(transactional_db: None) -> None:
    with opened(head=0.5) as door:
        begun, silent = door.peer(b"GET /admin/login/ HTTP/1.1\r\nhost: lo"), door.peer()
        status, said = begun.answer()
        assert (status, b"was not complete in time" in said) == (408, True)
        assert silent.rest() == b""


def test_a_head_that_drips_is_not_waited_for(transactional_db: None) -> None:
    """Each byte is a sign of life, and counts for nothing."""
    with opened(head=0.5) as door:
        peer, stop = door.peer(b"GET / HTTP/1.1\r\nx: "), threading.Event()

        def drip() -> None:
            try:
                while not stop.wait(0.1):
                    peer.send(b"y")
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert peer.answer()[0] == 408
        stop.set()
        dripping.join()


@pytest.mark.parametrize("second", [b"GET /admin/login/ HTTP/1.1\r\nho", b"\r\n\r\n"])
def test_nor_is_that_of_a_second_request(transactional_db: None, second: bytes) -> None:
    with opened(head=0.5, idle=0.5) as door:
        said = door.peer(head("/livez", method="GET") + second).rest()
        assert said.startswith(b"HTTP/1.1 200")
        assert (b"HTTP/1.1 408" in said) == second.startswith(b"GET")


@pytest.mark.parametrize(
    ("address", "kind"), [("/hooks/nothing/", b"problem+json"), ("/api/servers/", b"problem+json"),
                          ("/admin/login/", b"text/plain")],
)  # fmt: skip
def test_a_body_that_does_not_come_is_not_waited_for(
    transactional_db: None, address: str, kind: bytes
) -> None:
    with opened(body=0.5) as door:
        status, said = door.peer(head(address, ANNOUNCED) + b"x").answer()
        assert (status, kind in said, b"came too slowly" in said) == (408, True, True)


def test_nor_by_an_application_that_reads_it_itself() -> None:
    """The gateway does."""
    left = threading.Event()

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

    with opened(application=reads, body=0.5) as door:
        assert door.peer(head("/mcp/clock", CHUNKED) + b"1\r\nx\r\n").answer()[0] == 408
        assert left.wait(60)


def test_a_body_at_the_least_rate_is_waited_for(views: Room, transactional_db: None) -> None:
    with opened(body=0.5, rate=2.0) as door:
        peer, length = door.peer(head("/says", "content-length: 1001", "connection: close")), 1001
        peer.send(b"x" * 1000)  # at two bytes a second, minutes
        other = door.peer(head("/says", ANNOUNCED) + b"x")
        assert other.answer()[0] == 408
        status, said = peer.send(b"x").answer()
        assert (status, said.endswith(f"{length} {length} ".encode())) == (200, True)


def test_readers_that_take_nothing_hold_no_thread_and_are_dropped(
    views: Room, transactional_db: None
) -> None:
    with opened() as door:
        for _ in range(MORE_THAN_THREADS):
            door.peer(head("/endless", method="GET"), buffer=4096)
        assert [door.post("/says", data=b"xy").text for _ in range(3)] == ["2 2 "] * 3
        assert door.get("/readyz").text == "ok\n"
    eventually(lambda: room.ended == MORE_THAN_THREADS, what="nothing is made for those that left")


def test_and_are_dropped(views: Room, transactional_db: None) -> None:
    with opened(unread=0.5) as door:
        peers = [door.peer(head("/endless", method="GET"), buffer=4096) for _ in range(3)]
        eventually(lambda: room.ended == 3, what="the platform gave up")
        for peer in peers:
            assert not peer.rest().endswith(b"0\r\n\r\n")


def test_what_lives_long_is_not_cut(transactional_db: None) -> None:
    """Events of the gateway and of live feeds: seldom, and for hours."""
    ticks = [threading.Event() for _ in range(3)]

    async def feed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for tick in ticks:
            await asyncio.to_thread(tick.wait)
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with opened(application=feed, head=0.2, body=0.2, unread=0.2, idle=0.2, linger=0.2) as door:
        stream = door.peer(head("/mcp/clock", "connection: close", method="GET"))
        for tick in ticks:
            assert door.peer(b"GET").answer()[0] == 408  # so long it has been silent
            tick.set()
        assert stream.rest().count(b"data: x") == 3


# --- Connections have bounds


def test_of_one_address_the_oldest_idle_connection_goes(transactional_db: None) -> None:
    with opened(per_address=3) as door:
        first, *_ = (door.peer(head("/livez", method="GET")) for _ in range(3))
        assert door.get("/livez").status_code == 200
        assert first.rest().startswith(b"HTTP/1.1 200")  # and then its end


def test_of_one_address_that_uses_all_a_further_one_is_refused_and_others_are_not(
    transactional_db: None,
) -> None:
    with opened(per_address=3) as door:
        busy = [door.peer(head("/hooks/nothing/", ANNOUNCED)) for _ in range(3)]
        eventually(lambda: door.peer().answer()[0] == 429, what="the fourth is refused")
        elsewhere = door.peer(head("/livez", "connection: close", method="GET"), source="127.0.0.2")
        assert elsewhere.answer()[0] == 200
        assert busy[0].send(b"x" * 1000).socket.recv(100).startswith(b"HTTP/1.1 404")


def test_of_all_the_oldest_idle_connection_goes(transactional_db: None) -> None:
    with opened(connections=3) as door:
        peers = [door.peer(head("/livez", method="GET"), source=f"127.0.0.{n}") for n in (2, 3, 4)]
        assert door.get("/livez").status_code == 200
        assert peers[0].rest().startswith(b"HTTP/1.1 200")


def test_where_none_is_idle_a_further_one_is_told(transactional_db: None) -> None:
    with opened(connections=3) as door:
        for _ in range(3):
            door.peer(head("/hooks/nothing/", ANNOUNCED))
        eventually(lambda: door.peer().answer()[0] == 503, what="it is told")


class Someone:
    address = "192.0.2.1"

    def disconnect(self) -> None: ...

    def tick(self, seconds: float) -> None: ...


def test_connections_that_are_gone_count_no_longer() -> None:
    table = ConnectionTable(Limits(3, 2))
    for _ in range(10):
        one, other = Someone(), Someone()
        assert not table.add(one)
        assert not table.add(other)
        table.mark_busy(one)
        table.mark_busy(other)
        assert (refused := table.add(Someone()))
        assert refused.status == 429
        table.remove(one)
        table.remove(one)
        table.mark_idle(one)  # it is told so after its end
        table.remove(other)
        assert len(table) == 0
    assert not table._idle
    assert not table._of


@pytest.mark.parametrize(
    ("address", "key"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1:2:3:4", "2001:db8::/64"),
     ("fe80::1%eth0", "fe80::/64"), ("unknown", "unknown"), ("", "")],
)  # fmt: skip
def test_who_has_an_ipv6_network_is_one(address: str, key: str) -> None:
    assert address_key(address) == key


def test_behind_a_proxy_requests_of_an_address_are_bounded(
    views: Room, transactional_db: None, settings: Settings
) -> None:
    settings.BEHIND_PROXY, settings.CONNECTIONS_PER_ADDRESS = True, 2
    theirs, others = {"x-forwarded-for": "192.0.2.1"}, {"x-forwarded-for": "192.0.2.2"}
    with opened() as door:
        for _ in range(2):
            door.peer(head("/waits", "x-forwarded-for: 192.0.2.1", method="GET"))
            assert room.begun.acquire(timeout=60)
        answer = door.get("/says", headers=theirs)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert door.get("/says", headers=others).status_code == 200


# --- Threads


def occupied(door: Door) -> None:
    for _ in range(WEB_THREADS):
        door.peer(head("/waits", "connection: close", method="GET"))
        assert room.begun.acquire(timeout=60)


def test_a_process_without_a_free_thread_is_alive_and_not_ready(
    views: Room, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "PATIENCE", 0.2)
    with opened() as door:
        assert door.get("/readyz").text == "ok\n"
        occupied(door)
        eventually(lambda: door.get("/readyz").status_code == 503, what="it is not ready")
        assert f"all {WEB_THREADS} are at work" in door.get("/readyz").text
        assert door.get("/livez").text == "ok\n"
        room.may_end.set()
        eventually(lambda: door.get("/readyz").text == "ok\n", what="it is ready again")


def test_not_all_may_wait_for_a_thread(
    views: Room, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "WAITING", 2)
    with opened() as door:
        occupied(door)
        for _ in range(2):
            door.peer(head("/waits", "connection: close", method="GET"))
        further = door.peer(head("/waits", "connection: close", method="GET"))
        others = [peer for peer in door.peers[WEB_THREADS:] if peer is not further]
        status, said = further.answer()
        assert (status, b"retry-after: 2" in said) == (503, True)
        room.may_end.set()
        assert [peer.answer()[0] for peer in others] == [200, 200]


def test_who_left_while_waiting_is_not_served(views: Room, transactional_db: None) -> None:
    with opened() as door:
        occupied(door)
        for _ in range(50):
            door.peer(head("/waits", method="GET")).close()
        last = door.peer(head("/says", "connection: close", method="GET"))
        room.may_end.set()
        assert last.answer()[0] == 200
        assert door.get("/readyz").text == "ok\n"
        assert room.asked < WEB_THREADS + 50


# --- What comes whole, comes as it was sent


def test_a_chunked_body_is_whole(views: Room, transactional_db: None) -> None:
    with opened() as door:
        sent = iter([b"a" * 10, b"b" * 20_000])
        assert door.post("/says", data=sent).text == "20010 20010 "


def test_an_underscore_does_not_pass_for_a_hyphen(views: Room, transactional_db: None) -> None:
    with opened() as door:
        peer = door.peer(head("/says", "x_forwarded_proto: https", "connection: close", method="GET"))
        assert peer.answer()[1].endswith(b"0 None ")


def test_bytes_that_are_no_ascii_in_an_address_are_no_fault_of_ours(
    views: Room, transactional_db: None
) -> None:
    with opened() as door:
        peer = door.peer(b"GET /says?\xff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert peer.answer()[0] in (200, 400)


def test_who_is_refused_by_the_gateway_before_its_body_was_read_is_not_listened_to_for_long(
    transactional_db: None,
) -> None:
    with opened(linger=0.5) as door:
        said = door.peer(head("/mcp/clock", "content-length: 10000000")).rest()
        assert said.startswith(b"HTTP/1.1 401")


def test_who_asks_first_is_told_to_go_on_or_that_it_may_not(views: Room, transactional_db: None) -> None:
    asking = ("expect: 100-continue", "connection: close")
    with opened() as door:
        peer = door.peer(head("/says", "content-length: 2", *asking))
        assert peer.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert peer.send(b"xy").answer()[1].endswith(b"2 2 ")
        assert door.peer(head("/says", "content-length: 70000", *asking)).answer()[0] == 413
