"""What the official suite finds is the same with the platform in the middle as without it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from gateway.app import Gateway
from gateway.options import Options
from gateway.types import Receive, Scope, Send
from tests.conformance.suite import BRIDGES, REVISIONS, Check, bridged_server, checks, reference_server
from tests.gateway.conftest import host, in_database, owner, serving, token, transactional_db

__all__ = ["owner", "transactional_db"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@contextlib.asynccontextmanager
async def through_gateway(owner: User, upstream: str) -> AsyncIterator[str]:
    """The gateway in front of `upstream`; the suite cannot send a token, so that it is put in here."""
    key = await in_database(lambda: token(owner, host(owner, "reference", upstream)))
    gateway = Gateway(Options())

    async def with_token(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [*scope["headers"], (b"authorization", f"Bearer {key}".encode())]
            await gateway({**scope, "headers": headers}, receive, send)

    await gateway.start()
    async with serving(with_token) as url:
        yield f"{url}/mcp/reference"
    await gateway.stop()


async def direct(revision: str, results: Path) -> Counter[Check]:
    async with reference_server() as url:
        return await checks(url, revision, results)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_server_over_http(owner: User, revision: str, tmp_path: Path) -> None:
    async with reference_server() as upstream:
        expected = await checks(upstream, revision, tmp_path / "direct")
        async with through_gateway(owner, upstream) as url:
            found = await checks(url, revision, tmp_path / "gateway")
    assert (found - expected, expected - found) == (Counter(), Counter())


@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_server_over_stdio(owner: User, revision: str, bridge: str, tmp_path: Path) -> None:
    expected = await direct(revision, tmp_path / "direct")
    async with bridged_server(BRIDGES[bridge]) as upstream, through_gateway(owner, upstream) as url:
        found = await checks(url, revision, tmp_path / "bridge")
    assert (found - expected, expected - found) == (Counter(), Counter())
