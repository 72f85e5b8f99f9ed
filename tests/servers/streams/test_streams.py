from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client as Browser
from django.utils import timezone

from access.actor import PLATFORM, Actor
from access.models import Team
from metrics import recorder
from servers import events, services
from servers.models import LogLine, Server, StreamEvent, Token
from servers.streams import access, feed, storage
from tests.accounts import make_deployment, make_server, token_of
from tests.eventually import eventually
from tests.servers.streams.live import Client

pytestmark = pytest.mark.core


def headers_of(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(user)}"}


def record(server: Server, number: int) -> None:
    details = {"number": number, "platform": "linux/arm64", "text": "ü\n\r\u2028 x"}
    metric = recorder.record(
        server_id=server.pk, deployment_id=None, event_type="custom.burst", details=details
    )
    events.metric_recorded(metric)


def numbers(received: list[Any]) -> list[int]:
    return [orjson.loads(event.data)["details"]["number"] for event in received]


def metrics_of(address: str, server: Server, query: str = "") -> str:
    return f"{address}/api/servers/{server.pk}/metrics/stream/{query}"


def test_a_metric_arrives_as_rest_shows_it(
    live_feed: str, owner: User, server: Server, api: Callable[[User], Any]
) -> None:
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        assert client.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert client.take(1, "stream-open")[0].id == f"server-{server.pk}-metrics:0"
        record(server, 1)
        event = client.take(1, "metric")[0]
    assert event.id == f"server-{server.pk}-metrics:1"
    assert (
        orjson.loads(event.data) == api(owner).get(f"/api/servers/{server.pk}/metrics/").json()["results"][0]
    )


def test_a_burst_of_a_thousand_arrives_once_and_in_order(live_feed: str, owner: User, server: Server) -> None:
    clients = [Client(metrics_of(live_feed, server), **headers_of(owner)) for _ in range(5)]
    for client in clients:
        client.take(1, "stream-open")
    for number in range(1000):
        record(server, number)
    for client in clients:
        with client:
            assert numbers(client.take(1000, "metric")) == list(range(1000))


def test_writers_at_once_leave_no_gap(live_feed: str, owner: User, server: Server) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 50):
            record(server, number)
        connection.close()

    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        client.take(1, "stream-open")
        writers = [threading.Thread(target=write, args=(first,)) for first in (0, 50, 100, 150)]
        for writer in writers:
            writer.start()
        received = client.take(200, "metric")
        for writer in writers:
            writer.join()
    assert sorted(numbers(received)) == list(range(200))
    assert [event.id.rpartition(":")[2] for event in received] == [str(n) for n in range(1, 201)]


@pytest.mark.parametrize("in_query", [True, False])
def test_resume_replays_what_was_missed(live_feed: str, owner: User, server: Server, in_query: bool) -> None:
    for number in range(250):
        record(server, number)
    last = f"server-{server.pk}-metrics:20"
    query, header = (f"?lastEventId={last}", {}) if in_query else ("", {"Last-Event-ID": last})
    with Client(metrics_of(live_feed, server, query), **headers_of(owner), **header) as client:
        assert numbers(client.take(230, "metric")) == list(range(20, 250))
        record(server, 250)
        assert numbers(client.take(1, "metric")) == [250]


@pytest.mark.parametrize("position", [0, 3, 99])
def test_an_id_that_is_too_old_or_unknown_resets(
    live_feed: str, owner: User, server: Server, position: int
) -> None:
    for number in range(5):
        record(server, number)
    StreamEvent.objects.filter(position__lte=4).update(created_at=timezone.now() - timedelta(days=2))
    assert storage.trim(timezone.now() - timedelta(days=1)) == 4
    last = f"server-{server.pk}-metrics:{position}"
    with Client(metrics_of(live_feed, server), **headers_of(owner), **{"Last-Event-ID": last}) as client:
        reset = client.take(1, "stream-reset")[0]
        assert reset.id == f"server-{server.pk}-metrics:5"
        record(server, 5)
        assert numbers(client.take(1, "metric")) == [5]


def test_what_another_process_wrote_is_noticed(live_feed: str, owner: User, server: Server) -> None:
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        client.take(1, "stream-open")
        storage.append(access.metrics_channel(server.pk), [("metric", '{"details": {"number": 7}}')])
        assert numbers(client.take(1, "metric")) == [7]


def test_nothing_is_announced_before_the_commit_or_after_a_rollback(
    live_feed: str, owner: User, server: Server
) -> None:
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        client.take(1, "stream-open")
        with transaction.atomic():
            record(server, 1)
            transaction.set_rollback(True)
        record(server, 2)
        assert numbers(client.take(1, "metric")) == [2]


def test_log_lines_come_in_batches(live_feed: str, owner: User, server: Server) -> None:
    deployment = make_deployment(server)
    step = deployment.steps.create(kind="build")
    with Client(f"{live_feed}/api/servers/{server.pk}/logs/stream/", **headers_of(owner)) as client:
        client.take(1, "stream-open")
        about = {"server": server, "deployment": deployment, "step": step, "stream": "build"}
        rows = LogLine.objects.bulk_create(
            LogLine(**about, at=timezone.now(), text=f"line {number}") for number in range(450)
        )
        events.lines_written(server.pk, rows)
        batches = [orjson.loads(event.data) for event in client.take(3, "log")]
    lines = [line for batch in batches for line in batch]
    assert [line["text"] for line in lines] == [f"line {n}" for n in range(450)]
    assert set(lines[0]) == {"id", "at", "stream", "level", "text", "deployment", "step"}
    assert (lines[0]["deployment"], lines[0]["step"]) == (deployment.pk, step.pk)


