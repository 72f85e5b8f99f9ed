"""Calls by the minute and the hour, for charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from metrics import rollups, totals
from metrics.models import HOUR, CallTotal
from metrics.recorder import Event, record_many
from metrics.sums import sum_of
from servers.models import Server
from tests.accounts import make_server

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def calls(server: Server, *at: datetime, **details: object) -> None:
    usual = {
        "method": "tools/call",
        "name": "search",
        "outcome": "ok",
        "duration_ms": 20,
        "client": "claude 2.1",
    }
    record_many([Event(server.pk, None, "mcp_call", {**usual, **details}, timestamp=moment) for moment in at])


def fold(now: datetime = NOON) -> None:
    rollups.roll_up(now)
    rollups.roll_up(now + timedelta(seconds=30))


def test_the_platform_is_the_sum_of_its_servers(server: Server, owner: User) -> None:
    other = make_server(owner)
    calls(server, NOON, NOON + timedelta(seconds=59), NOON + timedelta(minutes=1))
    calls(other, NOON, outcome="timeout", duration_ms=9_000)
    fold()
    minutes = totals.starts(NOON + timedelta(minutes=1), timedelta(minutes=1), 3)
    assert [one.calls for one in totals.by_time(totals.of_platform(), minutes)] == [0, 3, 1]
    assert [one.calls for one in totals.by_time(CallTotal.objects.filter(server=server), minutes)] == [
        0,
        2,
        1,
    ]
    hours = totals.starts(NOON, timedelta(hours=6), 2)
    whole = sum_of(totals.by_time(totals.of_platform(), hours))
    assert (whole.calls, whole.errors, whole.error_share) == (4, 1, 0.25)
    assert whole.p50_ms is not None
    assert whole.p50_ms <= 25


def test_a_call_more_adds_to_what_is_there(server: Server) -> None:
    for _ in range(3):
        calls(server, NOON)
        fold(NOON + timedelta(minutes=CallTotal.objects.count()))
    assert set(CallTotal.objects.values_list("calls", flat=True)) == {3}


def test_clients_without_their_versions(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "MOST_CLIENTS", 4)
    for client in ("claude 2.1", "claude 2.2.0-beta", "", "cursor", "one 1", "two 1"):
        calls(server, NOON, client=client)
    fold()
    found = totals.by_client(server.pk, NOON, NOON + timedelta(hours=1))
    assert sum(total.calls for total in found.values()) == 6
    assert next(iter(found)) == "claude"
    assert found["claude"].calls == 2
    assert set(found) == {"claude", "(no name)", "cursor", "one", rollups.OTHERS}


def test_minutes_go_sooner_than_hours(server: Server) -> None:
    calls(server, NOON)
    fold()
    rollups.trim(NOON + timedelta(hours=4), NOON - timedelta(days=1))
    assert set(CallTotal.objects.values_list("seconds", flat=True)) == {HOUR}
    rollups.trim(NOON + timedelta(hours=4), NOON + timedelta(days=1))
    assert not CallTotal.objects.exists()


def test_intervals_lie_on_their_own_grid() -> None:
    found = totals.starts(NOON + timedelta(minutes=5), timedelta(hours=6), 3)
    assert found == [NOON - timedelta(hours=12), NOON - timedelta(hours=6), NOON]
