"""A build of one team puts a poisoned wheel where builds of all teams look for what they have downloaded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from access.models import Team
from hosting.build_settings import BuildSettings
from hosting.builder.dockerfile import render
from hosting.sources.plan import Plan, Step
from servers.deploying import building
from servers.models import Server
from tests.accounts import make_server

PYTHON = Plan(
    "python", ("python", "server.py"), steps=(Step("install", ("uv", "pip", "install", "."), "Installing"),)
)
NODE = Plan("node", ("node", "server.js"), steps=(Step("install", ("npm", "ci"), "Installing"),))
pytestmark = pytest.mark.django_db


def caches_of(settings: BuildSettings, plan: Plan) -> frozenset[str]:
    text = render(plan, transport="stdio", settings=settings)
    mounted = re.findall(r"--mount=type=cache,(?:id=([^,]+),)?", text)
    assert mounted
    assert all(mounted), "a cache without a name is everybody's"
    return frozenset(mounted)


@pytest.mark.parametrize("plan", [PYTHON, NODE], ids=["pip", "npm"])
def test_each_team_has_caches_of_its_own(server: Server, plan: Plan) -> None:
    same = make_server(server.owner, team=server.team)
    other = make_server(server.owner, team=Team.objects.create(name="Others"))
    alone = make_server(server.owner)
    ours, shared, theirs, nobodys = (
        caches_of(building.build_settings_of(each), plan) for each in (server, same, other, alone)
    )
    assert ours == shared
    assert len(ours | theirs | nobodys) == 3 * len(ours)


def test_the_name_of_a_cache_cannot_be_guessed(server: Server, settings: pytest.FixtureRequest) -> None:
    ours = building.build_settings_of(server).cache_key
    settings.SECRET_KEY = "another platform's key"  # type: ignore[attr-defined]
    assert building.build_settings_of(server).cache_key != ours
    assert ours not in repr(building.build_settings_of(server))


def test_caches_of_python_and_node_are_apart(server: Server, owner: User) -> None:
    settings = replace(building.build_settings_of(server), cache=Path("/x"))
    assert not caches_of(settings, PYTHON) & caches_of(settings, NODE)
