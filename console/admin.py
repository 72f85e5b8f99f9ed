"""Loads the admin's pages: Django imports this module, and these register themselves."""

from console import (
    audit_admin,
    channel_admin,
    deployment_admin,
    event_admin,
    log_admin,
    people,
    server_admin,
    team_admin,
    token_admin,
)

__all__ = [
    "audit_admin",
    "channel_admin",
    "deployment_admin",
    "event_admin",
    "log_admin",
    "people",
    "server_admin",
    "team_admin",
    "token_admin",
]
