"""Checks what a caller may do at a server: how many calls, and which tools."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.protocol import FIRST_MODERN
from gateway import errors, policy
from gateway.calls import UNKNOWN, Call
from gateway.http1 import Response
from gateway.limits import Bound, Limits
from gateway.options import Options
from gateway.policy import Policy
from gateway.request import Request
from gateway.routes import Route
from gateway.shared_limits import SharedLimits
from gateway.tokens import Identity
from gateway.tool_lists import ListFilter

# A batch may contain any method, and a resumed stream may bring the answer of an earlier call.
# A request whose method cannot be read may be anything, too.
_MAY_LIST = frozenset({"tools/list", "batch", UNKNOWN, ""})
_CHARSET = re.compile(r'charset\s*=\s*"?utf-?8"?\s*(?:;|\Z)')


@dataclass(slots=True)
class Admission:
    """The limits and the policy for the calls of one caller at one server.

    Empty `bounds` mean no limit. `policy` None means that no tool is denied, so bodies are not parsed for it.
    """

    limits: Limits | SharedLimits
    bounds: tuple[Bound, ...]
    policy: Policy | None

    @classmethod
    def of(
        cls, options: Options, limits: Limits | SharedLimits, identity: Identity, route: Route
    ) -> Admission:
        """Takes the limits of the token and the server, else the defaults in `options`, and joins the two
        tool policies.
        """
        by_token = identity.calls_per_minute or options.rate_per_token
        by_server = route.calls_per_minute or options.rate_per_server
        bounds: tuple[Bound, ...] = ()
        if by_token or by_server:
            bounds = (("token", identity.token_id), by_token), (("server", route.server_id), by_server)
        return cls(limits, bounds, policy.combined(route.tools, identity.tools))

    async def check(self, call: Call, request: Request, body: bytes) -> None:
        """Raises `Refusal`: 429 past a limit, or the policy's. With a policy, `body` has to be complete.

        A batch counts as the number of its messages, a stream as one call, the end of a session as none.
        """
        if self.bounds and request.method != "DELETE":
            await self.limits.admit(self.bounds, call.messages)
        if self.policy and request.method == "POST":
            _refuse_other_encodings(request)
            self.policy.check(body, modern=call.version >= FIRST_MODERN)

    def may_list(self, call: Call, request: Request) -> bool:
        """Tells whether the response may list tools that the policy denies."""
        if self.policy is None:
            return False
        resumed = request.method == "GET" and bool(request.one(b"last-event-id"))
        return resumed or (request.method == "POST" and call.method in _MAY_LIST)

    def filter(
        self, call: Call, request: Request, response: Response, *, events: bool, name: str
    ) -> ListFilter | None:
        """Returns the filter for the response's body, None if none is needed.

        `name` is the server's name for errors. Raises `Refusal` (502) if the server compresses such a
        response.
        """
        if self.policy is None or not self.may_list(call, request):
            return None
        if response.header(b"content-encoding") not in (b"", b"identity"):
            raise errors.compressed(name)
        return ListFilter(self.policy, events=events)


def _refuse_other_encodings(request: Request) -> None:
    """Raises `Refusal` if the headers declare another encoding than UTF-8 and identity.

    In UTF-7, for example, the name of a tool has other bytes; Express decodes it.
    """
    media_type = ",".join(value.decode("latin-1").lower() for value in request.every(b"content-type"))
    encodings = request.every(b"content-encoding")
    if media_type.count("charset") != len(_CHARSET.findall(media_type)) or set(encodings) - {b"identity"}:
        raise errors.unreadable()
