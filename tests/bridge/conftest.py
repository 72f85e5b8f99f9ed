"""Both bridges, Python's and Node's, under one name: what holds for one is asked of the other."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bridge.harness import LEGACY, MODERN, Bridge, http_client

SOURCE = Path(__file__).parents[2] / "bridge"

Start = Callable[..., Bridge]


@pytest.fixture(scope="session", params=["python", "node"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The bridge as it lies in an image: a copy, alone, under another name."""
    home = tmp_path_factory.mktemp("image")
    if request.param == "node":
        shutil.copy(SOURCE / "protocol.json", home)
        return ["node", shutil.copy(SOURCE / "bridge.mjs", home)]
    shutil.copytree(SOURCE, home / "mcp-relay", ignore=shutil.ignore_patterns("__pycache__"))
    # To try another interpreter than the one that runs the tests.
    return [os.environ.get("TEST_BRIDGE_PYTHON", sys.executable), str(home / "mcp-relay")]


@pytest.fixture(scope="session")
def legacy_bridge(program: list[str]) -> Iterator[Bridge]:
    bridge = Bridge(program, [], LEGACY)
    yield bridge
    assert bridge.stop() == 0


@pytest.fixture(scope="session")
def modern_bridge(program: list[str]) -> Iterator[Bridge]:
    bridge = Bridge(program, [], MODERN)
    yield bridge
    assert bridge.stop() == 0


@pytest.fixture
def start(program: list[str]) -> Iterator[Start]:
    """Starts a bridge of the test's own."""
    started: list[Bridge] = []

    def start(*options: str, command: list[str], **popen: Any) -> Bridge:
        started.append(Bridge(program, options, command, **popen))
        return started[-1]

    yield start
    for bridge in started:
        bridge.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_client() as session:
        yield session
