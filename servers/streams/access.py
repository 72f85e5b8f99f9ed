"""The channels of the live feed, and who may read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from django_eventstream.channelmanager import ChannelManagerBase

from access import roles
from servers import callers
from servers.models import Server
from servers.standing import Standing

EVERY_STATUS = "statuses"
PATH = re.compile(r"^/api/servers/(?:stream|(?P<server>[0-9]{1,18})/(?P<kind>metrics|logs)/stream)/\Z")


class Unauthenticated(Exception):
    """The request has no valid token or session."""


class NotFound(Exception):
    """There is no such feed, or the user may not see it."""


@dataclass(frozen=True)
class Reader:
    """A user who may read `channel`. `standing` names the rows that this right depends on."""

    channel: str
    standing: Standing = field(default=Standing(0), compare=False)


class ChannelManager(ChannelManagerBase):  # type: ignore[misc]
    """Lets a `Reader` read.

    The views of django-eventstream are not served, so they are offered no channel.
    """

    def get_channels_for_request(self, request: HttpRequest, view_kwargs: Any) -> set[str]:
        return set()

    def can_read_channel(self, user: object, channel: str) -> bool:
        return isinstance(user, Reader) and user.channel == channel

    def is_channel_reliable(self, channel: str) -> bool:
        return True


def metrics_channel(server_id: int) -> str:
    return f"server-{server_id}-metrics"


def logs_channel(server_id: int) -> str:
    return f"server-{server_id}-logs"


def own_statuses(user_id: int | None) -> str:
    """Returns the channel with the statuses of the servers that this user sees."""
    return f"statuses-of-{user_id}"


def statuses_channel(user: roles.Person) -> str:
    """Returns the channel with the statuses of the servers that `user` sees; an administrator's has all."""
    return EVERY_STATUS if roles.is_administrator(user) else own_statuses(user.pk)


def reader_for(request: HttpRequest) -> Reader:
    """Returns the reader for a request to a feed. Raises `Unauthenticated` and `NotFound`.

    It is called again while a stream is open, because rights may end.
    """
    caller, path = callers.of(request), PATH.match(request.path_info)
    user = caller.user
    if user.pk is None:
        raise Unauthenticated
    if path is None:
        raise NotFound
    if path["server"] is None:
        return Reader(statuses_channel(user), Standing(user.pk, caller.token_id, caller.session))
    server_id = int(path["server"])
    channel = _server_channel(user, server_id, path["kind"])
    return Reader(channel, Standing(user.pk, caller.token_id, caller.session, server_id))


def _server_channel(user: AbstractBaseUser | AnonymousUser, server_id: int, kind: str) -> str:
    if not Server.objects.all().visible_to(user).filter(pk=server_id).exists():
        raise NotFound
    return (metrics_channel if kind == "metrics" else logs_channel)(server_id)
