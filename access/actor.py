"""Says who acts. Whoever receives a request or command makes an `Actor`, and passes it to services as `by`.

There is no other source: no thread local, no context variable and no signal.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest

from access import roles
from access.models import Via


@dataclass(frozen=True)
class Actor:
    """Who acts.

    `user` is None if nobody is known: the platform itself, a forge, or somebody who could not log in. `token`
    is the API token that was sent, `address` is where the request came from; None for none.
    """

    user: User | None = None
    via: Via = Via.PLATFORM
    token: Model | None = None
    address: str | None = None

    @property
    def person(self) -> User:
        """The user, for rows that need an owner. Raises `ValueError` if nobody is known."""
        if self.user is None:
            raise ValueError("This needs somebody to whom it belongs.")
        return self.user

    @property
    def is_administrator(self) -> bool:
        """Whether the user is an administrator of the whole platform, not of a team."""
        return self.user is not None and roles.is_administrator(self.user)


PLATFORM = Actor()


def at_console(request: HttpRequest) -> Actor:
    """Returns who sent a request to the console."""
    user = request.user if isinstance(request.user, User) else None
    return Actor(user, Via.ADMIN, address=request.META.get("REMOTE_ADDR") or None)
