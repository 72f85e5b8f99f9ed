from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from servers import display, states
from servers.models import Server


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.34, "340 ms"),
        (4.21, "4.2 s"),
        (59.9, "59 s"),
        (72, "1 min 12 s"),
        (120, "2 min"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (-3, "0 ms"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert display.duration(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(3, "just now"), (45, "45 s ago"), (3700, "1 h ago"), (-130, "in 2 min")]
)
def test_a_moment_is_told_in_its_largest_unit(seconds: float, said: str) -> None:
    assert display.ago(seconds) == said


def test_a_moment_has_the_exact_time_in_its_title() -> None:
    assert 'title="2026-11-22 16:55:42 UTC"' in display.moment(datetime(2026, 11, 22, 16, 55, 42, tzinfo=UTC))


@pytest.mark.parametrize("status", [*states.ServerStatus, *states.DeploymentStatus])
def test_every_status_has_words_and_a_tone(status: str) -> None:
    pill = display.pill(status)
    assert states.look(status).label in pill
    assert f'data-tone="{states.look(status).tone}"' in pill


def test_a_deployment_under_way_does_not_look_like_a_healthy_server() -> None:
    assert display.work_pill("running") == '<span class="mh-pill" data-tone="blue">In progress</span>'


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        (
            "git",
            {"url": "https://git.example.org/team/weather.git", "ref": "main", "subdirectory": "srv"},
            "git.example.org/team/weather @ main /srv",
        ),
        ("git", {"url": "https://user:secret@git.example.org/a.git"}, "git.example.org/a"),
        ("git", {"url": "git@git.example.org:team/a.git"}, "git.example.org:team/a"),
        ("package", {"ecosystem": "npm", "name": "@example/a", "version": "1.2"}, "npm:@example/a 1.2"),
        ("upload", {"archive": "ab12", "filename": "a.zip"}, "a.zip"),
        ("image", {"reference": "registry.example.org/a:1"}, "registry.example.org/a:1"),
    ],
)
def test_a_source_is_one_line_without_credentials(kind: str, source: dict[str, str], said: str) -> None:
    assert display.source_summary(Server(source_kind=kind, source=source)) == said


def test_a_commit_is_cut_and_a_package_tells_its_version() -> None:
    assert ">c0ffee000000<" in display.revision("c0ffee" + "0" * 34)
    version = display.revision("mcp-server-time==2025.9.25")
    assert version == '<code title="mcp-server-time==2025.9.25">2025.9.25</code>'
