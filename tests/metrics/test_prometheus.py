"""What Prometheus is told, and who may ask."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from django.contrib.auth.models import User
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from mcphost.asgi import make_application
from metrics import prometheus, recorder
from metrics.recorder import Event
from servers.models import Server
from servers.models.token import Scope
from servers.operations import scrape
from tests.accounts import make_deployment, token_of
from tests.gateway.conftest import serving
from tests.metrics.samples import AMD, ARM, FAILED, PUSHED

pytestmark = pytest.mark.core


def value(name: str, **labels: str) -> float:
    return prometheus.REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def before() -> Any:
    """`before(name, …)`: how much was counted since the test began."""
    seen: dict[Any, float] = {}
    for family in prometheus.REGISTRY.collect():
        for sample in family.samples:
            seen[sample.name, tuple(sorted(sample.labels.items()))] = sample.value

    def grown(name: str, **labels: str) -> float:
        return value(name, **labels) - seen.get((name, tuple(sorted(labels.items()))), 0.0)

    return grown


def test_events_of_the_contract_are_counted(server: Server, before: Any) -> None:
    for event_type, details in PUSHED + FAILED:
        recorder.record(server_id=server.pk, deployment_id=None, event_type=event_type, details=details)
    pushes, none = "mcphost_registry_pushes_total", {"error_kind": ""}
    assert before(pushes, platform=AMD, outcome="succeeded", **none) == 1
    assert before(pushes, platform=ARM, outcome="failed", error_kind="tag") == 1
    assert before(pushes, platform=AMD, outcome="failed", error_kind="auth_expired") == 1
    times = "mcphost_registry_push_duration_seconds_sum"
    assert before(times, platform=AMD, outcome="succeeded", **none) == pytest.approx(0.005)
    rejected = {"platform": AMD, "outcome": "failed", "error_kind": "auth_expired"}
    assert before(times, **rejected) == pytest.approx(0.64)
    retries = "mcphost_registry_push_retries_total"
    assert before(retries, platform=AMD, reason="auth_refresh", error_kind="auth_expired") == 1
    assert before(retries, platform=ARM, reason="retryable_error", error_kind="push") == 1
    refreshes = "mcphost_registry_auth_refreshes_total"
    assert before(refreshes, platform=AMD, outcome="succeeded", **none) == 1
    assert before(refreshes, platform="", outcome="succeeded", **none) == 1
    assert before(refreshes, **rejected) == 1
    assert before("mcphost_registry_publishes_total", outcome="succeeded", **none) == 1
    assert before("mcphost_registry_publishes_total", outcome="failed", error_kind="remote") == 1
    published = before("mcphost_registry_publish_duration_seconds_sum", outcome="succeeded", **none)
    assert published == pytest.approx(0.048)
    assert before("mcphost_deployments_total", outcome="succeeded", **none) == 1
    assert before("mcphost_deployments_total", outcome="cancelled", error_kind="cancelled") == 1
    assert before("mcphost_builds_total", platform=ARM, outcome="succeeded", **none) == 1
    assert before("mcphost_build_duration_seconds_sum", platform=ARM) == pytest.approx(0.9)
    assert before("mcphost_server_restarts_total", server=str(server.pk)) == 1
    assert before("mcphost_server_restart_failures_total", server=str(server.pk)) == 1


def test_calls_are_counted_when_they_are_written(server: Server, before: Any) -> None:
    details = {"method": "tools/call", "outcome": "ok", "duration_ms": 30, "first_byte_ms": 20}
    made_up = {**details, "method": "x" * 50, "cold_start": True}
    recorder.record_many(Event(server.pk, None, "mcp_call", each) for each in (details, details, made_up))
    labels = {"server": str(server.pk), "method": "tools/call"}
    assert before("mcphost_mcp_calls_total", outcome="ok", **labels) == 2
    assert before("mcphost_mcp_calls_total", **{**labels, "method": "other"}, outcome="ok") == 1
    assert before("mcphost_mcp_call_duration_seconds_bucket", le="0.05", **labels) == 2
    assert before("mcphost_mcp_call_duration_seconds_bucket", le="0.025", **labels) == 0
    assert before("mcphost_mcp_cold_starts_total", server=str(server.pk)) == 1


def test_the_census(server: Server) -> None:
    make_deployment(server, status="queued")
    body, content_type = prometheus.exposition("", scrape.DatabaseGauges())
    assert content_type.startswith("text/plain")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert found["mcphost_servers", "pending"] == 1
    assert found["mcphost_servers", "running"] == 0
    assert found["mcphost_server_info", str(server.pk), server.slug] == 1
    assert found["mcphost_deployments_open", "queued"] == 1
    assert found["mcphost_queue_oldest_seconds",] > 0
    assert found["mcphost_database_up",] == 1
    assert found["mcphost_feed_listeners",] == 0
    assert found["process_resident_memory_bytes",] > 0


def test_openmetrics_on_request(db: None) -> None:
    body, content_type = prometheus.exposition(
        "application/openmetrics-text; version=1.0.0", scrape.DatabaseGauges()
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


class TestDoor:
    @pytest.fixture
    def people(self, transactional_db: None) -> dict[str, str]:
        """Tokens by what they are."""
        staff = User.objects.create(username="staff", is_superuser=True)
        user = User.objects.create(username="user")
        return {
            "": "",
            "nonsense": "nonsense",
            "user": token_of(user),
            "gateway": token_of(staff, Scope.MCP),
            "staff": token_of(staff),
        }

    async def ask(self, authorization: str, parts: frozenset[str] = frozenset()) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {authorization}", "host": "10.0.0.7:3000"}
        async with (
            serving(make_application(parts)) as url,
            aiohttp.ClientSession() as client,
            client.get(f"{url}/metrics", headers=headers) as response,
        ):
            return response.status, await response.text()

    async def test_only_staff_and_the_token_may_read(
        self, people: dict[str, str], settings: Settings
    ) -> None:
        for who, token in people.items():
            status, text = await self.ask(token)
            assert (status, "mcphost_servers" in text) == ((200, True) if who == "staff" else (401, False))
        settings.METRICS_TOKEN = "a-token-for-the-scraper"
        assert (await self.ask("a-token-for-the-scraper"))[0] == 200
        assert (await self.ask(""))[0] == 401
        assert (await self.ask("a-token-for-the-scrapes"))[0] == 401

    @pytest.mark.parametrize("parts", [{"gateway"}, {"web", "gateway"}, {}])
    async def test_every_process_has_it(
        self, people: dict[str, str], parts: set[str], settings: Settings
    ) -> None:
        assert (await self.ask(people["staff"], frozenset(parts)))[0] == 200

    async def test_nothing_but_reading(self, transactional_db: None) -> None:
        async with serving(make_application(frozenset())) as url, aiohttp.ClientSession() as client:
            async with client.post(f"{url}/metrics") as response:
                assert (response.status, response.headers["allow"]) == (405, "GET")
            async with client.get(f"{url}/") as response:
                assert response.status == 404
