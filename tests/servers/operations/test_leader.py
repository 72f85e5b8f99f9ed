"""One reconciler leads: by a file or by PostgreSQL's lock, over kills and lost connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from rest_framework.test import APIClient

from deploy.bench.workspace import free_port
from servers.operations import leader
from servers.operations.leader import Leader
from tests.e2e.upping import Machine, Up, machine
from tests.eventually import eventually

LEADS = "this reconciler leads\n"
WAITS = "this reconciler waits for its turn to lead"


@pytest.fixture
def two(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[list[Leader]]:
    settings.DATA_DIR = tmp_path
    pair = [Leader(), Leader()]
    for each in pair:
        each.start()
    yield pair
    for each in pair:
        each.stop()


def the_one(pair: list[Leader]) -> Leader:
    [found] = eventually(lambda: [each for each in pair if each.leads()], what="one leads")
    return found


@pytest.mark.core
@pytest.mark.slow
def test_of_two_one_leads_and_the_other_follows_it(two: list[Leader]) -> None:
    first = the_one(two)
    assert leader.somebody_leads()
    first.stop()
    assert not first.leads()
    assert the_one(two) is not first
    two.remove(first)


@pytest.mark.core
@pytest.mark.slow
def test_health_says_whether_one_leads(two: list[Leader]) -> None:
    the_one(two)
    assert APIClient().get("/api/health/").json()["checks"]["reconciler"]["status"] == "ok"
    for each in two:
        each.stop()
    told = APIClient().get("/api/health/").json()
    assert (told["status"], told["checks"]["reconciler"]["status"]) == ("degraded", "degraded")
    assert "up --only reconciler" in told["checks"]["reconciler"]["detail"]
    two.clear()


@pytest.fixture
def here(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Machine]:
    more = {"DATABASE_URL": postgres_url, "BROKER_URL": redis_url, "METRICS_TOKEN": "scrapes-only"}
    with machine(tmp_path, **more) as made:
        yield made


def reconciler(here: Machine) -> tuple[Up, str]:
    port = str(free_port())
    return here.start("reconciler", METRICS_PORT=port), f"http://127.0.0.1:{port}/metrics"


def leads(scraped: str) -> bool:
    bearer = {"Authorization": "Bearer scrapes-only"}
    return "mcphost_reconciler_leads 1.0" in requests.get(scraped, headers=bearer, timeout=60).text


@pytest.mark.real
@pytest.mark.slow
def test_a_leader_that_is_killed_or_cut_off_is_followed(here: Machine, postgres_url: str) -> None:
    first, first_metrics = reconciler(here)
    eventually(lambda: LEADS in first.complaints, what="the first leads")
    second, second_metrics = reconciler(here)
    eventually(lambda: WAITS in second.complaints, what="the second waits")
    eventually(lambda: leads(first_metrics), what="the first says so")
    assert not leads(second_metrics)

    first.kill()
    eventually(lambda: LEADS in second.complaints, what="the second leads")
    eventually(lambda: leads(second_metrics), what="the second says so")

    third, _ = reconciler(here)
    eventually(lambda: WAITS in third.complaints, what="the third waits")
    with psycopg.connect(postgres_url, dbname="template1", autocommit=True) as operator:
        operator.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'")
        eventually(lambda: "this reconciler leads no more" in second.complaints, what="it gave up")
        eventually(lambda: not leads(second_metrics), what="and says so")
        operator.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS true")
    eventually(lambda: second.complaints.count(LEADS) + third.complaints.count(LEADS) == 2, what="one leads")
    assert second.stop() == third.stop() == 0
