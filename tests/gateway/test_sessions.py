"""Legacy sessions: whose they are, which process serves them, and what a new deployment makes of them."""

from __future__ import annotations

import asyncio
import base64

import orjson
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from gateway.options import Options
from gateway.sessions import Session, Sessions
from gateway.types import Receive, Scope, Send
from servers.models import Deployment, Run, Server
from tests.accounts import begun

from .conftest import (
    JSON,
    Running,
    Upstream,
    bearer,
    call,
    deploy,
    host,
    in_database,
    running_gateway,
    serving,
    token,
    until,
)

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
        answer = {"jsonrpc": "2.0", "id": 1, "result": {"holder": self.name}}
        await send({"type": "http.response.body", "body": orjson.dumps(answer)})


async def post(
    gateway: Running, key: str, session: str = "", method: str = "POST", body: object = None
) -> tuple[int, str, str]:
    """Status, session id, and who answered."""
    headers = bearer(key, **({"mcp-session-id": session} if session else {}))
    async with gateway.client.request(
        method, gateway.mcp("clock"), json=body or call(), headers=headers
    ) as response:
        answer = orjson.loads(await response.read() or b"{}")
        holder = answer.get("result", {}).get("holder", "")
        return response.status, response.headers.get("mcp-session-id", ""), holder


async def switched(gateway: Running, key: str) -> None:
    """Waits until new sessions go to what came last."""

    async def has() -> bool:
        return (await post(gateway, key))[2] == "new"

    await until(has)


async def test_a_session_is_its_callers_own(gateway: Running, owner: User, upstream: Upstream) -> None:
    holder = upstream.behave = Holder("a")

    def make() -> tuple[str, str]:
        server = host(owner, "clock", upstream.url)
        return token(owner, server), token(owner, server)

    mine, other = await in_database(make)
    _, session, _ = await post(gateway, mine)
    assert "a-1" not in session
    assert await post(gateway, mine, session) == (200, session, "a")
    before = holder.calls
    for stranger in (
        await post(gateway, other, session),
        await post(gateway, mine, "a-1"),
        await post(gateway, mine, session[:-4] + "AAAA"),
    ):
        assert stranger[0] == 404
    assert holder.calls == before


@pytest.mark.parametrize(
    "headers",
    [
        [("mcp-protocol-version", "2026-07-28"), ("mcp-session-id", "a-1")],
        [
            ("mcp-protocol-version", "2026-07-28"),
            ("connection", "mcp-protocol-version"),
            ("mcp-session-id", "a-1"),
        ],
        [("mcp-session-id", ""), ("mcp-session-id", "a-1")],
    ],
)
async def test_an_id_that_the_gateway_has_not_sealed_never_crosses(
    gateway: Running, owner: User, upstream: Upstream, headers: list[tuple[str, str]]
) -> None:
    """The sealed id can be read, and a server may see another era or another header than the gateway does."""
    key = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    sent = [("authorization", f"Bearer {key}"), *headers]
    async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=sent) as response:
        await response.read()
    crossed = [value for seen in upstream.seen for name, value in seen.headers if name == "mcp-session-id"]
    assert "a-1" not in crossed


async def test_a_session_of_one_server_is_none_of_another(
    gateway: Running, owner: User, upstream: Upstream
) -> None:
    upstream.behave = Holder("a")

    def make() -> str:
        host(owner, "clock", upstream.url)
        host(owner, "other", upstream.url)
        return token(owner)

    key = await in_database(make)
    _, session, _ = await post(gateway, key)
    headers = bearer(key, **{"mcp-session-id": session})
    async with gateway.client.post(gateway.mcp("other"), json=call(), headers=headers) as response:
        assert response.status == 404


async def test_a_session_stays_with_its_deployment_until_that_is_retired(
    gateway: Running, owner: User
) -> None:
    """Then only answers and notifications get there, which calls that are under way may need."""
    async with serving(Holder("old")) as old, serving(Holder("new")) as new:
        server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
        key = await in_database(lambda: token(owner, server))
        _, session, _ = await post(gateway, key)
        await in_database(lambda: deploy(server, f"{new}/mcp"))
        await switched(gateway, key)
        assert await post(gateway, key, session) == (200, session, "old")

        first = Run.objects.filter(deployment__server=server, deployment__number=1)
        await in_database(lambda: first.update(endpoint=""))

        async def lost() -> bool:
            return (await post(gateway, key, session))[0] == 404

        await until(lost)
        answer = {"jsonrpc": "2.0", "id": 7, "result": {}}
        assert await post(gateway, key, session, body=answer) == (200, session, "old")

        await in_database(lambda: first.update(ended_at=timezone.now()))

        async def gone() -> bool:
            return (await post(gateway, key, session, body=answer))[0] == 404

        await until(gone)
        status, _, holder = await post(gateway, key)
        assert (status, holder) == (200, "new")


async def test_a_session_of_a_deployment_that_died_is_lost(gateway: Running, owner: User) -> None:
    async with serving(Holder("new")) as new:
        async with serving(Holder("old")) as old:
            server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
            key = await in_database(lambda: token(owner, server))
            _, session, _ = await post(gateway, key)
            await in_database(lambda: deploy(server, f"{new}/mcp"))
            await switched(gateway, key)
        assert (await post(gateway, key, session))[0] == 404


