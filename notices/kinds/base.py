"""What a file says of its kind of channel, and what it makes of a notice. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MARKS = {"failed": "🔴", "recovered": "🟢", "held": "🟡", "test": "🔵"}


class Unusable(ValueError):
    """Nothing can be sent to this URL. The message can be shown to users and does not hold the URL."""


@dataclass(frozen=True)
class Told:
    """One notice. `payload` is the body for a generic receiver; `message_id` is the same in all tries."""

    message_id: str
    event: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What is sent. `body` becomes JSON; `headers` come beside its type and the name of the platform."""

    url: str
    body: Mapping[str, Any]
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One file per kind, which holds one as `KIND`.

    `label` is what people choose. `request` makes the request of the channel's URL and a notice; it raises
    `Unusable`. The URL is the channel's only secret: a token of the receiver is part of it. `where`
    is a sentence of the form that says how to get the URL. `signed` kinds show a signing secret, and their
    notices are signed as Standard Webhooks says.
    """

    label: str
    request: Callable[[str, Told], Request]
    where: str = ""
    signed: bool = False

    def check_url(self, url: str) -> None:
        """Raises `Unusable` if no notice can be sent to `url`."""
        data = {"headline": "Test"}
        self.request(url, Told("msg_0", "test", {"type": "test", "data": data}))


def _refuse(url: str, told: Told) -> Request:
    raise Unusable("This version of the platform does not know this kind of channel.")


UNKNOWN = Kind(label="Unknown", request=_refuse)
