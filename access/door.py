"""Through which door, and for whom, this thread or task works: the audit notes it without being told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from access.models import Via


@dataclass(frozen=True)
class Door:
    """`who` tells on whose behalf something is done where no request does."""

    via: Via = Via.PLATFORM
    address: str | None = None
    request: HttpRequest | None = None
    who: Callable[[], Any] | None = None

    @property
    def user(self) -> Any:
        """Who stands at it, as far as it is known by now; None for nobody."""
        user = self.who() if self.who else getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @property
    def credential(self) -> Any:
        """The API token that was sent; None where it was none."""
        return getattr(self.request, "auth", None)

    @property
    def token(self) -> str:
        """Its name; "" where it was none."""
        return str(self.credential or "")[:120]


_current: ContextVar[Door | None] = ContextVar("door", default=None)


def current() -> Door:
    return _current.get() or Door()


@contextmanager
def opened(door: Door) -> Iterator[None]:
    before = _current.set(door)
    try:
        yield
    finally:
        _current.reset(before)


class DoorMiddleware:
    """Notes the door of each request: the API below /api/, else the console. Webhooks say so themselves."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        via = Via.API if request.path_info.startswith("/api/") else Via.ADMIN
        with opened(Door(via, request.META.get("REMOTE_ADDR") or None, request)):
            return self._get_response(request)
