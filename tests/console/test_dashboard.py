"""The first page: figures with ways to the rows behind them, in a fixed number of queries."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from access.models import Role, Team
from console import figures, ranges
from metrics import rollups
from metrics.recorder import Event, record_many
from notices.models import Channel
from servers.models import Deployment, Server
from servers.operations import needs_attention
from servers.states import DeploymentStatus
from tests.accounts import with_member
from tests.console import demo
from tests.console.conftest import logged_in

INDEX = "admin:index"


def busy(server: Server, *, calls: int = 4, failed: int = 1) -> None:
    """Calls, pushes and deployments of a moment ago."""
    at = timezone.now() - timedelta(seconds=30)
    details = {"method": "tools/call", "name": "x", "duration_ms": 40, "client": "claude 2.1"}
    outcomes = ["timeout"] * failed + ["ok"] * (calls - failed)
    seen = [Event(server.pk, None, "mcp_call", {**details, "outcome": word}, at) for word in outcomes]
    pushed = ("push_succeeded", "push_retry", "push_retry", "push_failed")
    seen += [Event(server.pk, None, kind, {"platform": "linux/arm64"}, at) for kind in pushed]
    record_many(seen)
    rollups.roll_up(at)
    rollups.roll_up(at + timedelta(seconds=20))


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "30d"])
@pytest.mark.parametrize("role", [None, Role.VIEWER])
def test_sixty_servers_take_the_queries_of_three(
    staff: User, outsider: User, team: Team, span: str, role: Role | None
) -> None:
    client, url = logged_in(staff if role is None else outsider), f"{reverse(INDEX)}?range={span}"
    if role:
        with_member(team, outsider, role)

    def more(count: int) -> None:
        for number in range(count):
            one = demo.server(staff, f"{count} {number}", status="error", error="It broke.", team=team)
            good = demo.deployment(one, 1, "succeeded", 60, 5, endpoint="http://127.0.0.1:1/mcp")
            demo.deployment(one, 2, "running", 600)
            Deployment.objects.filter(server=one, number=2).update(heartbeat_at=one.created_at - timedelta(1))
            Server.objects.filter(pk=one.pk).update(current_deployment=good)
            busy(one)

    more(3)
    queries(client, url)
    few = queries(client, url)
    more(57)
    assert queries(client, url) == few


def links(text: str) -> set[str]:
    return {unescape(url) for url in re.findall(r'href="([^"]+)"', text)}


def rows_behind(client: Client, url: str) -> int:
    """How many rows a list of the admin shows."""
    return client.get(url).text.count('class="action-checkbox"') or len(
        client.get(url).context["cl"].result_list
    )


class Figures(NamedTuple):
    text: str
    urls: set[str]

    def url(self, *parts: str) -> str:
        return next(url for url in self.urls if all(part in url for part in parts) and "__gte" in url)


@pytest.fixture
def shown(console: Client, seeded: dict[str, Server]) -> Figures:
    busy(seeded["time"])
    text = console.get(reverse(INDEX)).text
    return Figures(text, links(text))


def test_figures_and_the_rows_behind_them(console: Client, shown: Figures) -> None:
    assert "4 calls, 25.0% failed" in shown.text
    assert "33.3%" in shown.text  # of the pushes, the demo's own among them
    for kind, count in (("push_succeeded", 1), ("push_failed", 2), ("push_retry", 3)):
        assert rows_behind(console, shown.url(f"event_type={kind}", "arm64")) == count
    whole = [url for url in shown.urls if "event_type=mcp_call" in url]
    assert {rows_behind(console, url) for url in whole} == {0, 1, 4}  # an empty hour, the failed one, all
    deployed = [url for url in shown.urls if "servers/deployment/?created_at__gte" in url]
    assert max(rows_behind(console, url) for url in deployed) >= 3


def test_only_what_failed_is_red(shown: Figures) -> None:
    figure = shown.text.partition("<h2>Deployments</h2>")[2].partition("</p>")[0]
    total, _, note = figure.partition("</a>")
    assert "data-tone" not in total
    assert 'data-tone="red"' in note
    assert "failed" in note


def test_charts_have_words_and_a_table(shown: Figures) -> None:
    assert shown.text.count("<svg viewBox") == 3
    assert shown.text.count("<desc id=") == 3
    assert "Show as table" in shown.text


def test_a_viewer_sees_the_figures_of_the_team_only(
    outsider: User, staff: User, team: Team, seeded: dict[str, Server]
) -> None:
    busy(seeded["time"])
    busy(demo.server(staff, "Elsewhere"), calls=9, failed=0)
    with_member(team, outsider, Role.VIEWER)
    assert "4 calls, 25.0% failed" in logged_in(outsider).get(reverse(INDEX)).text
    assert "13 calls" in logged_in(staff).get(reverse(INDEX)).text


def test_empty_figures_teach_the_next_step(console: Client, staff: User) -> None:
    demo.server(staff, "New")
    text = console.get(reverse(INDEX)).text
    assert "No calls in this range." in text
    assert "Redeploy a server" in text
    assert "until REGISTRY names a registry" in text


def test_what_waits_in_vain_needs_a_person(console: Client, staff: User) -> None:
    server = demo.server(staff, "Waits")
    demo.deployment(server, 1, "queued", 600)
    behind = demo.server(staff, "Behind")
    silent = demo.deployment(behind, 1, "running", 600)
    Deployment.objects.filter(pk=silent.pk).update(heartbeat_at=silent.started_at)
    demo.deployment(behind, 2, "queued", 600)
    panel = attention(console)
    assert "Waits #1" in panel
    assert "Not started" in panel
    assert "Behind #1" in panel
    assert "Behind #2" not in panel


def attention(console: Client) -> str:
    text = console.get(reverse(INDEX)).text
    return text.partition('data-live="attention"')[2].partition("</section>")[0]


def test_what_waits_for_its_turn_needs_nobody(console: Client, staff: User) -> None:
    """Twenty servers redeployed at once go through a worker two by two."""
    for number in range(20):
        demo.deployment(demo.server(staff, f"Waits {number}"), 1, "queued", 600)
    assert "Not started" in attention(console)
    at_work = demo.deployment(demo.server(staff, "At work"), 1, "running", 600)
    assert "Not started" not in attention(console)
    moment_ago = timezone.now() - timedelta(seconds=5)
    rows = Deployment.objects.filter(pk=at_work.pk)
    rows.update(status="succeeded", heartbeat_at=None, finished_at=moment_ago, worker="a/1/1")
    assert "Not started" not in attention(console)
    rows.update(finished_at=moment_ago - timedelta(minutes=3))
    assert "Not started" in attention(console)


def test_all_that_needs_a_person_is_counted_and_can_be_seen(console: Client, staff: User) -> None:
    for number in range(12):
        demo.deployment(demo.server(staff, f"Held {number}"), 1, "held", 600)
        fields = {"owner": staff, "name": f"Channel {number}", "failing_since": timezone.now()}
        Channel.objects.create(**fields, sealed_url=b"", sealed=b"", host="hooks.example.org")
    demo.deployment(demo.server(staff, "Fine"), 1, "succeeded", 600)
    told = console.get(reverse(INDEX)).context
    assert told["attention_count"] == 24 + len(told["concerns"])
    panel = attention(console)
    for name, words in (("servers_deployment", "All 12 deployments"), ("notices_channel", "All 12 channels")):
        url = reverse(f"admin:{name}_changelist") + "?attention=needed"
        assert words in panel
        assert f'href="{url}"' in panel
        assert rows_behind(console, url) == 12


def test_usage_by_tool_and_client(console: Client, seeded: dict[str, Server]) -> None:
    server = seeded["time"]
    busy(server)
    url = reverse("admin:servers_server_usage", args=[server.pk])
    text = console.get(url).text
    assert "<code>x</code>" in text
    assert "<code>claude</code>" in text
    for narrow in ("name=x", "client=claude"):
        found = next(link for link in links(text) if narrow in link and "outcome=failed" in link)
        assert rows_behind(console, found) == 1


def test_an_unknown_range_is_the_usual_one(console: Client, seeded: dict[str, Server]) -> None:
    assert 'href="?range=24h" aria-current="true"' in console.get(f"{reverse(INDEX)}?range=9y").text


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def has(total: int, free: int) -> None:
        usage = shutil.disk_usage("/")._replace(total=total, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    return has


def test_a_disk_that_fills_up_is_told(disk: Any) -> None:
    gib = 1024**3
    for total, free, expected in (
        (500 * gib, 200 * gib, []), (500 * gib, 20 * gib, [False]), (100 * gib, gib // 2, [True]),
    ):  # fmt: skip
        disk(total, free)
        assert [concern.severe for concern in needs_attention.disk()] == expected


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(1e-5, "< 0.001"), (0.0047, "0.0047"), (2.5, "2.5"), (31.26, "31.3"), (1234.5, "1,234")],
)
def test_a_rate_is_read_without_an_exponent(rate: float, shown: str) -> None:
    assert figures.per_second(rate) == shown


def test_one_call_that_went_well(staff: User, console: Client) -> None:
    busy(demo.server(staff, "Quiet"), calls=1, failed=0)
    assert "1 call, none failed" in console.get(reverse(INDEX)).text


def test_every_deployment_of_a_figure_is_drawn(staff: User) -> None:
    one = demo.server(staff, "Every")
    for number, status in enumerate(DeploymentStatus, 1):
        demo.deployment(one, number, status, 60, 5)
    chart = figures.deployments(Deployment.objects.all(), ranges.asked(RequestFactory().get("/")))
    assert chart.figure == str(len(DeploymentStatus))
    assert sum(part.value for column in chart.columns for part in column.parts) == len(DeploymentStatus)


def test_a_part_that_is_away_fails_now(db: None) -> None:
    """Nobody leads in a test: that is no trouble to come, it is there."""
    assert [(part.title, part.severe) for part in needs_attention.parts()] == [("Reconciler", True)]


def test_a_registry_that_nobody_set_has_no_credential(settings: Any) -> None:
    settings.REGISTRY = ""
    assert list(needs_attention.credential()) == []
