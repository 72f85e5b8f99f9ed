"""A database that does not answer holds up no call."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User

from gateway.database import THREADS, DatabaseThreads
from gateway.errors import Refusal
from gateway.options import Options
from mcphost import settings

from .conftest import Upstream, bearer, call, host, in_database, running_gateway, token


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What a query hangs at."""
    over = threading.Event()
    yield over
    over.set()


async def test_a_question_without_an_answer_is_given_up(hanging: threading.Event) -> None:
    database = DatabaseThreads(patience=0.1)
    ask = database.asks(lambda seconds: hanging.wait(seconds))
    for _ in range(2 * THREADS):
        with pytest.raises(Refusal) as refused:
            await ask(3600)
        assert (refused.value.status, dict(refused.value.headers)) == (503, {b"retry-after": b"5"})
    hanging.set()
    patient = DatabaseThreads(patience=60)
    assert await patient.asks(lambda seconds: hanging.wait(seconds))(0)
    for each in (database, patient):
        await asyncio.to_thread(each.close)


async def test_callers_are_told_and_served_again_afterwards(
    options: Options, owner: User, upstream: Upstream, hanging: threading.Event
) -> None:
    key = await in_database(lambda: token(owner, host(owner, "clock", upstream.url)))
    async with running_gateway(dataclasses.replace(options, database=5)) as gateway:
        for _ in range(THREADS):
            gateway.gateway._database._pool.submit(hanging.wait)
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            assert "database" in (await response.json())["error"]["message"]
        hanging.set()
        async with gateway.client.post(gateway.mcp("clock"), json=call(), headers=bearer(key)) as response:
            assert response.status == 200


def test_connections_to_postgresql_have_an_end() -> None:
    given = settings._database("postgres://user@db/mcphost?sslmode=require&connect_timeout=2")["OPTIONS"]
    assert (given["sslmode"], int(given["connect_timeout"]), given["tcp_user_timeout"]) == (
        "require",
        2,
        10_000,
    )
    assert settings._database("postgres://user@db/mcphost")["OPTIONS"]["connect_timeout"] == 5
    assert "connect_timeout" not in settings._database("sqlite:////tmp/x.sqlite3")["OPTIONS"]
