"""Checks once a second, for all open connections together, whether their users still may keep them open.

It reads the rows that a right depends on, and does not decide. If any of these rows has changed, the
connection's own check is called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.utils import timezone

from access.models import Membership
from servers.models import Server, Token

LOOK_EVERY = 1.0
# Some rights end without a change of a row, such as a token of another issuer; so ask this often.
ASK_AGAIN_EVERY = 60.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """The rows that somebody's right depends on; 0 and "" stand for none."""

    user_id: int
    token_id: int = 0
    session: str = ""
    server_id: int = 0


Facts = Mapping[Standing, Hashable]


def facts(held: Collection[Standing]) -> Facts:
    """Returns for each standing a value that changes if one of its rows changes. Makes five queries."""
    users = _rows(User.objects.values_list("pk", "is_active", "is_superuser", "password"), held, "user_id")
    servers = _rows(Server.objects.order_by().values_list("pk", "owner_id", "team_id"), held, "server_id")
    tokens = set(Token.objects.valid().filter(pk__in=_ids(held, "token_id")).values_list("pk", flat=True))
    keys = {one.session for one in held} - {""}
    alive = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    sessions = set(alive.values_list("session_key", flat=True))
    roles: dict[int, set[tuple[int, str]]] = {}
    belonging = Membership.objects.order_by().filter(user__in=_ids(held, "user_id"))
    for user, team, role in belonging.values_list("user_id", "team_id", "role"):
        roles.setdefault(user, set()).add((team, role))
    return {
        one: (
            users.get(one.user_id),
            frozenset(roles.get(one.user_id, ())),
            one.token_id in tokens,
            one.session in sessions,
            servers.get(one.server_id),
        )
        for one in held
    }


def _ids(held: Collection[Standing], name: str) -> set[int]:
    return {getattr(one, name) for one in held} - {0}


def _rows(rows: object, held: Collection[Standing], name: str) -> dict[int, tuple[object, ...]]:
    return {row[0]: row for row in rows.filter(pk__in=_ids(held, name))}  # type: ignore[attr-defined]


class Watch:
    """Watches the standings of one event loop.

    `ask` calls `facts` in a way that does not block the loop. If it raises, it is called again at the next
    look.
    """

    def __init__(self, ask: Callable[[list[Standing]], Awaitable[Facts]]) -> None:
        self._ask = ask
        self._held: dict[Standing, set[asyncio.Event]] = {}
        self._known: dict[Standing, Hashable] = {}
        self._looking: asyncio.Task[None] | None = None

    async def until_over(self, standing: Standing, may_stay: Callable[[], Awaitable[bool]]) -> None:
        """Returns when `may_stay` returns False.

        It is called at the first look, at each change and every minute.
        """
        with self._holding(standing) as changed:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_AGAIN_EVERY):
                        await changed.wait()
                changed.clear()
                if not await may_stay():
                    return

    @contextmanager
    def _holding(self, standing: Standing) -> Iterator[asyncio.Event]:
        """Registers a standing.

        Its first look counts as a change, because rows may have changed since the connection was allowed.
        """
        changed = asyncio.Event()
        self._held.setdefault(standing, set()).add(changed)
        self._known.pop(standing, None)
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        try:
            yield changed
        finally:
            self._let_go(standing, changed)

    def _let_go(self, standing: Standing, changed: asyncio.Event) -> None:
        self._held[standing].discard(changed)
        if not self._held[standing]:
            del self._held[standing]
            self._known.pop(standing, None)
        if not self._held and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = await self._ask(list(self._held))
            except Exception:
                logger.warning("rights of what is open cannot be looked at now", exc_info=True)
                continue
            for standing, rests_on in found.items():
                self._note(standing, rests_on)

    def _note(self, standing: Standing, rests_on: Hashable) -> None:
        if self._known.get(standing) == rests_on:
            return
        for changed in self._held.get(standing, ()):
            changed.set()
            self._known[standing] = rests_on
