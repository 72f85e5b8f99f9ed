"""What the official suite finds is the same with the platform in the middle as without it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from gateway.app import Gateway
from gateway.options import Options
from gateway.types import Receive, Scope, Send
from hosting import handshake
from hosting.deadline import Deadline
from servers.models import Server
from servers.models.server import Transport
from tests.conformance.suite import BRIDGES, REVISIONS, Check, bridged_server, checks, reference_server
from tests.gateway.conftest import host, in_database, owner, serving, token, transactional_db

__all__ = ["owner", "transactional_db"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


AGAIN = 3  # times that a scenario with a difference is asked again

# Through the bridge a check may differ, for these reasons only.
EXCEPTIONS = {
    # An answer that nothing precedes comes as JSON, not as an event; the specification leaves that to the
    # server, and the suite then has nothing to say of streams.
    ("server-sse-multiple-streams", "server-sse-streams-functional"),
    # The tool closes its stream in the middle of a call: stdio has no word for that, so that nothing is
    # resumed, and other messages are written down.
    ("server-sse-polling", "server-sse-retry-field"),
    ("server-sse-polling", "server-sse-disconnect-resume"),
    ("server-sse-polling", "outgoing-request"),
    ("server-sse-polling", "incoming-response"),
    # White space around a header's value is not part of it (RFC 9110 section 5.5): the bridge takes it off,
    # the reference server over HTTP does not and refuses the call.
    ("http-header-validation", "sep-2243-server-accepts-whitespace-header-value"),
}


@contextlib.asynccontextmanager
async def through_gateway(owner: User, upstream: str, transport: Transport) -> AsyncIterator[str]:
    """The gateway in front of `upstream`, of which it knows what a deployment learns.

    The suite cannot send a token, so that it is put in here.
    """
    key = await in_database(lambda: token(owner, hosted(owner, upstream, transport)))
    gateway = Gateway(Options())

    async def with_token(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [*scope["headers"], (b"authorization", f"Bearer {key}".encode())]
            await gateway({**scope, "headers": headers}, receive, send)

    await gateway.start()
    async with serving(with_token) as url:
        yield f"{url}/mcp/reference"
    await gateway.stop()


def hosted(owner: User, upstream: str, transport: Transport) -> Server:
    deadline = Deadline.of(60)
    facts = handshake.probe(upstream, deadline=deadline)
    discovery = asdict(handshake.discover(upstream, facts, deadline=deadline))
    server = host(owner, "reference", upstream, transport=transport)
    server.deployments.update(facts=asdict(facts), discovery=discovery)
    return server


@pytest.fixture(scope="module")
def direct() -> dict[str, Counter[Check]]:
    """What was found without the platform, by revision."""
    return {}


async def differences(
    upstream: str, url: str, revision: str, expected: Counter[Check], results: Path, *, bridged: bool = False
) -> set[Check]:
    """The checks that came out otherwise at `url` than at `upstream`, but for what may behind a bridge.

    A scenario that differs is asked again on both sides, alone: the suite gives a request five seconds and
    counts what comes meanwhile, and a machine full of other tests can use those up on either side.
    """
    excused = EXCEPTIONS if bridged else set()
    differing = _differing(expected, await checks(url, revision, results / "through"), excused)
    for again in range(AGAIN):
        scenarios = sorted({scenario for scenario, _, _ in differing})
        differing = set()
        for scenario in scenarios:
            place = results / f"{scenario}-{again}"
            there = await checks(upstream, revision, place / "direct", scenario)
            here = await checks(url, revision, place / "through", scenario)
            differing |= _differing(there, here, excused)
    return differing


def _differing(expected: Counter[Check], found: Counter[Check], excused: set[tuple[str, str]]) -> set[Check]:
    unlike = (found - expected) + (expected - found)
    return {check for check in unlike if check[:2] not in excused}


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_server_over_http(
    owner: User, revision: str, direct: dict[str, Counter[Check]], tmp_path: Path
) -> None:
    async with reference_server() as upstream, through_gateway(owner, upstream, Transport.HTTP) as url:
        direct[revision] = await checks(upstream, revision, tmp_path / "direct")
        assert await differences(upstream, url, revision, direct[revision], tmp_path) == set()


@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_server_over_stdio(
    owner: User, revision: str, bridge: str, direct: dict[str, Counter[Check]], tmp_path: Path
) -> None:
    async with (
        reference_server() as upstream,
        bridged_server(BRIDGES[bridge]) as bridged,
        through_gateway(owner, bridged, Transport.STDIO) as url,
    ):
        if revision not in direct:
            direct[revision] = await checks(upstream, revision, tmp_path / "direct")
        different = await differences(upstream, url, revision, direct[revision], tmp_path, bridged=True)
        assert different == set()
