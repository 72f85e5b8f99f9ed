"""A gateway on a real socket, a scripted upstream on another, and the rows that join them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import aiohttp
import pytest
import uvicorn
import uvloop
from django.contrib.auth.models import User
from django.db import connections
from pytest_django import DjangoDbBlocker

from access.models import AuditEntry, Team
from gateway.app import Gateway
from gateway.options import Options
from gateway.types import ASGIApp, Receive, Scope, Send
from metrics.models import UsageMetric
from servers.models import Deployment, Server, Token
from servers.models.server import SourceKind, Transport
from servers.states import ServerStatus
from tests.accounts import make_deployment

T = TypeVar("T")
EVENTS = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the platform runs on."""
    return {"uvloop": uvloop.new_event_loop}


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, http: type[asyncio.Protocol] | Literal["auto"] = "auto"
) -> AsyncIterator[str]:
    """Serves `app` with uvicorn on this test's event loop; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(app, http=http, log_config=None, proxy_headers=False, timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.shutdown(sockets=[listener])


async def in_database(work: Callable[[], T]) -> T:
    """Runs rows' work of a test beside its event loop, and leaves no connection behind."""

    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


async def until(met: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = met()
            if (await answer) if not isinstance(answer, bool) else answer:
                return
            await asyncio.sleep(0.01)


@dataclass
class Seen:
    """One request as the upstream got it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
    await send({"type": "http.response.start", "status": 200, "headers": JSON})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Upstream:
    """A hosted server that does what `behave` says and remembers what it was sent."""

    url: str = ""
    behave: ASGIApp = echo
    seen: list[Seen] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more, whole = b"", True, True
        while more:
            message = await receive()
            whole = message["type"] == "http.request"
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        query = scope["query_string"].decode()
        self.seen.append(Seen(scope["method"], scope["path"], query, headers, body, whole))
        await self.behave(scope, receive, send)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    fake = Upstream()
    async with serving(fake) as url:
        fake.url = f"{url}/mcp"
        yield fake


@dataclass
class Running:
    url: str
    gateway: Gateway
    client: aiohttp.ClientSession

    def mcp(self, slug: str) -> str:
        return f"{self.url}/mcp/{slug}"

    async def calls(self) -> list[dict[str, Any]]:
        """What was recorded, once it is written."""
        await asyncio.to_thread(self.gateway.usage.stop)
        rows = UsageMetric.objects.filter(event_type="mcp_call").order_by("id")
        return await in_database(lambda: list(rows.values_list("details", flat=True)))


@contextlib.asynccontextmanager
async def running_gateway(options: Options) -> AsyncIterator[Running]:
    gateway = Gateway(options)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await gateway(scope, receive, send)

    await gateway.start()
    connector = aiohttp.TCPConnector(limit=0)
    async with serving(app) as url, aiohttp.ClientSession(connector=connector) as client:
        yield Running(url, gateway, client)
    await gateway.stop()


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Rows that other threads see. pytest-django's own flushes every table, which takes 20 times as long."""
    with django_db_blocker.unblock():
        yield
        Server.objects.update(current_deployment=None)
        for model in (UsageMetric, Token, Deployment, Server, User, Team, AuditEntry):
            model._default_manager.all().delete()
        connections.close_all()


@pytest.fixture
def options() -> Options:
    return Options(
        origins=frozenset({"https://mcp.example"}),
        fresh=0.2,
        keep_alive=0.2,
        call_timeout=20,
        body_limit=256 * 1024,
    )


@pytest.fixture
async def gateway(options: Options, transactional_db: None) -> AsyncIterator[Running]:
    async with running_gateway(options) as running:
        yield running


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create(username="owner")


@pytest.fixture
def outsider(transactional_db: None) -> User:
    return User.objects.create(username="outsider")


def host(owner: User, slug: str, endpoint: str, **fields: Any) -> Server:
    """A server whose first deployment serves at `endpoint`; "" where nothing serves."""
    server = Server.objects.create(
        name=slug.title(),
        slug=slug,
        owner=owner,
        source_kind=SourceKind.PACKAGE,
        **{"transport": Transport.HTTP, "status": ServerStatus.RUNNING, **fields},
    )
    if endpoint:
        deploy(server, endpoint)
    return server


def deploy(server: Server, endpoint: str) -> Deployment:
    """What the end of a deployment leaves: the new one is current, the old one still has its run."""
    return make_deployment(server, endpoint=endpoint, serves=True)


def token(owner: User, server: Server | None = None, **fields: Any) -> str:
    made = Token(owner=owner, server=server, name="test", **fields)
    value = made.set_new_value()
    made.save()
    return value


def bearer(value: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}", **headers}


def call(method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
