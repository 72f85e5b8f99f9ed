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

from access.actor import Actor
from metrics.models import UsageMetric
from servers import services
from servers.models import Deployment, LogLine, Server, Token
from servers.runbooks import diagnosis
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
    made = services.deploy(server=found, by=Actor(found.owner), trigger=Trigger.API)
    assert made.number == 2
    assert (found.build, found.current_deployment.build.plan) == ({}, {})
    shown_everywhere(found, found.current_deployment)


PUSHED = "The push to registry.example.org/denied:1 (linux/arm64) failed: "
FAILED_BEFORE = [
    # kind, sentence of the version before, what the push said, the code, the class as that version told it
    ("internal", "The worker was lost 3 times in a row.", "", "worker_lost", "lost-worker"),
    ("runtime", "The Docker Engine does not answer. Start it.", "", "engine_unavailable", "engine-away"),
    ("build", "The disk filled up during the build. Free some.", "", "full", "engine-full"),
    ("remote", f"{PUSHED}HTTP 429.", "PUT: HTTP 429", "rate_limited", "rate-limit"),
    ("remote", f"{PUSHED}denied: quota exceeded.", "denied: quota exceeded", "full", "registry-full"),
    ("remote", f"{PUSHED}HTTP 413.", "PUT: HTTP 413", "too_large", "registry-full"),
    ("remote", f"{PUSHED}denied.", "denied: requested access", "denied", "denied"),
    ("remote", f"{PUSHED}HTTP 503.", "PUT: HTTP 503", "unavailable", "network"),
    ("remote", f"{PUSHED}HTTP 415.", "PUT: HTTP 415", "", "registry-other"),
    ("push", f"{PUSHED}x509: unknown authority.", "x509: unknown authority", "untrusted", "untrusted"),
    ("push", f"{PUSHED}connection reset.", "connection reset by peer", "unreachable", "network"),
    ("push", f"{PUSHED}no progress.", "The push made no progress for 300 s.", "stalled", "network"),
    ("auth_expired", f"{PUSHED}unauthorized.", "unauthorized", "", "auth-expired"),
    ("build", "The package index has no mcp==99.", "", "unsatisfiable", "packages"),
    ("build", "This machine cannot build for x: emulation is not set up.", "", "wrong_platform", "emulation"),
    ("build", "The step RUN make ended with exit code 2.", "", "", "build"),
    ("source", "There is no repository at https://git.example.org/x.", "", "", "source"),
    ("runtime", "No node takes the server: Insufficient memory.", "", "no_capacity", "node-full"),
    ("runtime", "The image is not at the registry. (x)", "", "image_unavailable", "image-pull"),
    ("runtime", "It has exited. It misses the module mcp.x.", "", "missing_module", "module"),
    (
        "runtime",
        "It asks for the variable API_KEY. It wrote last: “x”.",
        "",
        "misconfigured",
        "configuration",
    ),
    ("runtime", "The server has exited. It wrote last: “no space left”.", "", "crashed", "crash"),
    ("runtime", "The server did not answer MCP in time.", "", "unhealthy", "never-healthy"),
    ("runtime", "The engine does not accept the server's limits.", "", "", "start"),
    ("timeout", "The build took longer than it may.", "", "", "timeout"),
]


def test_a_failure_from_before_its_codes_keeps_its_runbook() -> None:
    """What the classes read from sentences then, they read from the code that the upgrade gives."""
    before = migrate_to([
        ("servers", "0020_how_a_server_is_built"), ("metrics", "0003_call_totals_and_events_index"),
    ])  # fmt: skip
    try:
        owner = before.get_model("auth", "User").objects.create(username="owner")
        server = before.get_model("servers", "Server").objects.create(
            name="Clock", slug="clock", owner=owner, source_kind="image", source={"reference": "a/b:1"}
        )
        made = before.get_model("servers", "Deployment").objects
        events = before.get_model("metrics", "UsageMetric").objects
        for number, (kind, error, said, _, _) in enumerate(FAILED_BEFORE, 1):
            row = made.create(
                server=server, number=number, trigger="api", status="failed", error_kind=kind, error=error
            )
            for text in filter(None, (said, said and "Stopped, since linux/arm64 failed.")):
                events.create(
                    server=server, deployment=row, timestamp=timezone.now(), event_type="push_failed",
                    details={"error": text},
                )  # fmt: skip
    finally:
        migrate_to(newest())
    for deployment, (_, error, _, code, name) in zip(
        Deployment.objects.order_by("number"), FAILED_BEFORE, strict=True
    ):
        assert deployment.error_reason == code, error
        told = diagnosis.diagnose(deployment)
        assert told is not None
        assert told.name == name, error
