"""Rows of the first schema in the newest one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metrics.models import UsageMetric
from servers import services
from servers.models import Deployment, LogLine, Server, Token
from servers.states import Trigger

FIRST = [("servers", "0002_limits_and_tool_policy"), ("metrics", "0002_call_rollups")]
pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def migrate_to(targets: list[tuple[str, str]]) -> Apps:
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


def newest() -> list[tuple[str, str]]:
    return MigrationExecutor(connection).loader.graph.leaf_nodes()  # type: ignore[no-any-return]


@pytest.fixture
def before() -> Iterator[Apps]:
    yield migrate_to(FIRST)
    migrate_to(newest())


def shown_everywhere(server: Server, deployment: Deployment) -> None:
    """Nothing is known of how it was built: pages and REST say so, and it is saved as it is."""
    User.objects.filter(pk=server.owner_id).update(is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(server.owner, backend="django.contrib.auth.backends.ModelBackend")
    for name, pk in (
        ("servers_server_change", server.pk), ("servers_server_settings", server.pk),
        ("servers_server_edit", server.pk), ("servers_deployment_change", deployment.pk),
        ("servers_deployment_compare", deployment.pk),
    ):  # fmt: skip
        assert client.get(reverse(f"admin:{name}", args=[pk])).status_code == 200, name
    assert client.get(f"/api/servers/{server.pk}/").json()["build"] == {}
    assert client.get(f"/api/deployments/{deployment.pk}/").json()["plan"] == {}


def test_what_was_there_comes_along(before: Apps) -> None:
    now = timezone.now()
    owner = before.get_model("auth", "User").objects.create(username="owner")
    server = before.get_model("servers", "Server").objects.create(
        name="Clock", slug="clock", owner=owner, source_kind="image", source={"reference": "a/b:1"},
        environment={"A": "b"}, desired_state="running", status="running",
    )  # fmt: skip
    deployment = before.get_model("servers", "Deployment").objects.create(
        server=server, number=1, trigger="api", status="succeeded", finished_at=now, image="a/b@sha256:1",
        discovery={"tools": [{"name": "now"}]},
    )  # fmt: skip
    server.current_deployment = deployment
    server.save()
    before.get_model("servers", "LogLine").objects.create(
        server=server, deployment=deployment, stream="run", at=now, text="ERROR: it failed"
    )
    before.get_model("servers", "Token").objects.create(
        name="old", owner=owner, scope="api", prefix="mcph_abc", digest="0" * 64
    )
    before.get_model("metrics", "UsageMetric").objects.create(
        server=server, timestamp=now, event_type="mcp_call", details={"method": "ping"}
    )

    migrate_to(newest())

    found = Server.objects.get()
    found.full_clean(exclude=["current_deployment"])
    assert (found.environment, found.team, found.schema_gate) == ({"A": "b"}, None, "warn")
    assert found.current_deployment == Deployment.objects.get()
    assert (LogLine.objects.get().text, UsageMetric.objects.get().server) == ("ERROR: it failed", found)
    assert Token.objects.get().owner == found.owner
    made = services.deploy(server=found, by=found.owner, trigger=Trigger.API)
    assert made.number == 2
    assert (found.build, found.current_deployment.build.plan) == ({}, {})
    shown_everywhere(found, found.current_deployment)
