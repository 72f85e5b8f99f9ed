"""Calls by the hour: each folded once, whatever is written meanwhile, and shown over REST."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from metrics import recorder, rollups
from metrics.models import CallRollup, RollupPosition, UsageMetric
from metrics.recorder import Event
from metrics.sums import Call, Sum, quantile
from servers.deploying import retention
from servers.models import Server
from tests.accounts import make_server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = timedelta(minutes=1)


def calls(
    server: Server,
    *durations: int,
    at: datetime = NOON,
    method: str = "tools/call",
    name: str = "read",
    outcome: str = "ok",
) -> None:
    recorder.record_many(
        Event(
            server.pk,
            None,
            "mcp_call",
            {
                "method": method,
                "name": name,
                "outcome": outcome,
                "duration_ms": duration,
                "first_byte_ms": 1,
                "bytes_in": 10,
                "bytes_out": 100,
            },
            at,
        )
        for duration in durations
    )


def roll_up(now: datetime = NOON) -> int:
    """As a loop does: what was there at one turn is folded at a later one."""
    return rollups.roll_up(now) + rollups.roll_up(now + LATER)


def totals() -> dict[tuple[str, str, str], int]:
    return {(row.method, row.name, row.outcome): row.calls for row in CallRollup.objects.all()}


def test_calls_are_summed_by_hour_method_tool_and_outcome(server: Server) -> None:
    calls(server, 3, 30)
    calls(server, 700, outcome="tool_error")
    calls(server, 1, at=NOON + timedelta(minutes=59, seconds=59))
    calls(server, 1, at=NOON + timedelta(hours=1))
    calls(server, 1, method="tools/list", name="ignored")
    assert roll_up() == 6
    rows = list(CallRollup.objects.order_by("hour", "method", "outcome"))
    assert [(row.hour.hour, row.method, row.name, row.outcome, row.calls) for row in rows] == [
        (12, "tools/call", "read", "ok", 3),
        (12, "tools/call", "read", "tool_error", 1),
        (12, "tools/list", "", "ok", 1),
        (13, "tools/call", "read", "ok", 1),
    ]
    assert (rows[0].duration_ms, rows[0].bytes_in, rows[0].bytes_out) == (34, 30, 300)
    assert rows[0].buckets[:4] == [2, 0, 0, 1]


def test_each_call_is_folded_once(server: Server) -> None:
    for number in range(3):
        calls(server, 1, 2)
        now = NOON + number * timedelta(minutes=5)
        assert roll_up(now) == 2
        assert roll_up(now + LATER) == 0
    assert totals() == {("tools/call", "read", "ok"): 6}


def test_what_may_not_have_settled_waits(server: Server) -> None:
    calls(server, 1)
    assert rollups.roll_up(NOON) == 0
    calls(server, 1)
    assert rollups.roll_up(NOON + timedelta(seconds=5)) == 0
    assert rollups.roll_up(NOON + timedelta(seconds=11)) == 1
    assert rollups.roll_up(NOON + timedelta(seconds=22)) == 1


def test_a_late_call_is_added_to_its_own_hour(server: Server) -> None:
    calls(server, 1, at=NOON + timedelta(hours=3))
    roll_up()
    calls(server, 1, at=NOON)
    roll_up(NOON + timedelta(hours=4))
    assert [row.hour.hour for row in CallRollup.objects.order_by("hour")] == [12, 15]


def test_other_events_are_passed_over(server: Server) -> None:
    recorder.record(server_id=server.pk, deployment_id=None, event_type="deploy_started", details={})
    assert roll_up() == 0
    calls(server, 1)
    assert roll_up(NOON + timedelta(minutes=5)) == 1


def test_a_backlog_is_folded_in_chunks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "CHUNK", 4)
    calls(server, *range(10))
    assert roll_up() == 10
    assert totals() == {("tools/call", "read", "ok"): 10}
    assert RollupPosition.objects.get().done == UsageMetric.objects.latest("pk").pk


def test_what_callers_make_up_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "MOST_NAMES", 3)
    for number in range(6):
        calls(server, 1, name=f"tool-{number}")
        calls(server, 1, method=f"made/up-{number}")
        calls(server, 1, method="resources/read", name=f"file:///{number}")
    roll_up()
    names = {name for _, name, _ in totals()}
    assert len(names) <= 4
    assert "*" in names
    assert totals()["other", "", "ok"] == totals()["resources/read", "", "ok"] == 6
    assert sum(totals().values()) == 18


def test_retention(server: Server, owner: User) -> None:
    now = timezone.now()
    calls(server, 1, at=now - timedelta(days=731))
    calls(server, 1, at=now - timedelta(days=100))
    roll_up(now)
    retention.trim()
    assert CallRollup.objects.get().hour.date() == (now - timedelta(days=100)).date()
    assert not UsageMetric.objects.exists()


@pytest.mark.parametrize(
    ("durations", "share", "expected"),
    [([], 0.5, None), ([1] * 100, 0.5, 2), ([1] * 98 + [400] * 2, 0.99, 375), ([10**9], 0.5, 300_000)],
)
def test_quantiles(durations: list[int], share: float, expected: int | None) -> None:
    total = Sum()
    for duration in durations:
        total.add(Call.of({"duration_ms": duration}))
    assert quantile(total.buckets, share) == expected


def usage(client: APIClient, server: Server, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/api/servers/{server.pk}/usage/?until=2026-11-23T00:00:00Z{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()  # type: ignore[no-any-return]


def test_over_rest(api: Api, owner: User, server: Server) -> None:
    calls(server, 3, 30, 60)
    calls(server, 700, outcome="tool_error", at=NOON + timedelta(hours=1))
    calls(server, 1, outcome="input_required", name="ask")
    calls(make_server(owner), 1)
    roll_up()
    found = usage(api(owner), server)
    assert found["interval"] == "hour"
    assert (found["total"]["calls"], found["total"]["errors"]) == (5, 1)
    assert found["total"]["outcomes"] == {"ok": 3, "tool_error": 1, "input_required": 1}
    assert [(each["time"], each["calls"]) for each in found["series"]] == [
        ("2026-11-22T12:00:00.000000Z", 4),
        ("2026-11-22T13:00:00.000000Z", 1),
    ]
    assert [(each["name"], each["calls"], each["p50_ms"]) for each in found["by_name"]] == [
        ("read", 4, 50),
        ("ask", 1, 2),
    ]
    (day,) = usage(api(owner), server, "&interval=day")["series"]
    assert (day["time"], day["calls"], day["mean_ms"]) == ("2026-11-22T00:00:00.000000Z", 5, 159)
    part = usage(api(owner), server, "&since=2026-11-22T14:00:00+01:00")
    assert (part["since"], part["total"]["calls"]) == ("2026-11-22T13:00:00.000000Z", 1)


def test_nothing_is_shown_as_nothing(api: Api, owner: User, server: Server) -> None:
    found = usage(api(owner), server)
    assert (found["series"], found["by_name"], found["total"]["p99_ms"]) == ([], [], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("interval=week", "interval"),
        ("since=soon", "since"),
        ("since=2026-11-22T00:00:00Z&until=2026-11-22T00:00:00Z", "since"),
        ("since=2026-01-01T00:00:00Z&until=2026-11-22T00:00:00Z", "since"),
        ("interval=day&since=2020-01-01T00:00:00Z", "since"),
    ],
)
def test_what_is_refused(api: Api, owner: User, server: Server, query: str, field: str) -> None:
    answer = api(owner).get(f"/api/servers/{server.pk}/usage/?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_usage_is_the_owners_and_staffs_alone(api: Api, outsider: User, staff: User, server: Server) -> None:
    assert api(outsider).get(f"/api/servers/{server.pk}/usage/").status_code == 404
    assert APIClient().get(f"/api/servers/{server.pk}/usage/").status_code == 401
    assert api(staff).get(f"/api/servers/{server.pk}/usage/").status_code == 200
