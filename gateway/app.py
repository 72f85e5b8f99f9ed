"""The gateway as an ASGI application: `/mcp/<slug>` and its metadata, without Django's request handling."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Set
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

from bridge import jsonrpc
from gateway import era, errors, metadata, options, params, routes
from gateway.admission import Admission
from gateway.cache import Cache
from gateway.calls import Call, Content
from gateway.concurrency import Places
from gateway.database import DatabaseThreads
from gateway.errors import Refusal
from gateway.exchange import SESSION, Exchange, Message, Target
from gateway.identities import Identities
from gateway.in_flight import InFlight
from gateway.limits import Limits
from gateway.options import Options
from gateway.params import Declared
from gateway.request import Request, check_host, check_method, check_origin
from gateway.request_body import Inbox
from gateway.routes import Earlier, Route
from gateway.sessions import Session, Sessions
from gateway.shared_limits import SharedLimits
from gateway.tokens import Identity
from gateway.types import Receive, Scope, Send
from gateway.upstream import Upstream
from gateway.usage import UsageWriter
from servers import standing
from servers.standing import Standing, Watch

if TYPE_CHECKING:
    from gateway.tracing import Tracing

GUARDED_AFTER = 1.0  # seconds; most calls end sooner, and their callers need not be checked again
LOOK_AGAIN = 0.2  # seconds between two queries for a server that is starting
LISTED = 60.0  # seconds; a deployment's tools do not change


class _Later:
    """Starts `work` after some seconds, unless it is cancelled before, which is the usual case."""

    def __init__(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._work())

    def cancel(self) -> None:
        self._timer.cancel()
        if self._task:
            self._task.cancel()


class _Wait:
    """Limits the time for which one call waits until its server has started.

    `passed` are the names of replicas that did not accept a connection.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.passed: set[str] = set()

    async def again(self) -> bool:
        """Waits a moment; returns False when the time is over."""
        if time.monotonic() >= self._until:
            return False
        await asyncio.sleep(LOOK_AGAIN)
        self.passed.clear()
        return True


def _limits(options: Options) -> Limits | SharedLimits:
    local = Limits()
    return SharedLimits(options.redis_url, options.shared_prefix, local) if options.redis_url else local


def _tracing() -> Tracing:
    """Imports the module only here: OpenTelemetry need not be installed."""
    return cast("Tracing", import_module("gateway.tracing").start())


