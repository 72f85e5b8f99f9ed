"""Who gets in, and what everyone else is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from access.models import Membership, Role, Team
from gateway.options import Options
from servers.models import Server, Token
from servers.models.server import DesiredState
from servers.models.token import Scope
from servers.states import ServerStatus

from .conftest import Running, Upstream, bearer, call, host, in_database, token, until

pytestmark = pytest.mark.core


async def status(gateway: Running, value: str, slug: str = "clock", **headers: str) -> int:
    url = gateway.mcp(slug)
    async with gateway.client.post(url, json=call(), headers=bearer(value, **headers)) as response:
        return response.status


@pytest.mark.parametrize("ending", ["", "/"])
async def test_a_call_reaches_the_server_with_and_without_the_slash(
    gateway: Running, upstream: Upstream, owner: User, ending: str
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    url = gateway.mcp("clock") + ending
    async with gateway.client.post(
        url, json=call(), headers=bearer(value), allow_redirects=False
    ) as response:
        assert response.status == 200
        assert await response.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert upstream.seen[0].path == "/mcp"


async def test_without_a_token_the_answer_says_where_to_learn_more(gateway: Running) -> None:
    async with gateway.client.post(gateway.mcp("clock"), json=call()) as response:
        assert response.status == 401
        metadata = f"{gateway.url}/.well-known/oauth-protected-resource/mcp/clock"
        assert response.headers["www-authenticate"] == f'Bearer resource_metadata="{metadata}"'
        assert (await response.json())["error"]["data"] == {"status": 401}
    async with gateway.client.get(metadata) as response:
        assert response.status == 200
        document = await response.json()
    assert document["resource"] == gateway.mcp("clock")
    assert document["bearer_methods_supported"] == ["header"]


async def test_wrong_expired_and_foreign_tokens_are_refused(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    def make() -> list[str]:
        server = host(owner, "clock", upstream.url)
        past = timezone.now() - timedelta(seconds=1)
        return [
            "nonsense",
            "mcph_" + "x" * 43,
            token(owner, server, expires_at=past),
            token(owner, server, revoked_at=past),
            token(owner, scope=Scope.API),
        ]

    for value in await in_database(make):
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
            assert response.status == 401
            assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert upstream.seen == []


async def test_a_server_that_is_not_there_and_one_that_is_not_yours_look_the_same(
    gateway: Running, upstream: Upstream, owner: User, outsider: User
) -> None:
    def make() -> tuple[str, str]:
        clock, other = host(owner, "clock", upstream.url), host(owner, "other", upstream.url)
        assert clock != other
        return token(outsider), token(owner, other)

    answers = []
    for value, slug in zip(await in_database(make), ["clock", "clock"], strict=True):
        for path in (slug, "nowhere"):
            headers = bearer(value)
            async with gateway.client.post(gateway.mcp(path), json=call(), headers=headers) as response:
                answers.append((response.status, await response.text()))
    assert {code for code, _ in answers} == {404}
    assert len(set(answers)) == 1
    assert upstream.seen == []


async def test_a_token_without_a_server_opens_what_its_owner_sees(
    gateway: Running, upstream: Upstream, owner: User, outsider: User
) -> None:
    def make() -> tuple[str, str]:
        host(owner, "clock", upstream.url)
        staff = User.objects.create(username="staff", is_superuser=True)
        return token(owner), token(staff)

    for value in await in_database(make):
        assert await status(gateway, value) == 200


async def test_a_member_of_the_team_may_call_until_the_membership_ends(
    gateway: Running, upstream: Upstream, owner: User, outsider: User
) -> None:
    def make() -> tuple[str, str]:
        server = host(owner, "clock", upstream.url)
        team = Team.objects.create(name="Clocks")
        Server.objects.filter(pk=server.pk).update(team=team)
        Membership.objects.create(team=team, user=outsider, role=Role.VIEWER)
        return token(outsider), token(outsider, server)

    values = await in_database(make)
    assert [await status(gateway, value) for value in values] == [200, 200]
    await in_database(Membership.objects.all().delete)

    async def shut() -> bool:
        return [await status(gateway, value) for value in values] == [404, 404]

    await until(shut)


async def test_revocation_holds_within_what_is_believed_fresh(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    assert await status(gateway, value) == 200
    await in_database(lambda: Token.objects.update(revoked_at=timezone.now()))

    async def refused() -> bool:
        return await status(gateway, value) == 401

    await until(refused)


def test_tokens_are_believed_for_a_second_at_most() -> None:
    assert Options().fresh <= 1


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("https://evil.example", 403), ("null", 403), ("{url}", 200), ("https://mcp.example", 200)],
)
async def test_only_known_origins_may_call(
    gateway: Running, upstream: Upstream, owner: User, origin: str, expected: int
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    assert await status(gateway, value, origin=origin.format(url=gateway.url)) == expected


async def test_an_unknown_host_is_misdirected(gateway: Running) -> None:
    async with gateway.client.get(gateway.mcp("clock"), headers={"host": "rebound.example"}) as response:
        assert response.status == 421
        assert "ALLOWED_HOSTS" in (await response.json())["error"]["message"]


async def test_other_methods_and_deeper_paths_are_refused(gateway: Running) -> None:
    async with gateway.client.put(gateway.mcp("clock")) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST, GET, DELETE")
    async with gateway.client.get(gateway.mcp("clock/sse")) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("fields", "said", "retry"),
    [
        ({"status": ServerStatus.BUILDING}, "is starting (building)", "2"),
        ({"status": ServerStatus.STOPPED, "desired_state": DesiredState.STOPPED}, "is stopped", "30"),
        ({"status": ServerStatus.DEGRADED}, "is being restarted", "2"),
        ({"status": ServerStatus.ERROR}, "last start failed", "30"),
    ],
)
async def test_a_server_that_does_not_serve_says_in_what_state_it_is(
    gateway: Running, owner: User, fields: dict[str, str], said: str, retry: str
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", "", **fields)))
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
        assert (response.status, response.headers["retry-after"]) == (503, retry)
        body = await response.json()
    assert said in body["error"]["message"]
    assert body["id"] == 1


async def test_a_deleted_server_is_gone(gateway: Running, upstream: Upstream, owner: User) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    await in_database(lambda: Server.objects.update(desired_state=DesiredState.DELETED))
    assert await status(gateway, value) == 404


async def test_a_database_that_fails_is_said_and_comes_back(
    gateway: Running, upstream: Upstream, owner: User
) -> None:
    value = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    await in_database(lambda: rename_tokens("servers_token", "servers_away"))
    try:
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(value)) as response:
            assert response.status == 503
            assert "database" in (await response.json())["error"]["message"]
    finally:
        await in_database(lambda: rename_tokens("servers_away", "servers_token"))
    assert await status(gateway, value) == 200


def rename_tokens(now: str, then: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {now} RENAME TO {then}")
