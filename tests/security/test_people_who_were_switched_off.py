"""Somebody who was let go, and who tries every door again that they had open, on the real application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.utils import timezone

from access import people, teams
from access.actor import PLATFORM, Actor
from access.models import Membership, Role, Team
from hooks import services as hooks
from hooks.models import Outcome, WebHook
from mcphost.asgi import make_application
from notices import outbox, sender
from notices.models import Channel, Event, Notice, State
from servers import channels, notify, services, tickets
from servers.models import Server, Token
from servers.models.token import Scope
from tests.accounts import api, owner, person, server, session, staff, team, teammate
from tests.gateway.conftest import (
    Upstream,
    bearer,
    call,
    deploy,
    in_database,
    pytest_asyncio_loop_factories,
    serving,
    until,
    upstream,
)
from tests.hooks import payloads

__all__ = [
    "api",
    "owner",
    "pytest_asyncio_loop_factories",
    "server",
    "session",
    "staff",
    "team",
    "teammate",
    "upstream",
]
End = Callable[[User, Team], None]
pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def switched_off(user: User, team: Team) -> None:
    user.is_active = False
    people.save(user=user, by=PLATFORM)


def switched_off_by_hand(user: User, team: Team) -> None:
    """Past the services: nothing announces it."""
    User.objects.filter(pk=user.pk).update(is_active=False)


def removed_from_the_team(user: User, team: Team) -> None:
    teams.remove_member(team=team, user=user, by=PLATFORM)


def team_dissolved(user: User, team: Team) -> None:
    teams.delete(team=team, by=PLATFORM)


GONE = [switched_off, switched_off_by_hand, removed_from_the_team, team_dissolved]
OFF = [switched_off, switched_off_by_hand]


@pytest.fixture
def leaver(team: Team) -> User:
    """An operator of the owner's team with a password."""
    user = person("leaver")
    Membership.objects.create(team=team, user=user, role=Role.OPERATOR)
    return user


@pytest.fixture
def hosted(server: Server, upstream: Upstream) -> Server:
    Server.objects.filter(pk=server.pk).update(status="running", transport="streamable-http")
    deploy(server, upstream.url)
    return server


