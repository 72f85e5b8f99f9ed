"""Legacy sessions: whose they are, and what becomes of them when their server is deployed again."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from gateway.sessions import Session, Sessions
from gateway.types import Receive, Scope, Send
from servers.models import Deployment, Server

from .conftest import JSON, Running, Upstream, bearer, call, deploy, host, in_database, serving, token, until

pytestmark = pytest.mark.core


class Holder:
    """An upstream that opens sessions named after itself and knows no others."""

    def __init__(self, name: str) -> None:
        self.name, self.opened, self.calls = name, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        session = dict(scope["headers"]).get(b"mcp-session-id", b"").decode()
        status = 200 if not session or session.startswith(self.name) else 404
        if not session:
            self.opened += 1
            session = f"{self.name}-{self.opened}"
        head = [*JSON, (b"mcp-session-id", session.encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})


async def post(gateway: Running, key: str, session: str = "", method: str = "POST") -> tuple[int, str]:
    headers = bearer(key, **({"mcp-session-id": session} if session else {}))
    async with gateway.client.request(method, gateway.mcp("clock"), json=call(), headers=headers) as response:
        return response.status, response.headers.get("mcp-session-id", "")


async def test_a_session_is_its_callers_own(gateway: Running, owner: User, upstream: Upstream) -> None:
    holder = upstream.behave = Holder("a")

    def make() -> tuple[str, str]:
        server = host(owner, "clock", upstream.url)
        return token(owner, server), token(owner, server)

    mine, other = await in_database(make)
    _, session = await post(gateway, mine)
    assert await post(gateway, mine, session) == (200, session)
    before = holder.calls
    assert (await post(gateway, other, session))[0] == 404
    assert holder.calls == before


async def test_a_session_stays_with_its_deployment_until_that_is_drained(
    gateway: Running, owner: User
) -> None:
    async with serving(Holder("old")) as old, serving(Holder("new")) as new:
        server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
        key = await in_database(lambda: token(owner, server))
        _, session = await post(gateway, key)
        await in_database(lambda: deploy(server, f"{new}/mcp"))

        async def switched() -> bool:
            return (await post(gateway, key))[1].startswith("new")

        await until(switched)
        assert await post(gateway, key, session) == (200, session)

        first = Deployment.objects.filter(server=server, number=1)
        await in_database(lambda: first.update(run=None, endpoint=""))

        async def lost() -> bool:
            return (await post(gateway, key, session))[0] == 404

        await until(lost)
        status, session = await post(gateway, key)
        assert (status, session[:3]) == (200, "new")


async def test_a_session_of_a_deployment_that_died_is_lost(gateway: Running, owner: User) -> None:
    async with serving(Holder("new")) as new:
        async with serving(Holder("old")) as old:
            server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
            key = await in_database(lambda: token(owner, server))
            _, session = await post(gateway, key)
            await in_database(lambda: deploy(server, f"{new}/mcp"))

            async def switched() -> bool:
                return (await post(gateway, key))[1].startswith("new")

            await until(switched)
        assert (await post(gateway, key, session))[0] == 404


async def test_a_session_that_is_not_known_here_is_the_servers_to_judge(
    gateway: Running, owner: User
) -> None:
    """Another gateway process may have opened it."""
    async with serving(Holder("a")) as url:
        server: Server = await in_database(lambda: host(owner, "clock", f"{url}/mcp"))
        key = await in_database(lambda: token(owner, server))
        assert await post(gateway, key, "a-from-elsewhere") == (200, "a-from-elsewhere")
        assert (await post(gateway, key, "never-opened"))[0] == 404
        assert (await post(gateway, key, "a-from-elsewhere", "DELETE"))[0] == 200


def test_the_table_is_bounded_and_forgets_what_is_idle() -> None:
    table = Sessions(most=2)
    for name in ("first", "second"):
        table.put(1, name, Session(token_id=1, deployment_id=1))
    assert table.get(1, "first")
    table.put(1, "third", Session(token_id=1, deployment_id=1))
    assert (table.get(1, "second"), len(table)) == (None, 2)

    idle = Sessions(idle=-1)
    idle.put(1, "first", Session(token_id=1, deployment_id=1))
    assert (idle.get(1, "first"), len(idle)) == (None, 0)
