"""The refresh of a credential, told in the same words in a push, before it and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from registry.errors import described
from registry.events import RegistryEvent, Report, Stopwatch
from registry.reference import Reference


def tell(report: Report, about: Mapping[str, Any], refresh: Callable[[], object]) -> None:
    """Reports `auth_refresh_started`, then how `refresh` ended; raises what it raises."""
    watch = Stopwatch()
    report(RegistryEvent("auth_refresh_started", dict(about)))
    try:
        refresh()
    except Exception as failure:
        failed = {**about, **described(failure), "duration_ms": watch.ms()}
        report(RegistryEvent("auth_refresh_failed", failed))
        raise
    report(RegistryEvent("auth_refresh_succeeded", {**about, "duration_ms": watch.ms()}))


def outside_of_a_push(target: Reference, retry_limit: int) -> dict[str, Any]:
    """The contract's keys of a refresh that belongs to no attempt and to no platform."""
    return {
        "attempt": 0,
        "retry_limit": retry_limit,
        "registry_endpoint": target.endpoint,
        "platform": "",
    }
