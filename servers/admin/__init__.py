"""The web admin of servers: a door that parses, checks, calls one service and answers."""

from servers.admin import (
    channel_admin,
    deployment_admin,
    event_admin,
    log_admin,
    people,
    server_admin,
    token_admin,
)

__all__ = [
    "channel_admin",
    "deployment_admin",
    "event_admin",
    "log_admin",
    "people",
    "server_admin",
    "token_admin",
]
