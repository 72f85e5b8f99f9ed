from tests.accounts import api, outsider, owner, server, session, staff, team, teammate, viewer
from tests.servers.streams.conftest import live_feed

__all__ = [
    "api",
    "live_feed",
    "outsider",
    "owner",
    "server",
    "session",
    "staff",
    "team",
    "teammate",
    "viewer",
]
