"""Reports the refresh of a credential with the same events before, during and after a push."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from registry.errors import error_details
from registry.events import RegistryEvent, Report, Stopwatch
from registry.reference import Reference


def run(report: Report, about: Mapping[str, Any], refresh: Callable[[], object]) -> None:
    """Calls `refresh` and reports its start and its end; raises what it raises.

    `about` holds the details that all three events share.
    """
    watch = Stopwatch()
    report(RegistryEvent("auth_refresh_started", dict(about)))
    try:
        refresh()
    except Exception as failure:
        failed = {**about, **error_details(failure), "duration_ms": watch.ms()}
        report(RegistryEvent("auth_refresh_failed", failed))
        raise
    report(RegistryEvent("auth_refresh_succeeded", {**about, "duration_ms": watch.ms()}))


def details_outside_a_push(target: Reference, retry_limit: int) -> dict[str, Any]:
    """Returns the event details for a refresh that belongs to no attempt and no platform."""
    return {
        "attempt": 0,
        "retry_limit": retry_limit,
        "registry_endpoint": target.endpoint,
        "platform": "",
    }
