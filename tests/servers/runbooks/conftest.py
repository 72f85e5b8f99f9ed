from __future__ import annotations

from typing import Any

import pytest

from metrics.models import UsageMetric
from servers.models import Deployment, Server, Step
from tests.accounts import make_deployment
from tests.console.conftest import console

__all__ = ["console"]
AMD, ARM = "linux/amd64", "linux/arm64"
ERROR = "The push to registry.example.org/mcp/notes (linux/arm64) failed: unauthorized. Renew the login."


@pytest.fixture
def registry(settings: Any) -> None:
    settings.REGISTRY = "registry.example.org/mcp"
    settings.REGISTRY_REFRESH_COMMAND = ["renew"]


@pytest.fixture
def failed(server: Server, registry: None) -> Deployment:
    """#2, whose push of linux/arm64 was refused after linux/amd64 had arrived; #1 serves."""
    make_deployment(server, image="i", endpoint="http://127.0.0.1:1/mcp", revision="a" * 40, serves=True)
    deployment = make_deployment(
        server,
        status="failed",
        error_kind="auth_expired",
        error=ERROR,
        revision="b" * 40,
        platforms=[AMD, ARM],
    )
    Server.objects.filter(pk=server.pk).update(status="error", error=ERROR, error_kind="auth_expired")
    for kind, platform, status in (
        ("build", AMD, "succeeded"), ("build", ARM, "succeeded"),
        ("push", AMD, "succeeded"), ("push", ARM, "failed"),
    ):  # fmt: skip
        Step.objects.create(deployment=deployment, kind=kind, platform=platform, status=status)
    happened(deployment, "auth_health_reported", source="config.json", status="expired", seconds=-60)
    happened(deployment, "push_failed", platform=ARM, attempt=1, error="unauthorized")
    return Deployment.objects.select_related("server__current_deployment").get(pk=deployment.pk)


def happened(deployment: Deployment, event_type: str, platform: str = "", **details: Any) -> None:
    UsageMetric.objects.create(
        server_id=deployment.server_id,
        deployment=deployment,
        event_type=event_type,
        platform=platform,
        details=details,
    )