class Gateway:
    """The application. Make one per process and event loop.

    `start` is optional, since a server without lifespan events never calls it. `stop` writes what is not
    stored yet.
    """

    def __init__(self, given: Options | None = None) -> None:
        self._options = given or options.from_settings()
        self._database = DatabaseThreads(self._options.database)
        fresh, asks = self._options.fresh, self._database.asks
        self._identities = Identities(self._options, self._database)
        self._limits = _limits(self._options)
        self._find = asks(routes.find)
        self._routes: Cache[str, Route | None] = Cache(self._find, fresh)
        self._earlier: Cache[int, Earlier | None] = Cache(asks(routes.earlier), fresh)
        self._declared: Cache[int, Declared] = Cache(asks(params.declared_by), LISTED)
        self._watch = Watch(asks(standing.facts))
        self._sessions = Sessions(self._options.session_key)
        self._places = Places(self._options.concurrency, self._options.patience)
        self._upstream = Upstream(self._options.connect)
        self._in_flight = InFlight()
        self.usage = UsageWriter(also=self._in_flight.tell)
        self.tracing = _tracing() if self._options.tracing else None

    async def start(self) -> None:
        """Starts the thread that writes usage."""
        self.usage.start()

    async def stop(self) -> None:
        """Closes all connections and writes the usage that is not stored yet."""
        self._upstream.close()
        await self._limits.close()
        await asyncio.to_thread(self.usage.stop)
        if self.tracing:
            await asyncio.to_thread(self.tracing.stop)
        await asyncio.to_thread(self._database.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"The gateway speaks HTTP, not {scope['type']}.")
        request = Request.of(scope)
        try:
            await self._answer(request, receive, send)
        except Refusal as refusal:
            await errors.answer(send, refusal)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        check_host(request, self._options)
        if slug := request.metadata_slug:
            await self._describe(request, slug, send)
            return
        if not (slug := request.slug):
            raise errors.not_found()
        check_origin(request, self._options)
        check_method(request)
        identity = await self._identities.of(request, slug)
        route = await self._routes.get(slug)
        if route is None or not identity.opens(route.server_id, route.owner_id, route.team_id):
            raise errors.not_found()
        await self._call(request, identity, route, receive, send)

    async def _describe(self, request: Request, slug: str, send: Send) -> None:
        """Sends the server's metadata. It is public, and any web page may fetch it."""
        document = metadata.document(request.base(self._options), slug, self._options.trust)
        await errors.respond(send, 200, document, [(b"access-control-allow-origin", b"*")])

    async def _call(
        self, request: Request, identity: Identity, route: Route, receive: Receive, send: Send
    ) -> None:
        sealed = request.one(SESSION)
        session = self._session(request, identity, route)
        call = Call(server_id=route.server_id, token_id=identity.token_id, token=identity.prefix)
        known = session.inner.encode() if session else b""
        if session:
            request = request.with_header(SESSION, known)
            call.client, call.version = session.client, session.version
        elif era.is_modern(request) and request.every(SESSION):
            request = request.with_header(SESSION)
        call.content = Content() if route.record_arguments else None
        exchange = Exchange(
            request=request,
            inbox=Inbox(receive, self._options.body_limit),
            send=send,
            call=call,
            admission=Admission.of(self._options, self._limits, identity, route),
            upstream=self._upstream,
            places=self._places,
            in_flight=self._in_flight,
            tracing=self.tracing,
            options=self._options,
        )
        self.usage.start()
        guard = _Later(GUARDED_AFTER, lambda: self._guard(exchange, request, identity, route))
        try:
            await exchange.run(
                lambda message: self._target(request, message, route, call, session),
                lambda inner: sealed.encode() if known == inner else self._seal(inner, call),
            )
        finally:
            guard.cancel()
            self.usage.record(call)

    async def _guard(self, exchange: Exchange, request: Request, identity: Identity, route: Route) -> None:
        """Ends the exchange when its caller may no longer call the server."""
        held = Standing(identity.owner_id, max(identity.token_id, 0), server_id=route.server_id)
        refused: list[Refusal] = []

        async def may_stay() -> bool:
            refused.extend(await self._refusals(request, identity, route))
            return not refused

        await self._watch.until_over(held, may_stay)
        exchange.end(refused[0])

    async def _refusals(self, request: Request, identity: Identity, route: Route) -> list[Refusal]:
        """Returns the refusal that the caller would get now, without caches; [] if it may call, or if that is
        unknown.
        """
        try:
            again = await self._identities.again(identity, request, route.slug)
            now = await self._find(route.slug)
        except Refusal as refusal:
            return [refusal] if refusal.status < 500 else []
        opens = now is not None and again.opens(now.server_id, now.owner_id, now.team_id)
        return [] if opens else [errors.not_found()]

    def _session(self, request: Request, identity: Identity, route: Route) -> Session | None:
        """Returns the session that the request names, if it belongs to this caller and server.

        The modern era has no sessions: there the header is ignored and not passed on, since a server could
        take the request for one of the older era.
        """
        sealed = request.one(SESSION)
        session = self._sessions.unseal(sealed) if sealed and not era.is_modern(request) else None
        mine = session and (session.token_id, session.server_id) == (identity.token_id, route.server_id)
        return session if mine else None

    def _seal(self, inner: bytes, call: Call) -> bytes:
        """Returns the session id for the caller; `inner` is the server's own id."""
        about = call.server_id, call.deployment_id, call.token_id, inner.decode("latin-1")
        whole = Session(*about, call.client, call.version, call.replica, call.run_id)
        return self._sessions.seal(whole).encode()

    async def _target(
        self, request: Request, message: Message | None, route: Route, call: Call, session: Session | None
    ) -> Target:
        """Returns the current deployment; for a session, the deployment that holds it, while it runs."""
        wait = _Wait(self._options.cold_start)
        if not route.serves:
            call.cold_start = True
            route = await self._started(route, wait)
        era.check(request, message, route.era, route.versions)
        await self._check_params(request, message, route)
        if session is None:
            if any(request.every(SESSION)):
                raise errors.session_lost()
            return self._current(route, wait, call)
        if session.deployment_id != route.deployment_id:
            return await self._of_session(route, session, call)
        return self._current(route, wait, call, session)

    async def _started(self, route: Route, wait: _Wait) -> Route:
        """Waits until the server serves, and returns its route.

        Raises `Refusal` (503) if the server is not starting, or if the call has waited long enough.
        """
        while not route.serves:
            if not (route.comes and await wait.again()):
                raise errors.unavailable(route.state, route.retry_after)
            route = await self._fresh(route)
        return route

    async def _fresh(self, route: Route) -> Route:
        self._routes.forget(route.slug)
        fresh = await self._routes.get(route.slug)
        if fresh is None:
            raise errors.not_found()
        return fresh

    async def _check_params(self, request: Request, message: Message | None, route: Route) -> None:
        """Checks `Mcp-Param-*` headers for a server behind the bridge, which does not see headers."""
        if not (message and message.get("method") == "tools/call" and era.is_modern(request)):
            return
        if route.behind_bridge and route.run_id:
            called = jsonrpc.params(message)
            tools = await self._declared.get(route.run_id)
            params.check(request, tools.get(str(called.get("name")), []), called.get("arguments"))

    def _current(self, route: Route, wait: _Wait, call: Call, session: Session | None = None) -> Target:
        """Raises `Refusal` (404) for a session that ended with an earlier run."""
        assert route.deployment_id is not None
        if session and _is_over(session, route.run_id):
            raise errors.session_lost()
        return Target(
            route.name,
            route.deployment_id,
            route.run_id,
            _one_of(route, call, session, wait.passed),
            lambda: self._moved(route, wait, call, session),
            lambda: self._replaced(route, route.deployment_id),
            route.host,
        )

    async def _moved(self, route: Route, wait: _Wait, call: Call, session: Session | None) -> Target:
        """Returns a new target after a connection was refused: the server has moved, or is
        being restarted.
        """
        fresh = await self._started(await self._fresh(route), wait)
        wait.passed.add(call.replica)
        others = not session and set(fresh.replicas) - wait.passed
        if fresh.endpoint == route.endpoint and not others and not await wait.again():
            raise errors.unreachable(route.name)
        return self._current(fresh, wait, call, session)

    async def _of_session(self, route: Route, session: Session, call: Call) -> Target:
        """Returns an earlier deployment, which keeps its sessions for a while.

        A retired one takes no new calls, only messages that its running calls need.
        """

        async def gone() -> Target:
            raise errors.session_lost()

        earlier = await self._earlier.get(session.deployment_id)
        if earlier is None or (earlier.retired and call.counts) or _is_over(session, earlier.run_id):
            return await gone()
        pk, endpoint = session.deployment_id, _one_of(earlier, call, session)
        why = partial(self._replaced, route, pk)
        return Target(route.name, pk, session.run_id, endpoint, gone, why, earlier.host)

    async def _replaced(self, route: Route, deployment_id: int | None) -> Refusal | None:
        """Returns why the platform ended a deployment that broke off; None if the platform did not end it."""
        now = await self._routes.get(route.slug)
        if now is None or not now.wanted:
            return errors.ended(route.name)
        return errors.replaced(route.name) if now.deployment_id not in (None, deployment_id) else None


def _is_over(session: Session, run_id: int) -> bool:
    """Tells whether the session ended with a run before this one of its deployment."""
    return session.run_id not in (0, run_id)


def _one_of(
    place: Route | Earlier, call: Call, session: Session | None, passed: Set[str] = frozenset()
) -> str:
    """Returns the endpoint of the session's replica, or of a random one that has not `passed`.

    Sets `call.replica`. Raises `Refusal` (404) if the session's replica is gone.
    """
    if not place.replicas:
        return place.endpoint
    name = session.replica if session else ""
    left = [known for known in place.replicas if known not in passed] or list(place.replicas)
    name = name or random.choice(left)  # noqa: S311  (no secret)
    if name not in place.replicas:
        raise errors.session_lost()
    call.replica = name
    return place.replicas[name]
