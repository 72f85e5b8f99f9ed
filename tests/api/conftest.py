from tests.accounts import api, outsider, owner, server, session, staff, team, teammate, viewer
from tests.platform import idle, platform, quick

__all__ = [
    "api",
    "idle",
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
