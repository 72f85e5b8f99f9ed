"""Who is told of what: once until it is over, and only who may see the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.fixtures import Settings

from access.actor import PLATFORM, Actor
from access.models import Role
from hosting.errors import Conflict
from notices import outbox
from notices.models import Channel, Matter, Notice, State
from servers import channels, notify, services
from servers.deploying import retention
from servers.models import Server
from tests.accounts import make_deployment, make_server, with_member

pytestmark = [pytest.mark.core, pytest.mark.django_db]


def told(channel: Channel | None = None) -> list[tuple[str, str]]:
    rows = Notice.objects.order_by("pk")
    rows = rows.filter(channel=channel) if channel else rows
    return list(rows.values_list("event", "state"))


def settled() -> None:
    """A minute has passed."""
    Matter.objects.filter(over_at__isnull=False).update(over_at=timezone.now() - outbox.SETTLE)


def test_one_failed_until_recovered(channel: Channel, server: Server) -> None:
    for _ in range(3):
        notify.failed(server.pk, "It broke.", "runtime")
    assert told() == [("failed", "pending")]
    notify.recovered(server.pk)
    notify.recovered(server.pk)
    assert told() == [("failed", "pending"), ("recovered", "pending")]
    settled()
    notify.failed(server.pk, "It broke again.", "runtime")
    assert [event for event, _ in told()] == ["failed", "recovered", "failed"]


def test_what_fails_again_at_once_was_never_over(channel: Channel, server: Server) -> None:
    notify.failed(server.pk, "It broke.", "runtime")
    for _ in range(3):
        notify.recovered(server.pk)
        notify.failed(server.pk, "It broke.", "runtime")
    assert [one for one in told() if one[1] == State.PENDING] == [("failed", "pending")]
    notify.recovered(server.pk)
    waiting = Notice.objects.get(event="recovered", state=State.PENDING)
    assert waiting.due_at > timezone.now() + timedelta(seconds=50)


def test_recovery_without_a_failure_is_no_news(channel: Channel, server: Server) -> None:
    notify.recovered(server.pk)
    assert told() == []


def test_a_person_who_stops_it_need_not_be_told(channel: Channel, server: Server) -> None:
    notify.failed(server.pk, "It broke.", "runtime")
    services.stop(server=server, by=PLATFORM)
    notify.recovered(server.pk)
    assert told() == [("failed", "pending")]


def test_what_is_told(channel: Channel, server: Server, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://mcp.example.org"
    make_deployment(server, serves=True, endpoint="http://127.0.0.1:1/mcp")
    broken = make_deployment(server, status="failed", revision="a" * 40, trigger="webhook")
    notify.failed(server.pk, "The push was denied.", "remote", broken)
    payload = Notice.objects.get().payload
    data = payload["data"]
    assert payload["type"] == "server.failed"
    assert data["headline"] == f"{server.name}: deployment #2 failed"
    assert (data["reason"], data["error_kind"], data["note"]) == (
        "The push was denied.", "remote", "#1 is still serving.",
    )  # fmt: skip
    assert data["deployment"] == {"id": broken.pk, "number": 2, "trigger": "webhook", "revision": "a" * 40}
    assert (
        data["links"]["deployment"] == f"https://mcp.example.org/admin/servers/deployment/{broken.pk}/change/"
    )
    notify.held(server.pk, "The tool greet is gone.", broken)
    assert Notice.objects.latest("pk").payload["type"] == "server.held"


def test_only_who_sees_the_server_is_told(
    server: Server, outsider: User, owner: User, staff: User, make_channel: Callable[..., Channel]
) -> None:
    mine, all_of_them, foreign = make_channel(by=owner), make_channel(by=staff), make_channel(by=outsider)
    notify.failed(server.pk, "It broke.", "runtime")
    assert (told(mine), told(all_of_them), told(foreign)) == (
        [("failed", "pending")],
        [("failed", "pending")],
        [],
    )
    assert server.team
    with_member(server.team, outsider, Role.VIEWER)
    Matter.objects.all().delete()
    notify.failed(server.pk, "It broke.", "runtime")
    assert told(foreign) == [("failed", "pending")]


def test_scopes_and_events(
    server: Server, owner: User, staff: User, make_channel: Callable[..., Channel]
) -> None:
    other = make_server(staff)
    by_server = make_channel(scope="chosen", servers=[server])
    by_team = make_channel(scope="chosen", teams=[server.team])
    by_owner = make_channel(scope="chosen", owners=[owner])
    nothing = make_channel(scope="chosen")
    quiet = make_channel(on_failed=False)
    off = make_channel(enabled=False)
    notify.failed(server.pk, "It broke.", "runtime")
    notify.failed(other.pk, "It broke.", "runtime")
    assert [len(told(one)) for one in (by_server, by_team, by_owner)] == [1, 1, 1]
    assert [told(one) for one in (nothing, quiet, off)] == [[], [], []]
    notify.recovered(server.pk)
    assert told(quiet) == [("recovered", "pending")]


def test_a_server_of_others_cannot_be_chosen(
    outsider: User, server: Server, make_channel: Callable[..., Channel]
) -> None:
    with pytest.raises(Exception, match="no such server"):
        make_channel(by=outsider, scope="chosen", servers=[server])


def test_a_test_notice_goes_to_a_channel_that_is_on(channel: Channel, staff: User) -> None:
    channels.test(channel=channel, by=Actor(staff))
    assert told() == [("test", "pending")]
    channels.change(channel=channel, by=Actor(staff), fields={"enabled": False})
    with pytest.raises(Conflict):
        channels.test(channel=channel, by=Actor(staff))


def test_old_notices_go(channel: Channel, server: Server, staff: User) -> None:
    channels.test(channel=channel, by=Actor(staff))
    Notice.objects.update(created_at=timezone.now() - timedelta(days=400))
    notify.failed(server.pk, "It broke.", "runtime")
    retention.trim()
    assert told() == [("failed", "pending")]