@asynccontextmanager
async def platform() -> AsyncIterator[aiohttp.ClientSession]:
    """The whole application on a socket, and a client of it."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        serving(make_application()) as url,
        aiohttp.ClientSession(url, connector=connector) as client,
    ):
        yield client
    # Live feeds ask the database on this thread, which stays; its connection would hold the database.
    await asyncio.wrap_future(SyncToAsync.single_thread_executor.submit(connections.close_all))


@asynccontextmanager
async def listening(
    client: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """A live feed of which the opening was read."""
    async with asyncio.timeout(60), client.get(url, headers=headers) as feed:
        assert feed.status == 200
        opening = await feed.content.readuntil(b"\n\n") + await feed.content.readuntil(b"\n\n")
        assert b"stream-open" in opening
        yield feed


def token(user: User, scope: str = Scope.API) -> dict[str, str]:
    return bearer(services.issue_token(owner=user, name="held", scope=scope, by=PLATFORM)[1])


def cookie(user: User) -> dict[str, str]:
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return {"cookie": f"mcphost_session={browser.cookies['mcphost_session'].value}"}


async def status(client: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with client.get(url, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def called(client: aiohttp.ClientSession, server: Server, headers: dict[str, str]) -> int:
    async with client.post(f"/mcp/{server.slug}", json=call(), headers=headers) as answer:
        return answer.status


# --- Requests


@pytest.mark.parametrize("end", OFF)
async def test_tokens_and_sessions_open_nothing_from_the_next_request_on(
    hosted: Server, leaver: User, team: Team, end: End
) -> None:
    headers = await in_database(lambda: [token(leaver), token(leaver, Scope.READ), cookie(leaver)])
    async with platform() as client:
        for each in headers:
            assert await status(client, f"/api/servers/{hosted.pk}/", each) == 200
        assert await status(client, "/admin/", headers[2]) == 200
        await in_database(lambda: end(leaver, team))
        for each in headers:
            assert await status(client, f"/api/servers/{hosted.pk}/", each) in (401, 403)
            assert await status(client, "/api/servers/stream/", each) == 401
            assert await status(client, f"/api/servers/{hosted.pk}/logs/stream/", each) == 401
        assert await status(client, "/admin/", headers[2]) == 302
        login = {"username": "leaver", "password": "leaver-password"}
        plain = Client()
        assert await in_database(lambda: plain.post("/admin/login/", login).status_code) == 200


@pytest.mark.parametrize("end", [removed_from_the_team, team_dissolved])
async def test_a_team_that_was_left_is_not_seen_from_the_next_request_on(
    hosted: Server, leaver: User, team: Team, end: End
) -> None:
    headers = await in_database(lambda: [token(leaver), cookie(leaver)])
    async with platform() as client:
        await in_database(lambda: end(leaver, team))
        for each in headers:
            for url in ("", "logs/", "secrets/", "logs/stream/", "metrics/stream/"):
                assert await status(client, f"/api/servers/{hosted.pk}/{url}", each) == 404


async def test_a_lowered_role_changes_nothing_any_more(hosted: Server, leaver: User, team: Team) -> None:
    headers = await in_database(lambda: token(leaver))
    async with platform() as client:
        await in_database(lambda: teams.set_member(team=team, user=leaver, role=Role.VIEWER, by=PLATFORM))
        for act in ("redeploy", "stop", "archive"):
            async with client.post(f"/api/servers/{hosted.pk}/{act}/", headers=headers) as answer:
                assert answer.status in (403, 415)
        async with client.patch(f"/api/servers/{hosted.pk}/", json={"name": "x"}, headers=headers) as answer:
            assert answer.status == 403
    assert await in_database(lambda: hosted.deployments.count()) == 1


@pytest.mark.parametrize("end", GONE)
async def test_calls_end_within_the_second_that_an_answer_is_believed(
    hosted: Server, leaver: User, team: Team, end: End
) -> None:
    """The gateway keeps who a token is for a moment; a ticket of the console too."""
    headers = await in_database(lambda: token(leaver, Scope.MCP))
    ticket = bearer(tickets.issue(user_id=leaver.pk, server_id=hosted.pk))
    async with platform() as client:
        for each in (headers, ticket):
            assert await called(client, hosted, each) == 200
        await in_database(lambda: end(leaver, team))

        async def refused() -> bool:
            return {await called(client, hosted, each) for each in (headers, ticket)} <= {401, 404}

        await until(refused, seconds=10)


# --- What is open already


@pytest.mark.parametrize("way", [token, cookie])
@pytest.mark.parametrize("end", GONE)
async def test_an_open_feed_of_a_server_ends_by_itself(
    hosted: Server, leaver: User, team: Team, end: End, way: Callable[[User], dict[str, str]]
) -> None:
    """Nothing has to happen on it first, which would be told."""
    headers = await in_database(lambda: way(leaver))
    url = f"/api/servers/{hosted.pk}/logs/stream/"
    async with platform() as client, listening(client, url, headers) as feed:
        await in_database(lambda: end(leaver, team))
        assert await feed.content.read() == b""


async def test_an_administrator_who_is_none_any_more_stops_hearing_of_all(
    hosted: Server, staff: User
) -> None:
    headers = await in_database(lambda: token(staff))
    async with platform() as client, listening(client, "/api/servers/stream/", headers) as feed:
        await in_database(lambda: User.objects.filter(pk=staff.pk).update(is_superuser=False))
        assert await feed.content.read() == b""


def logged_out(user: User) -> None:
    Session.objects.all().delete()


def password_changed(user: User) -> None:
    user.set_password("another-one")
    user.save()


def token_revoked(user: User) -> None:
    services.revoke_token(token=Token.objects.get(), by=PLATFORM)


def token_ended(user: User) -> None:
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("way", "end"),
    [(cookie, logged_out), (cookie, password_changed), (token, token_revoked), (token, token_ended)],
)
async def test_an_open_feed_ends_with_what_opened_it(
    hosted: Server, leaver: User, way: Callable[[User], dict[str, str]], end: Callable[[User], None]
) -> None:
    headers = await in_database(lambda: way(leaver))
    async with platform() as client, listening(client, "/api/servers/stream/", headers) as feed:
        await in_database(lambda: end(leaver))
        assert await feed.content.read() == b""


async def test_the_others_go_on_listening(hosted: Server, owner: User, leaver: User, team: Team) -> None:
    theirs, ours = await in_database(lambda: (token(leaver), token(owner)))
    url = f"/api/servers/{hosted.pk}/logs/stream/"
    async with (
        platform() as client,
        listening(client, url, ours) as kept,
        listening(client, url, theirs) as lost,
    ):
        await in_database(lambda: switched_off(leaver, team))
        await lost.content.read()
        assert not kept.content.at_eof()


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """A hosted server that goes on talking until it is left."""
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    while True:
        await send({"type": "http.response.body", "body": b'data: {"news":1}\n\n', "more_body": True})
        await asyncio.sleep(0.05)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """One that takes its time, and has not begun to answer."""
    await asyncio.sleep(60)


def by_token(user: User, server: Server) -> dict[str, str]:
    return token(user, Scope.MCP)


def by_ticket(user: User, server: Server) -> dict[str, str]:
    return bearer(tickets.issue(user_id=user.pk, server_id=server.pk))


@pytest.mark.parametrize("way", [by_token, by_ticket])
@pytest.mark.parametrize("end", GONE)
async def test_an_open_stream_of_a_hosted_server_is_cut(
    hosted: Server, upstream: Upstream, leaver: User, team: Team, end: End,
    way: Callable[[User, Server], dict[str, str]],
) -> None:  # fmt: skip
    upstream.behave = stream
    headers = await in_database(lambda: way(leaver, hosted))
    url, headers = f"/mcp/{hosted.slug}", {**headers, "accept": "text/event-stream"}
    async with platform() as client, asyncio.timeout(60), client.get(url, headers=headers) as answer:
        assert await answer.content.readuntil(b"\n\n")
        await in_database(lambda: end(leaver, team))
        async for _ in answer.content:
            pass  # it ends, where it would have gone on for ever


@pytest.mark.parametrize("end", GONE)
async def test_a_call_that_is_under_way_is_refused(
    hosted: Server, upstream: Upstream, leaver: User, team: Team, end: End
) -> None:
    upstream.behave = silent
    headers = await in_database(lambda: token(leaver, Scope.MCP))
    async with platform() as client, asyncio.timeout(60):
        asking = asyncio.ensure_future(called(client, hosted, headers))
        await until(lambda: bool(upstream.seen))
        await in_database(lambda: end(leaver, team))
        assert await asking in (401, 404)


async def test_calls_of_the_others_go_on(
    hosted: Server, upstream: Upstream, owner: User, leaver: User, team: Team
) -> None:
    upstream.behave = stream
    theirs, ours = await in_database(lambda: (token(leaver, Scope.MCP), token(owner, Scope.MCP)))
    url, accept = f"/mcp/{hosted.slug}", {"accept": "text/event-stream"}
    async with (
        platform() as client,
        asyncio.timeout(60),
        client.get(url, headers={**ours, **accept}) as kept,
        client.get(url, headers={**theirs, **accept}) as lost,
    ):
        await in_database(lambda: switched_off(leaver, team))
        async for _ in lost.content:
            pass
        assert await kept.content.readuntil(b"\n\n")


# --- What they set up


def pushed(hook: WebHook, secret: str, number: str = "1") -> Any:
    body = json.dumps(payloads.github()).encode()
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in payloads.github_headers(secret, body, number).items()
        if name.lower() != "content-type"
    }
    return Client().post(hook.path, body, content_type="application/json", **headers)


def made_a_viewer(user: User, team: Team) -> None:
    teams.set_member(team=team, user=user, role=Role.VIEWER, by=PLATFORM)


@pytest.mark.parametrize("end", [*GONE, made_a_viewer])
def test_a_webhook_whose_secret_they_know_deploys_nothing(
    server: Server, owner: User, team: Team, end: End
) -> None:
    leaver = person("leaver")
    Membership.objects.create(team=team, user=leaver, role=Role.OPERATOR)
    hook, secret = hooks.create(
        server=server, by=Actor(leaver), fields={"kind": "github", "branches": ["main"]}
    )
    end(leaver, team)
    answer = pushed(hook, secret)
    assert answer.status_code == 400
    assert "leaver knows its secret, and does not operate this server now" in answer.json()["detail"]
    assert server.deployments.count() == 0
    assert hook.deliveries.get().outcome == Outcome.REJECTED

    new = hooks.rotate(hook=hook, by=Actor(owner))
    assert pushed(hook, secret, "2").status_code == 404  # not for a day beside the new one
    assert pushed(hook, new, "3").status_code == 202


@pytest.mark.parametrize("end", GONE)
def test_a_channel_of_theirs_is_told_nothing_that_still_waits(server: Server, team: Team, end: End) -> None:
    leaver = person("leaver")
    Membership.objects.create(team=team, user=leaver, role=Role.OPERATOR)
    channel, _ = channels.create(by=Actor(leaver), fields={"name": "Theirs", "url": "https://chat.example/x"})
    payload = {"type": "server.failed", "timestamp": "", "data": {}}
    (waiting,) = outbox.write([channel], Event.FAILED, f"server-{server.pk}", payload)
    end(leaver, team)
    assert sender.send_due(notify.may_hear) == 0
    notify.failed(server.pk, "It broke.", "internal")
    assert Notice.objects.filter(channel=channel).count() == 1
    waiting.refresh_from_db()
    assert waiting.attempts == 0
    assert waiting.state in (State.PENDING, State.WITHDRAWN)
    assert Channel.objects.get().owner == leaver
