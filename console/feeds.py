"""URLs of the live feeds that a page follows.

Build them before the rows of the page are read: the URL holds the feed's position, and an event between the
rows and the position would be lost otherwise.
"""

from __future__ import annotations

from urllib.parse import urlencode

from access.roles import Person
from servers.models import StreamPosition
from servers.streams import access


def follow(path: str, channel: str) -> str:
    """The URL of a live feed that continues where this page's rows end."""
    last = StreamPosition.objects.filter(channel=channel).values_list("last", flat=True).first() or 0
    return f"{path}?{urlencode({'lastEventId': f'{channel}:{last}'})}"


def of_statuses(user: Person) -> str:
    return follow("/api/servers/stream/", access.statuses_channel(user))


def of_logs(server_id: int) -> str:
    return follow(f"/api/servers/{server_id}/logs/stream/", access.logs_channel(server_id))


def of_metrics(server_id: int) -> str:
    return follow(f"/api/servers/{server_id}/metrics/stream/", access.metrics_channel(server_id))
