"""The telemetry contract over both doors, on recorded events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from metrics import recorder
from servers import events
from servers.models import Server
from tests.accounts import make_deployment, token_of
from tests.metrics import contract
from tests.metrics.samples import AMD, FAILED, PUSHED, Sample, health, stream
from tests.servers.streams.live import Client

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core
SAMPLES = pytest.mark.parametrize("samples", [PUSHED, FAILED], ids=["pushed", "failed"])


def write(server: Server, samples: list[Sample]) -> int:
    deployment = make_deployment(server)
    for event_type, details in samples:
        metric = recorder.record(
            server_id=server.pk, deployment_id=deployment.pk, event_type=event_type, details=details
        )
        events.metric_recorded(metric)
    return deployment.pk


def by_rest(client: APIClient, server: Server) -> list[dict[str, Any]]:
    """Oldest first."""
    rows: list[dict[str, Any]] = client.get(f"/api/servers/{server.pk}/metrics/?limit=1000").json()["results"]
    return rows[::-1]


@SAMPLES
def test_over_rest(api: Api, owner: User, server: Server, samples: list[Sample]) -> None:
    deployment = write(server, samples)
    found = by_rest(api(owner), server)
    assert [(row["event_type"], row["details"]) for row in found] == samples
    assert {(row["server"], row["deployment"]) for row in found} == {(server.pk, deployment)}
    assert contract.violations(found) == []
    assert contract.order_violations(found) == []


@SAMPLES
def test_over_sse(live_feed: str, api: Api, owner: User, server: Server, samples: list[Sample]) -> None:
    headers = {"Authorization": f"Bearer {token_of(owner)}"}
    with Client(f"{live_feed}/api/servers/{server.pk}/metrics/stream/", **headers) as client:
        client.take(1, "stream-open")
        write(server, samples)
        found = [orjson.loads(event.data) for event in client.take(len(samples), "metric")]
    assert found == by_rest(api(owner), server)
    assert contract.violations(found) == []
    assert contract.order_violations(found) == []


def test_the_samples_have_every_event_of_the_contract() -> None:
    assert {event_type for event_type, _ in PUSHED + FAILED} == contract.EVENT_TYPES


def event(event_type: str, details: object) -> dict[str, Any]:
    return {
        "id": 1, "server": 1, "deployment": None, "timestamp": "2026-11-22T16:55:53Z",
        "event_type": event_type, "details": details,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (event("push_started", {"attempt": 1}), "retry_limit is missing"),
        (event("push_started", stream(AMD, attempt=True)), "details.attempt"),
        (event("push_started", stream("amd64")), "details.platform"),
        (event("push_started", stream("")), "details.platform"),
        (event("auth_refresh_started", stream("", 1)), "details.platform"),
        (event("auth_health_reported", health("ill")), "details.status"),
        (event("auth_health_reported", health("expired", seconds="soon")), "details.seconds"),
        (event("auth_health_reported", {}), "status is missing"),
        (event("pull_secret_patched", {}), "duration_ms is missing"),
        (event("tag_moved", {}), "not an event"),
        ({**event("deploy_started", {}), "platform": AMD}, "the row has the keys"),
        (event("clone_failed", {"duration_ms": 1, "error": "", "error_kind": "odd"}), "details.error_kind"),
    ],
)
def test_what_breaks_the_contract_is_noticed(broken: dict[str, Any], says: str) -> None:
    assert says in " ".join(contract.violations([broken]))


def test_what_breaks_the_order_is_noticed() -> None:
    def order(*kinds: str) -> list[str]:
        return contract.order_violations([event(kind, {"platform": AMD}) for kind in kinds])

    pushed = ("tag_started", "tag_succeeded", "push_started", "push_succeeded")
    assert order(*pushed, "manifest_published", "start_started") == []
    assert order("push_started", "push_succeeded")
    assert order(*pushed[:3])
    assert order("manifest_published", *pushed)
    assert order(*pushed, "start_started", "manifest_published")
    assert order(*pushed[:3], "push_failed", "manifest_published")
