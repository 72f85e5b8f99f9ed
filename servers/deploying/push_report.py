"""Reports the events of the registry library: as metrics, and in the process's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from metrics import recorder
from registry.events import RegistryEvent
from registry.reference import Reference
from servers import events

logger = logging.getLogger("registry.push")

MESSAGES = {
    "push_started": "registry push started",
    "push_retry": "registry push retry",
    "push_succeeded": "registry push succeeded",
    "push_failed": "registry push failed",
    "auth_refresh_started": "registry auth refresh started",
    "auth_refresh_succeeded": "registry auth refresh succeeded",
    "auth_refresh_failed": "registry auth refresh failed",
    "auth_health_reported": "registry auth health reported",
    "manifest_published": "manifest published",
    "manifest_failed": "manifest failed",
}
FIELDS = (
    "platform",
    "attempt",
    "retry_limit",
    "retries",
    "error_kind",
    "auth_expired",
    "error",
    "digest",
    "tag",
    "architectures",
    "reason",
    "delay_ms",
    "duration_ms",
    "status",
    "seconds",
    "source",
    "age_seconds",
    "refreshed",
)


def _nothing() -> None:
    pass


def reporter(
    server_id: int, deployment_id: int, target: Reference, on_refresh: Callable[[], None] = _nothing
) -> Callable[[RegistryEvent], None]:
    """Returns a callback for the registry library.

    After a refresh of the credentials it calls `on_refresh`.
    """

    def report(event: RegistryEvent) -> None:
        metric = recorder.record(
            server_id=server_id, deployment_id=deployment_id, event_type=event.type, details=event.details
        )
        events.metric_recorded(metric)
        _log(event.type, event.details, server_id, deployment_id, target)
        if event.type == "auth_refresh_succeeded":
            on_refresh()

    return report


def note(text: str) -> None:
    """Logs a message of the registry library that belongs to no deployment."""
    logger.info(text)


def _log(
    event_type: str, details: Mapping[str, Any], server_id: int, deployment_id: int, target: Reference
) -> None:
    message = MESSAGES.get(event_type)
    if message is None:
        return
    if event_type == "push_succeeded" and details.get("retries", 0) > 0:
        message += " after retry"  # after a refresh, which uses up no attempt, `attempt` may still be 1
    level = logging.WARNING if event_type.endswith(("failed", "retry")) else logging.INFO
    fields = {key: details[key] for key in FIELDS if key in details}
    logger.log(
        level,
        message,
        extra={
            "server_id": server_id,
            "deployment_id": deployment_id,
            "registry_endpoint": target.endpoint,
            "scopes": list(target.scopes),
            **fields,
        },
    )
