"""Marks views that take more than a small body. Requests to other views are refused by their headers."""

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
    """How much a request may send: at most `most` bytes.

    All open requests of `key` in this process may have `together` bytes.
    """

    most: int
    together: int
    key: Hashable = None


@dataclass(frozen=True)
class Files:
    """The mark of a view that takes files from users who are logged in.

    `most` reads the setting at each request.
    """

    most: Callable[[], int]


@dataclass(frozen=True)
class Strangers:
    """The mark of a view that anybody may send to.

    `allow` returns what a request may send; None for a small body.
    """

    allow: Callable[..., Larger | None]


def takes_files(most: Callable[[], int]) -> Callable[[View], View]:
    """Marks a view. `most` returns how many bytes all files of a request may have."""
    return _marked(Files(most))


def from_strangers(allow: Callable[..., Larger | None]) -> Callable[[View], View]:
    """Marks a view. `allow(request, **of the URL)` has only the headers, and may ask the database."""
    return _marked(Strangers(allow))


def mark_of(view: Any, method: str | None) -> Files | Strangers | None:
    """Returns the mark of a view function, or of the view set's action for this method."""
    action = getattr(view, "actions", {}).get((method or "").lower())
    handler = getattr(view.cls, action, view) if action else view
    mark = getattr(handler, MARK, None)
    return mark if isinstance(mark, Files | Strangers) else None


def takes_files_from(view: Any, request: HttpRequest) -> bool:
    """Tells whether the request may send files. REST framework checks a token before it reads the body."""
    if not isinstance(mark_of(view, request.method), Files):
        return False
    return "Authorization" in request.headers or request.user.is_authenticated


def _marked(mark: Files | Strangers) -> Callable[[View], View]:
    def wrap(view: View) -> View:
        setattr(view, MARK, mark)
        return view

    return wrap
