"""The data path as an ASGI application: `/mcp/<slug>` and its metadata, without Django's handlers."""

from __future__ import annotations

import asyncio

import aiohttp

from gateway import errors, metadata, options, routes, tokens
from gateway.cache import Cache
from gateway.calls import Call
from gateway.database import DatabaseThreads
from gateway.errors import Refusal
from gateway.exchange import Exchange, Target
from gateway.inbox import Inbox
from gateway.options import Options
from gateway.request import Request, check_host, check_method, check_origin
from gateway.routes import Route
from gateway.sessions import Session, Sessions
from gateway.tokens import Identity
from gateway.types import Receive, Scope, Send
from gateway.upstream import Upstream
from gateway.usage import UsageWriter

SESSION = "mcp-session-id"


class Gateway:
    """One per process and event loop. `start` is optional (a server without lifespan never calls it), `stop`
    writes what is still held."""

    def __init__(self, given: Options | None = None) -> None:
        self._options = given or options.from_settings()
        self._database = DatabaseThreads()
        fresh, asks = self._options.fresh, self._database.asks
        self._tokens: Cache[str, Identity | None] = Cache(asks(tokens.identify), fresh)
        self._routes: Cache[str, Route | None] = Cache(asks(routes.find), fresh)
        self._older: Cache[int, str] = Cache(asks(routes.endpoint_of), fresh)
        self._sessions = Sessions()
        self._upstream = Upstream(self._options.connect)
        self.usage = UsageWriter()

    async def start(self) -> None:
        self.usage.start()

    async def stop(self) -> None:
        await self._upstream.close()
        await asyncio.to_thread(self.usage.stop)
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
        identity = await self._identify(request, slug)
        route = await self._routes.get(slug)
        if route is None or not identity.opens(route.server_id, route.owner_id):
            raise errors.not_found()
        await self._call(request, identity, route, receive, send)

    async def _describe(self, request: Request, slug: str, send: Send) -> None:
        """Public, and fetched by browser clients of any origin."""
        document = metadata.document(request.base(self._options), slug)
        await errors.respond(send, 200, document, [(b"access-control-allow-origin", b"*")])

    async def _identify(self, request: Request, slug: str) -> Identity:
        value = tokens.bearer(request.every(b"authorization"))
        identity = await self._tokens.get(value) if tokens.could_be_ours(value) else None
        if identity is None:
            where = metadata.url(request.base(self._options), slug)
            raise errors.unauthorized(where, presented=bool(value))
        return identity

    async def _call(
        self, request: Request, identity: Identity, route: Route, receive: Receive, send: Send
    ) -> None:
        call = Call(server_id=route.server_id, token_id=identity.token_id, token=identity.prefix)
        exchange = Exchange(
            request=request,
            inbox=Inbox(receive, self._options.body_limit),
            send=send,
            call=call,
            upstream=self._upstream,
            options=self._options,
        )
        session_id = request.one(SESSION.encode())
        try:
            await exchange.run(
                lambda: self._target(route, call, session_id),
                lambda response: self._note(response, call, session_id),
            )
        finally:
            self.usage.start()
            self.usage.record(call)

    async def _target(self, route: Route, call: Call, session_id: str) -> Target:
        """The current deployment, but for a session the one that holds it, as long as it runs."""
        if not route.serves:
            raise errors.unavailable(route.state, route.retry_after)
        session = self._sessions.get(route.server_id, session_id) if session_id else None
        if session is None:
            return self._current(route)
        if session.token_id != call.token_id:
            raise errors.session_lost()
        call.client, call.version = call.client or session.client, call.version or session.version
        if session.deployment_id == route.deployment_id:
            return self._current(route)
        return await self._earlier(route, session, session_id)

    def _current(self, route: Route) -> Target:
        assert route.deployment_id is not None
        return Target(route.name, route.deployment_id, route.endpoint, lambda: self._moved(route))

    async def _moved(self, route: Route) -> Target:
        self._routes.forget(route.slug)
        fresh = await self._routes.get(route.slug)
        if fresh is None:
            raise errors.not_found()
        if not fresh.serves:
            raise errors.unavailable(fresh.state, fresh.retry_after)
        if fresh.endpoint == route.endpoint:
            raise errors.unreachable(route.name)
        return self._current(fresh)

    async def _earlier(self, route: Route, session: Session, session_id: str) -> Target:
        async def gone() -> Target:
            self._sessions.drop(route.server_id, session_id)
            raise errors.session_lost()

        endpoint = await self._older.get(session.deployment_id)
        return Target(route.name, session.deployment_id, endpoint, gone) if endpoint else await gone()

    def _note(self, response: aiohttp.ClientResponse, call: Call, session_id: str) -> None:
        """Learns a session from the response that opens it, or from the first that accepts it here."""
        if response.status == 404 or response.method == "DELETE":
            self._sessions.drop(call.server_id, session_id)
        elif response.status < 400 and (named := response.headers.get(SESSION) or session_id):
            known = Session(call.token_id, call.deployment_id, call.client, call.version)
            self._sessions.put(call.server_id, named, known)