async def test_a_session_ends_with_the_run_that_holds_it(gateway: Running, owner: User) -> None:
    """A server may take any id for a session of its own: its callers must initialise again."""
    async with serving(Holder("old")) as old, serving(Holder("new")) as new:
        server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
        key = await in_database(lambda: token(owner, server))
        _, session, _ = await post(gateway, key)
        assert (await post(gateway, key, session))[0] == 200

        def restarted() -> None:
            Run.objects.update(endpoint="", ended_at=timezone.now())
            begun(Deployment.objects.get(), endpoint=f"{new}/mcp")

        await in_database(restarted)
        await switched(gateway, key)
        assert (await post(gateway, key, session))[0] == 404


async def test_a_session_ended_with_its_run_though_its_deployment_was_replaced_since(
    gateway: Running, owner: User
) -> None:
    """While the deployment drains, a later run of it may have a session of the same id."""
    async with serving(Holder("old")) as old, serving(Holder("new")) as new:
        server = await in_database(lambda: host(owner, "clock", f"{old}/mcp"))
        key = await in_database(lambda: token(owner, server))
        _, session, _ = await post(gateway, key)

        def restarted_and_replaced() -> None:
            Run.objects.update(endpoint="", ended_at=timezone.now())
            begun(Deployment.objects.get(), endpoint=f"{old}/mcp")
            deploy(server, f"{new}/mcp")

        await in_database(restarted_and_replaced)

        async def lost() -> bool:
            return (await post(gateway, key, session))[0] == 404

        await until(lost)


def test_a_session_of_an_earlier_version_is_known() -> None:
    """Its note says nothing of a run: it is the current one's."""
    sessions = Sessions(b"key")
    note = orjson.dumps([1, 2, -3, "inner", "client", "2025-11-25", "one"])
    sealed = base64.urlsafe_b64encode(sessions._seal_of(note) + note).decode()
    assert sessions.unseal(sealed) == Session(1, 2, -3, "inner", "client", "2025-11-25", "one")


async def test_every_gateway_process_serves_every_session(
    gateway: Running, options: Options, owner: User, upstream: Upstream
) -> None:
    """Also after a redeployment, and for nobody but its caller."""
    upstream.behave = Holder("old")
    async with running_gateway(options) as replica, serving(Holder("new")) as new:
        server: Server = await in_database(lambda: host(owner, "clock", upstream.url))
        key, other = await in_database(lambda: (token(owner, server), token(owner, server)))
        _, session, _ = await post(gateway, key)
        assert await post(replica, key, session) == (200, session, "old")
        assert (await post(replica, other, session))[0] == 404
        await in_database(lambda: deploy(server, f"{new}/mcp"))
        await switched(replica, key)
        assert await post(replica, key, session) == (200, session, "old")
        assert (await post(replica, key, session, "DELETE"))[0] == 200
        _, opened_there, holder = await post(replica, key)
        answers = await asyncio.gather(*(post(each, key, opened_there) for each in (gateway, replica)))
        assert answers == [(200, opened_there, holder)] * 2


def test_what_is_sealed_comes_back_and_nothing_else_does() -> None:
    sessions = Sessions(b"key")
    session = Session(1, 2, -3, "inner", "Ünï 1", "2025-11-25")
    sealed = sessions.seal(session)
    assert sealed.isascii()
    assert sealed.isprintable()
    assert sessions.unseal(sealed) == session
    whole = base64.urlsafe_b64decode(sealed)
    forged = base64.urlsafe_b64encode(whole[:16] + whole[16:].replace(b"-3", b"-4")).decode()
    for other in ("", "a", "ü", forged, sealed[:-8], "A" * 5000, Sessions(b"other").seal(session)):
        assert sessions.unseal(other) is None


async def test_a_session_stays_with_its_replica_and_ends_with_it(gateway: Running, owner: User) -> None:
    async with serving(Holder("one")) as one, serving(Holder("two")) as two:
        replicas = {"one": f"{one}/mcp", "two": f"{two}/mcp"}
        server = await in_database(lambda: host(owner, "clock", "http://127.0.0.1:9/service"))
        of_server = Run.objects.filter(deployment__server=server)
        await in_database(lambda: of_server.update(endpoints=replicas))
        key = await in_database(lambda: token(owner, server))
        sessions: dict[str, str] = {}

        async def both_hold_one() -> bool:
            status, session, holder = await post(gateway, key)
            sessions[holder] = session
            return status == 200 and len(sessions) == 2

        await until(both_hold_one)
        for _ in range(5):
            for name, session in sessions.items():
                assert await post(gateway, key, session) == (200, session, name)

        del replicas["one"]
        await in_database(lambda: of_server.update(endpoints=replicas))

        async def lost() -> bool:
            return (await post(gateway, key, sessions["one"]))[0] == 404

        await until(lost)
        assert (await post(gateway, key, sessions["two"]))[0] == 200
        assert (await post(gateway, key))[2] == "two"


async def test_a_replica_that_is_gone_is_passed_over(gateway: Running, owner: User) -> None:
    async with serving(Holder("here")) as here:
        replicas = {"gone": "http://127.0.0.1:9/mcp", "here": f"{here}/mcp"}
        server = await in_database(lambda: host(owner, "clock", replicas["gone"]))
        await in_database(lambda: Run.objects.filter(deployment__server=server).update(endpoints=replicas))
        key = await in_database(lambda: token(owner, server))
        assert {(await post(gateway, key))[2] for _ in range(6)} == {"here"}
