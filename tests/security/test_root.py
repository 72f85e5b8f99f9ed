"""People's code that would run as root: whoever starts the platform so is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks

from servers import runtime_choice
from servers.models import Server
from servers.operations import capabilities
from tests.e2e.upping import Machine, machine

WARNED = "people's code runs as root"
NOBODY = 65534


@pytest.fixture
def uid(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda number: monkeypatch.setattr(os, "geteuid", lambda: number)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, migrated=True) as made:
        yield made


@pytest.mark.parametrize(
    ("runtime", "number", "warned"), [("process", 0, True), ("process", 1000, False), ("docker", 0, False)]
)
def test_the_check_names_the_setting(
    settings: Any, uid: Any, runtime: str, number: int, warned: bool
) -> None:
    settings.CONTAINER_RUNTIME = runtime
    uid(number)
    found = [check for check in run_checks(tags=["mcphost"]) if check.id == "mcphost.W001"]
    assert [WARNED in check.msg and "CONTAINER_RUNTIME=docker" in str(check.hint) for check in found] == [
        True
    ] * warned


@pytest.mark.django_db
def test_a_server_of_a_platform_on_docker_that_is_a_process_all_the_same(
    settings: Any, uid: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_choice, "default_runtime", lambda: "docker")
    uid(0)
    assert capabilities.hosting_as_root() == []
    owner = User.objects.create(username="owner")
    Server.objects.create(name="x", slug="x", owner=owner, source_kind="package", runtime="process")
    assert capabilities.hosting_as_root() == ["process"]
    uid(1000)
    assert capabilities.hosting_as_root() == []


@pytest.mark.slow
def test_the_start_says_so_in_one_line(here: Machine) -> None:
    up = here.start("worker", "reconciler", "web")
    lines = [line for line in up.said.splitlines() if WARNED in line]
    assert len(lines) == (os.geteuid() == 0)
    assert up.stop() == 0
