"""A request that says what nobody hears: a word of another type, an unknown one, one that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from api.doors import Door
from api.strict import READ_ONLY
from tests.accounts import token_of
from tests.security import fuzzing
from tests.security.world import World

pytestmark = pytest.mark.django_db
PACKAGE = {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"}
THEIR_OWN = {"Nothing", "SpectacularAPIView", "Docs"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def program(world: World) -> APIClient:
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(world.owner)}")
    return made


def told(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {error["field"]: error["detail"] for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    "query",
    [
        "servers/?status=flying",
        "deployments/?status=flying",
        "notices/?state=flying",
        "audit/?via=pigeon",
        "audit/?until=",
        "audit/?since=",
        "servers/?limit=",
        "servers/?limit=1&limit=2",
        "servers/?stat=running",
        "servers/?tail=3",
        "channels/?page=2",
        "servers/1/?verbose=1",
    ],
)
def test_a_query_that_would_change_nothing(program: APIClient, query: str) -> None:
    assert list(told(program.get(f"/api/{query}"))) == [query.partition("?")[2].partition("=")[0]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": 0}, "name"),
        ({"name": True}, "name"),
        ({"listed": "true"}, "listed"),
        ({"listed": 1}, "listed"),
        ({"port": "8000"}, "port"),
        ({"port": True}, "port"),
        ({"limits": {"cpu": "1"}}, "limits.cpu"),
        ({"limits": {"ram": 64}}, "limits.ram"),
        ({"command": ["python", 1]}, "command.1"),
        ({"memory_mb": 64}, "memory_mb"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_a_body_of_other_types_and_names(
    program: APIClient, world: World, body: dict[str, Any], field: str
) -> None:
    assert list(told(program.patch(f"/api/servers/{world.servers[0].pk}/", body))) == [field]


def test_what_may_only_be_read(program: APIClient, world: World) -> None:
    body = {"status": "running", "id": 7, "name": "New"}
    answer = program.patch(f"/api/servers/{world.servers[0].pk}/", body)
    assert told(answer) == {"status": READ_ONLY, "id": READ_ONLY}


def test_a_whole_number_may_be_written_with_a_point(program: APIClient, world: World) -> None:
    """As JSON Schema has it."""
    answer = program.patch(f"/api/servers/{world.servers[0].pk}/", {"port": 8001.0})
    assert answer.json()["port"] == 8001


def test_bounds_stand_in_the_schema() -> None:
    document = fuzzing.document()
    shapes, asked = document["components"]["schemas"], document["paths"]["/api/servers/{id}/logs/"]["get"]
    queries = {parameter["name"]: parameter["schema"] for parameter in asked["parameters"]}
    assert (queries["tail"]["minimum"], queries["tail"]["maximum"]) == (1, 1000)
    assert (queries["limit"]["minimum"], queries["limit"]["default"]) == (1, 100)
    port, cpu = shapes["ServerRequest"]["properties"]["port"], shapes["LimitsRequest"]["properties"]["cpu"]
    assert (port["minimum"], port["maximum"], cpu["minimum"], cpu["maximum"]) == (1, 65535, 0.05, 64)
    assert shapes["Deployment"]["properties"]["based_on"]["nullable"]
    assert shapes["ServerRequest"]["additionalProperties"] is False
    assert "status" not in shapes["ServerRequest"]["properties"]


def test_every_view_of_the_api_looks_at_its_query() -> None:
    views = {view for view in _views(get_resolver(), "") if view.__name__ not in THEIR_OWN}
    assert len(views) > 20
    assert [view for view in views if not issubclass(view, Door)] == []


def _views(resolver: URLResolver, before: str) -> Iterator[type]:
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _views(entry, route)
        elif isinstance(entry, URLPattern) and route.startswith("api/"):
            yield getattr(entry.callback, "cls", None) or entry.callback.view_class
