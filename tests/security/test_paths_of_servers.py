"""An operator gives a server a path with “..” in it. Behind the API server of a cluster (K8S_REACH=proxy) it
leads out of the server, to the cluster's own doors, with the platform's credentials."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from gateway.http1 import NotConnected
from gateway.request import Request
from gateway.upstream import Upstream
from hosting.errors import RuntimeFault
from hosting.runtimes.base import RunSpec
from servers.models import Server

CLIMBING = [
    "/../../../../secrets",
    "/mcp/..",
    "/./mcp",
    "/%2e%2e/secrets",
    "/%2E./secrets",
    "/..%2fsecrets",
    "/%252e%252e/secrets",
    "/..\\secrets",
    "/mcp/../../x?y=1",
]
STAYING = ["/mcp", "/", "/a.b/..c/d..", "/...", "/mcp?next=../x", "/v1.0/mcp/"]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", CLIMBING)
def test_it_is_refused_when_it_is_given(api: Callable[[User], APIClient], server: Server, path: str) -> None:
    answer = api(server.owner).patch(f"/api/servers/{server.pk}/", {"path": path}, format="json")
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, ["path"])
    server.refresh_from_db()
    assert server.path == "/mcp"


@pytest.mark.parametrize("path", STAYING)
def test_others_are_taken(api: Callable[[User], APIClient], server: Server, path: str) -> None:
    answer = api(server.owner).patch(f"/api/servers/{server.pk}/", {"path": path}, format="json")
    assert answer.status_code == 200, answer.json()


@pytest.mark.parametrize("path", CLIMBING)
def test_one_that_was_kept_before_starts_nothing(path: str) -> None:
    with pytest.raises(RuntimeFault, match="leads out of the server"):
        RunSpec(
            server_id=1, slug="x", deployment_id=1, number=1, run_id=1, transport="streamable-http", path=path
        )


@pytest.mark.parametrize("path", CLIMBING)
async def test_one_that_runs_from_before_is_not_called(path: str) -> None:
    endpoint = f"https://127.0.0.1:1/api/v1/namespaces/x/services/y:8000/proxy{path}"
    with pytest.raises(NotConnected, match="no address"):
        await Upstream(1.0).open(endpoint, Request("GET", "/mcp/x", b"", "http", []), [], b"")
