"""A shared browser, or a proxy in between, that keeps answers: none that is somebody's own may be kept."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.access import rows
from tests.access.doors import Door, every
from tests.accounts import token_of
from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World

pytestmark = pytest.mark.django_db
# Public, and the same for everybody: they say themselves for how long they may be kept.
PUBLIC = ("subregistry:",)
ELSEWHERE = ("sso-",)  # without a provider they lead nowhere


@pytest.fixture
def world() -> World:
    return World()


def doors() -> list[Door]:
    return [
        door
        for door in every()
        if not door.name.startswith((*PUBLIC, *ELSEWHERE)) and "url>" not in door.route
    ]


def is_kept_by_nobody(answer: Any) -> bool:
    return "no-store" in answer.headers.get("Cache-Control", "")


def test_what_an_administrator_sees_is_kept_by_nobody(world: World) -> None:
    zebra = rows.make()
    browser, program = Client(), APIClient()
    browser.force_login(world.administrator, backend="django.contrib.auth.backends.ModelBackend")
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(world.administrator)}")
    for door in doors():
        parameters = {name: zebra.get(rows.BY_NAME.get(name, name), 1) for name in door.parameters}
        answer = (program if door.is_api else browser).get(door.address(parameters))
        assert is_kept_by_nobody(answer), door


@pytest.mark.parametrize(
    "address",
    [
        "/api/servers/",
        "/api/nothing",
        "/nothing/",
        "/hooks/nothing/",
        "/admin/",
        "/v0.1/servers?limit=x",
        "/?a=%00",
    ],
)
def test_refusals_are_kept_by_nobody(address: str) -> None:
    assert is_kept_by_nobody(Client().get(address))


def test_a_secret_that_is_shown_once_is_kept_by_nobody(world: World) -> None:
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(world.owner)}")
    for made in (
        program.post("/api/tokens/", {"name": "a"}),
        program.post(f"/api/servers/{world.servers[0].pk}/hooks/", {"kind": "generic"}),
        program.post("/api/channels/", {"name": "a", "url": "https://hooks.example.org/"}),
    ):
        assert made.status_code == 201, made.content
        assert made.headers["Cache-Control"] == "no-store"


def test_a_live_feed_is_kept_by_nobody(world: World) -> None:
    heard: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/servers/stream/",
        "QUERY_STRING": "",
        "HTTP_HOST": "localhost",
    }
    for identity in (Identity(world.owner), Identity()):
        with fuzzing.undone():
            list(
                identity.through(fuzzing.platform())(
                    dict(environ), lambda status, headers: heard.append(headers)
                )
            )
    assert all("no-store" in dict(headers)["cache-control"] for headers in heard)


def test_the_public_catalog_says_itself_how_long(world: World) -> None:
    assert Client().get("/v0.1/servers").headers["Cache-Control"].startswith("public")
