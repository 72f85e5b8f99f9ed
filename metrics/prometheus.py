"""Counters of this process for Prometheus. `recorder` counts; each process exposes its own counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from metrics.methods import BOUNDS, method_of

CALL_SECONDS = tuple(bound / 1000 for bound in BOUNDS)
STEP_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
REGISTRY = CollectorRegistry()
for _collector in (ProcessCollector, PlatformCollector, GCCollector):
    _collector(registry=REGISTRY)


def _counter(name: str, about: str, *labels: str) -> Counter:
    return Counter(f"mcphost_{name}", about, labels, registry=REGISTRY)


def _histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"mcphost_{name}_seconds", about, labels, buckets=buckets, registry=REGISTRY)


CALLS = _counter("mcp_calls", "Calls of hosted servers.", "server", "method", "outcome")
CALL_TIME = _histogram("mcp_call_duration", "Until the answer's end.", CALL_SECONDS, "server", "method")
FIRST_BYTE = _histogram("mcp_call_first_byte", "Until the answer's beginning.", CALL_SECONDS, "server")
COLD_STARTS = _counter("mcp_cold_starts", "Calls that found their server not yet serving.", "server")
DROPPED = _counter("usage_dropped", "Calls that could not be recorded.")
WAITING = Gauge("mcphost_usage_waiting", "Calls not recorded yet.", registry=REGISTRY)
LEADS = Gauge("mcphost_reconciler_leads", "1 in the process whose reconciler leads.", registry=REGISTRY)
PUSHES = _counter("registry_pushes", "Pushes that ended.", "platform", "outcome", "error_kind")
PUSH_TIME = _histogram(
    "registry_push_duration", "Until a push ended.", STEP_SECONDS, "platform", "outcome", "error_kind"
)
RETRIES = _counter("registry_push_retries", "Attempts after the first.", "platform", "reason", "error_kind")
REFRESHES = _counter(
    "registry_auth_refreshes", "Renewals of registry credentials.", "platform", "outcome", "error_kind"
)
PUBLISHES = _counter("registry_publishes", "Indexes that were to be published.", "outcome", "error_kind")
PUBLISH_TIME = _histogram(
    "registry_publish_duration", "Until a publishing ended.", CALL_SECONDS, "outcome", "error_kind"
)
DEPLOYMENTS = _counter("deployments", "Deployments that ended.", "outcome", "error_kind")
DEPLOYMENT_TIME = _histogram("deployment_duration", "Of successful deployments.", STEP_SECONDS)
BUILDS = _counter("builds", "Builds that ended.", "platform", "outcome", "error_kind")
BUILD_TIME = _histogram("build_duration", "Of successful builds.", STEP_SECONDS, "platform")
RESTARTS = _counter("server_restarts", "Servers that had stopped by themselves.", "server")
FAILED_RESTARTS = _counter("server_restart_failures", "Restarts that did not come up.", "server")

Details = Mapping[str, Any]


def count(server_id: int, event_type: str, details: Details) -> None:
    """Counts one event. Most types of events are not counted."""
    if counted := _COUNTED.get(event_type):
        counted(str(server_id), details)


def exposition(accept: str, *more: Collector) -> tuple[bytes, str]:
    """Returns the metrics and their content type, in the format that the `Accept` header asks for.

    `more` are collectors to add to the counters of this process.
    """
    everything = CollectorRegistry(auto_describe=False)
    for collector in (REGISTRY, *more):
        everything.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(everything), content_type


def _call(server: str, details: Details) -> None:
    method = method_of(details)
    calls, call_time, first_byte = _of_calls(server, method, str(details.get("outcome", "")))
    calls.inc()
    call_time.observe(details.get("duration_ms", 0) / 1000)
    first_byte.observe(details.get("first_byte_ms", 0) / 1000)
    if details.get("cold_start"):
        COLD_STARTS.labels(server).inc()


@lru_cache(10_000)
def _of_calls(server: str, method: str, outcome: str) -> tuple[Counter, Histogram, Histogram]:
    """Cached, because looking up labels takes longer than counting."""
    return (
        CALLS.labels(server, method, outcome),
        CALL_TIME.labels(server, method),
        FIRST_BYTE.labels(server),
    )


def _ended(
    counter: Counter, times: Histogram, outcome: str, *, platform: bool = True
) -> Callable[[str, Details], None]:
    """Returns what counts the end of a step, and its duration if it succeeded."""

    def counted(server: str, details: Details) -> None:
        where = [str(details.get("platform", ""))] if platform else []
        counter.labels(*where, outcome, str(details.get("error_kind", ""))).inc()
        if outcome == "succeeded" and "duration_ms" in details:
            (times.labels(*where) if where else times).observe(details["duration_ms"] / 1000)

    return counted


def _registry(
    counter: Counter, times: Histogram | None, outcome: str, *, platform: bool = True
) -> Callable[[str, Details], None]:
    """Returns what counts the end of work at a registry, and its duration also if it failed."""

    def counted(server: str, details: Details) -> None:
        where = [str(details.get("platform", ""))] if platform else []
        labels = [*where, outcome, str(details.get("error_kind", ""))]
        counter.labels(*labels).inc()
        if times is not None and "duration_ms" in details:
            times.labels(*labels).observe(details["duration_ms"] / 1000)

    return counted


def _retry(server: str, details: Details) -> None:
    RETRIES.labels(*(str(details.get(key, "")) for key in ("platform", "reason", "error_kind"))).inc()


_COUNTED: dict[str, Callable[[str, Details], None]] = {
    "mcp_call": _call,
    "push_retry": _retry,
    "manifest_published": _registry(PUBLISHES, PUBLISH_TIME, "succeeded", platform=False),
    "manifest_failed": _registry(PUBLISHES, PUBLISH_TIME, "failed", platform=False),
    "deploy_cancelled": _ended(DEPLOYMENTS, DEPLOYMENT_TIME, "cancelled", platform=False),
    "deploy_held": _ended(DEPLOYMENTS, DEPLOYMENT_TIME, "held", platform=False),
    "server_restarted": lambda server, details: RESTARTS.labels(server).inc(),
    "server_restart_failed": lambda server, details: FAILED_RESTARTS.labels(server).inc(),
}
for _outcome in ("succeeded", "failed"):
    _COUNTED[f"push_{_outcome}"] = _registry(PUSHES, PUSH_TIME, _outcome)
    _COUNTED[f"auth_refresh_{_outcome}"] = _registry(REFRESHES, None, _outcome)
    _COUNTED[f"build_{_outcome}"] = _ended(BUILDS, BUILD_TIME, _outcome)
    _COUNTED[f"deploy_{_outcome}"] = _ended(DEPLOYMENTS, DEPLOYMENT_TIME, _outcome, platform=False)
