"""Liveness, readiness and a schema that another process brings: what an orchestrator builds on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psycopg
import pytest
import requests
from django.db import connection

from deploy.bench.workspace import free_port
from mcphost.asgi import make_application
from servers.operations import probes
from tests.e2e.upping import READY, Machine, Session, machine
from tests.eventually import eventually
from tests.gateway.conftest import in_database, serving

WAITS = "are not applied (MIGRATE_ON_START=false)"
ROOT = Path(__file__).parents[3]


async def asked(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("parts", [{"web"}, {"gateway"}, set()])
async def test_every_process_answers_probes(transactional_db: None, parts: set[str]) -> None:
    async with serving(make_application(frozenset(parts))) as url:
        for path in probes.PATHS:
            assert await asked(f"{url}{path}") == (200, "ok\n")


async def test_a_process_whose_threads_ended_is_not_alive(transactional_db: None) -> None:
    thread = threading.Thread(target=lambda: None, name="collector")
    thread.start()
    thread.join()
    probes.vital.watch([thread])
    try:
        async with serving(make_application()) as url:
            assert await asked(f"{url}/livez") == (503, "Threads have ended: collector.\n")
    finally:
        probes.vital.watch(())


async def test_without_the_schema_it_lives_and_is_not_ready(transactional_db: None) -> None:
    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await in_database(lambda: rename("django_migrations", "elsewhere"))
    try:
        async with serving(make_application()) as url:
            assert (await asked(f"{url}/livez"))[0] == 200
            status, text = await asked(f"{url}/readyz")
    finally:
        await in_database(lambda: rename("elsewhere", "django_migrations"))
    assert status == 503
    assert "migrations are not applied" in text


@pytest.fixture
def here(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Machine]:
    """Its database is its own, and empty."""
    with psycopg.connect(postgres_url, autocommit=True) as operator:
        operator.execute("DROP DATABASE IF EXISTS probed WITH (FORCE)")
        operator.execute("CREATE DATABASE probed")
    url = f"{postgres_url.rpartition('/')[0]}/probed"
    with machine(tmp_path, DATABASE_URL=url, BROKER_URL=redis_url, MIGRATE_ON_START="false") as made:
        yield made


def healthcheck(*ports: int) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "mcphost.healthcheck", *map(str, ports)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout.strip()


@pytest.mark.real
@pytest.mark.slow
def test_parts_wait_for_the_schema_that_a_job_brings(here: Machine, postgres_url: str) -> None:
    nowhere, port = free_port(), free_port()
    web = here.launch("web")
    eventually(lambda: WAITS in web.complaints, within=120, what="it waits")
    worker = here.launch("worker", METRICS_PORT=str(port))
    eventually(lambda: WAITS in worker.complaints, within=120, what="it waits")
    assert healthcheck(nowhere) == (1, f"nothing listens on {nowhere}")

    done = here.command("prepare", ADMIN_PASSWORD="correct horse battery staple")
    assert done.returncode == 0, done.stderr
    assert "Login  admin   Password  as ADMIN_PASSWORD says" in done.stdout
    assert "Login" not in here.command("prepare").stdout  # once
    eventually(lambda: READY in web.said and READY in worker.said, within=120, what="both are up")
    assert "Password" not in web.said
    assert Session(web, "correct horse battery staple").login.status_code == 302
    assert healthcheck(nowhere, port) == healthcheck(web.port, nowhere) == (0, "")

    with psycopg.connect(postgres_url, autocommit=True) as operator:
        operator.execute("ALTER DATABASE probed ALLOW_CONNECTIONS false")
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'probed'")
        assert healthcheck(web.port, nowhere) == (1, "The database does not answer.")
        assert requests.get(f"http://127.0.0.1:{port}/livez", timeout=60).status_code == 200
        operator.execute("ALTER DATABASE probed ALLOW_CONNECTIONS true")
    eventually(lambda: healthcheck(nowhere, port) == (0, ""), what="it is ready again")
    assert web.stop() == worker.stop() == 0