def test_statuses_go_to_whoever_sees_the_server(
    live_feed: str, owner: User, team: Team, viewer: User, outsider: User, staff: User
) -> None:
    where = f"{live_feed}/api/servers/stream/"
    clients = {user.username: Client(where, **headers_of(user)) for user in (owner, viewer, outsider, staff)}
    for client in clients.values():
        client.take(1, "stream-open")
    server, foreign = make_server(owner, team=team), make_server(outsider)
    services.deploy(server=server, by=Actor(owner), trigger="api")  # type: ignore[arg-type]
    events.status_changed(foreign.pk)
    for name in ("owner", "viewer", "staff"):
        status = orjson.loads(clients[name].take(1, "status")[0].data)
        assert status == {
            "server": server.pk, "slug": server.slug, "status": "pending", "label": "Pending", "tone": "grey",
            "error_kind": "", "error": "", "serving": None,
            "deployment": {"id": server.deployments.get().pk, "number": 1, "status": "queued"},
        }  # fmt: skip
    assert orjson.loads(clients["outsider"].take(1, "status")[0].data)["server"] == foreign.pk
    for client in clients.values():
        client.close()


def test_a_deleted_server_is_announced(live_feed: str, owner: User, server: Server) -> None:
    with Client(f"{live_feed}/api/servers/stream/", **headers_of(owner)) as client:
        client.take(1, "stream-open")
        with transaction.atomic():
            events.status_changed(server.pk)
            Server.objects.filter(pk=server.pk).delete()
        assert orjson.loads(client.take(1, "status")[0].data)["status"] == "deleted"


def test_a_session_opens_a_stream(
    live_feed: str, owner: User, server: Server, session: Callable[[User], Browser]
) -> None:
    cookie = session(owner).cookies["mcphost_session"].value
    with Client(metrics_of(live_feed, server), Cookie=f"mcphost_session={cookie}") as client:
        assert client.response.status == 200


def test_who_may_not_listen(live_feed: str, owner: User, outsider: User, server: Server) -> None:
    for kind in ("metrics", "logs"):
        where = f"{live_feed}/api/servers/{server.pk}/{kind}/stream/"
        refused = requests.get(where, timeout=60)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert requests.get(where, headers=headers_of(outsider), timeout=60).status_code == 404
        assert requests.post(where, headers=headers_of(owner), timeout=60).status_code == 405
    gateway_only = {"Authorization": f"Bearer {token_of(owner, 'mcp')}"}
    assert requests.get(where, headers=gateway_only, timeout=60).status_code == 401
    assert requests.get(where, headers={"Host": "evil.example"}, timeout=60).status_code == 400
    assert requests.get(f"{where}x/stream/", headers=headers_of(owner), timeout=60).status_code == 404
    bad = {**headers_of(owner), "Last-Event-ID": "nonsense"}
    assert requests.get(where, headers=bad, timeout=60).status_code == 400


def test_rights_that_end_end_the_stream(live_feed: str, owner: User, server: Server) -> None:
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        client.take(1, "stream-open")
        services.revoke_token(token=Token.objects.get(), by=PLATFORM)
        assert list(client) == []


def test_silence_is_filled_with_comments(
    live_feed: str, owner: User, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servers.streams.feed.KEEP_ALIVE_EVERY", 0.05)
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        assert next(line for line in client.lines() if line.startswith(":")) == ": keep-alive"


def test_streams_end_well_when_the_process_stops(live_feed: str, owner: User, server: Server) -> None:
    with Client(metrics_of(live_feed, server), **headers_of(owner)) as client:
        client.take(1, "stream-open")
        feed.end_all()
        assert list(client) == []


def stuck_client(address: str, user: User, *more: str) -> socket.socket:
    """Asks for a stream, has little room for the answer, and reads nothing of it."""
    parts = urlsplit(address)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect((parts.hostname, parts.port))
    authorization = headers_of(user)["Authorization"]
    asked = f"GET {parts.path} HTTP/1.1", "Host: localhost", f"Authorization: {authorization}"
    client.sendall("\r\n".join((*asked, *more, "", "")).encode())
    return client


def test_a_client_that_takes_nothing_holds_up_nobody_and_is_cut_off(
    live_feed: str,
    owner: User,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="api.live")
    where = metrics_of(live_feed, server)
    with (
        stuck_client(where, owner),
        Client(where, **headers_of(owner)) as client,
        ThreadPoolExecutor(1) as reader,
    ):
        client.take(1, "stream-open")
        taken = reader.submit(client.take, 300, "metric")
        channel, text = access.metrics_channel(server.pk), "x" * 100_000
        for number in range(300):
            data = orjson.dumps({"details": {"number": number, "text": text}}).decode()
            storage.append(channel, [("metric", data)])
        assert numbers(taken.result()) == list(range(300))
    monkeypatch.setattr("api.live.SEND_WITHIN", 1.0)  # now that nobody else is sent anything
    with stuck_client(where, owner, f"Last-Event-ID: server-{server.pk}-metrics:0") as stuck:
        eventually(lambda: "took nothing for too long" in caplog.text)
        assert stuck.recv(100).startswith(b"HTTP/1.1 200")


def test_an_announcement_that_fails_does_not_reach_the_caller(
    transactional_db: None, server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(storage, "append", broken)
    with transaction.atomic():
        record(server, 1)
    assert "an announcement was lost" in caplog.text
