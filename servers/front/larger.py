"""Which views take more than a small body: they say so themselves; all others are refused it by its head."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest

View = TypeVar("View", bound=Callable[..., Any])
MARK = "larger_body"
FRAMING = 64 * 1024  # boundaries, headers and the small parts around a file


@dataclass(frozen=True)
class Larger:
    """`most` bytes in one request, of which `key` may have `together` under way at once in this process."""

    most: int
    together: int
    key: Hashable = None


@dataclass(frozen=True)
class Files:
    """Of a view that takes files from somebody who is logged in; asked for late, for settings change."""

    most: Callable[[], int]


@dataclass(frozen=True)
class Strangers:
    """Of a view that anybody may send to: what this request may be, or None for as little as any."""

    allow: Callable[..., Larger | None]


def takes_files(most: Callable[[], int]) -> Callable[[View], View]:
    """`most`: bytes of all files of a request."""
    return _marked(Files(most))


def from_strangers(allow: Callable[..., Larger | None]) -> Callable[[View], View]:
    """`allow(request, **of the URL)` is asked with nothing but the head, and may ask the database."""
    return _marked(Strangers(allow))


def mark_of(view: Any, method: str | None) -> Files | Strangers | None:
    """Of a view function, or of the action that a view set gives to the method."""
    action = getattr(view, "actions", {}).get((method or "").lower())
    handler = getattr(view.cls, action, view) if action else view
    mark = getattr(handler, MARK, None)
    return mark if isinstance(mark, Files | Strangers) else None


def takes_files_from(view: Any, request: HttpRequest) -> bool:
    """Whether the request may bring any: of a token REST framework finds out before it reads the body."""
    if not isinstance(mark_of(view, request.method), Files):
        return False
    return "Authorization" in request.headers or request.user.is_authenticated


def _marked(mark: Files | Strangers) -> Callable[[View], View]:
    def wrap(view: View) -> View:
        setattr(view, MARK, mark)
        return view

    return wrap
