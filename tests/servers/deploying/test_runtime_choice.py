"""Who may let a server run as a process of the platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from servers import runtime_choice
from servers.models import Server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.django_db
REFUSED = "Only an administrator"


@pytest.fixture
def isolating(settings: Any) -> Iterator[None]:
    settings.CONTAINER_RUNTIME = "docker"
    runtime_choice.default_runtime.cache_clear()
    yield
    runtime_choice.default_runtime.cache_clear()


@pytest.mark.usefixtures("isolating")
def test_an_operator_does_not_take_the_isolation_away(api: Api, server: Server, staff: User) -> None:
    here, wanted = f"/api/servers/{server.pk}/", {"runtime": "process"}
    answer = api(server.owner).patch(here, wanted)
    assert (answer.status_code, REFUSED in answer.text) == (400, True)
    client = Client()
    client.force_login(server.owner, backend="django.contrib.auth.backends.ModelBackend")
    page = client.post(f"/admin/servers/server/{server.pk}/edit/", {**wanted, "name": "Typed", "slug": "x"})
    assert REFUSED in page.text
    assert "Typed" in page.text
    assert not Server.objects.filter(runtime="process").exists()
    assert api(staff).patch(here, wanted).status_code == 200
    kept = api(server.owner).patch(here, {**wanted, "name": "Still mine"})
    assert (kept.status_code, kept.json()["name"]) == (200, "Still mine")


def test_where_all_are_processes_one_may_say_so(api: Api, server: Server, settings: Any) -> None:
    settings.CONTAINER_RUNTIME = "process"
    runtime_choice.default_runtime.cache_clear()
    assert api(server.owner).patch(f"/api/servers/{server.pk}/", {"runtime": "process"}).status_code == 200
    runtime_choice.default_runtime.cache_clear()
