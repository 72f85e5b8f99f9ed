"""What a server uses: measured in the background, told on its page and over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import PLATFORM
from servers import services
from servers.deploying import reconciler
from servers.models import Run, Server
from tests.accounts import make_deployment
from tests.eventually import eventually
from tests.platform import Platform

pytestmark = pytest.mark.core


def test_a_running_server_is_measured_until_it_stops(platform: Platform) -> None:
    server = platform.hello()
    deployment = platform.deploy(server)
    reconciler.measure()
    uses = Run.objects.get(deployment=deployment).uses
    assert uses["memory_mb"] > 0
    assert uses["cpu"] >= 0
    services.stop(server=platform.fresh(server), by=PLATFORM)
    eventually(lambda: not Run.objects.live().exists(), what="it is stopped")
    reconciler.measure()
    assert Run.objects.get(deployment=deployment).uses is None


def test_a_runtime_that_is_not_there_measures_nothing(server: Server) -> None:
    fields: dict[str, Any] = {"runtime": "moon", "uses": {"cpu": 1.0, "memory_mb": 9}}
    deployment = make_deployment(server, endpoint="http://moon/mcp", serves=True, **fields)
    Server.objects.filter(pk=server.pk).update(desired_state="running")
    reconciler.measure()
    assert Run.objects.get(deployment=deployment).uses is None


@pytest.mark.parametrize(
    ("uses", "shown"),
    [
        ({"cpu": 0.12, "memory_mb": 64}, "0.12 CPUs and 64 MiB, of 1.0 and 512 MiB"),
        (None, "no metrics"),
    ],
)
def test_it_is_told(
    server: Server,
    owner: User,
    staff: User,
    api: Callable[[User], APIClient],
    session: Callable[[User], Client],
    uses: dict[str, Any] | None,
    shown: str,
) -> None:
    make_deployment(server, endpoint="http://127.0.0.1:9/mcp", serves=True, uses=uses)
    assert api(owner).get(f"/api/servers/{server.pk}/").json()["uses"] == uses
    page = session(staff).get(reverse("admin:servers_server_change", args=[server.pk]))
    assert shown in page.content.decode()


def test_what_serves_nothing_uses_nothing(
    server: Server, owner: User, api: Callable[[User], APIClient]
) -> None:
    make_deployment(server, serves=True, uses={"cpu": 0.12, "memory_mb": 64})
    assert api(owner).get(f"/api/servers/{server.pk}/").json()["uses"] is None
