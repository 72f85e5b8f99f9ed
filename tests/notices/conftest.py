from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from access.actor import Actor
from notices.models import Channel
from servers import channels
from tests.accounts import api, outsider, owner, server, session, staff, team, teammate, viewer
from tests.notices.receiver import Receiver, receiving
from tests.platform import platform, quick

__all__ = [
    "api",
    "outsider",
    "owner",
    "platform",
    "quick",
    "server",
    "session",
    "staff",
    "team",
    "teammate",
    "viewer",
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def channel(staff: User, receiver: Receiver) -> Channel:
    """An administrator's: it may send to this machine."""
    return channels.create(by=Actor(staff), fields={"name": "On call", "url": receiver.url()})[0]


@pytest.fixture
def make_channel(staff: User, receiver: Receiver) -> Callable[..., Channel]:
    def make(by: User = staff, **fields: Any) -> Channel:
        return channels.create(by=Actor(by), fields={"name": "Other", "url": receiver.url(), **fields})[0]

    return make
