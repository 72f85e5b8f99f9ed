"""One command from nothing to a server that a client calls: what it prints, serves, stops and brings back."""

from __future__ import annotations

import signal
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.bench.workspace import free_port
from tests.eventually import eventually

from .upping import Machine, Session, Up, archive, greeted, machine, statuses_until

pytestmark = pytest.mark.real
SERVES, SERVES_AGAIN = "deploy succeeded", "server restarted"
BROKEN = "sqlite:////nonexistent/directory/mcphost.sqlite3"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Machine]:
    """With nothing at all."""
    with machine(tmp_path) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    """With an empty schema: what a first start makes of nothing is asked with `bare`."""
    with machine(tmp_path, migrated=True) as made:
        yield made


def serving(up: Up) -> Up:
    def does() -> bool:
        return SERVES in up.complaints or SERVES_AGAIN in up.complaints

    eventually(does, within=120, what="the example serves")
    return up


async def test_the_first_start_ends_with_a_server_that_a_client_calls(bare: Machine) -> None:
    up = serving(bare.start())

    for name in ("database", "broker", "process", "docker", "registry", "kubernetes"):
        assert f" {name}: " in up.said
    assert f"Admin  {up.url}/admin/" in up.said
    address = up.printed(r"being deployed: (\S+)")
    assert address == f"{up.url}/mcp/hello"
    tools, answer = await greeted(address, up.token)
    assert {"greet", "add", "now", "count"} <= tools
    assert answer == "Hello, Ada!"
    assert up.health()["status"] == "ok"

    login = Session(up, up.password).login
    assert (login.status_code, login.headers["Location"]) == (302, "/admin/")
    assert Session(up, "another password").login.status_code == 200
    assert up.stop() == 0


async def test_what_is_written_is_the_owners_alone_and_holds_no_secret_in_clear(bare: Machine) -> None:
    up = serving(bare.start())
    assert stat.S_IMODE(bare.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(bare.data.stat().st_mode) == 0o700
    keys = dict(line.split("=", 1) for line in bare.env_file.read_text().splitlines())
    assert keys.keys() == {"SECRET_KEY", "SECRET_ENCRYPTION_KEYS"}
    await greeted(f"{up.url}/mcp/hello", up.token)
    Session(up, up.password)
    requests.get(f"{up.url}/nowhere?token={up.token}", timeout=60)
    up.stop()

    for secret in (*keys.values(), up.password, up.token):
        assert secret not in up.complaints
        assert secret.encode() not in bare.database.read_bytes()


async def test_the_next_start_brings_the_same_server_back_and_prints_no_secret(here: Machine) -> None:
    first = serving(here.start())
    token = first.token
    assert first.stop() == 0
    keys = here.env_file.read_text()

    again = serving(here.start())
    assert "Password" not in again.said
    assert "Token" not in again.said
    assert "build started" not in again.complaints
    assert here.env_file.read_text() == keys
    assert (await greeted(f"{again.url}/mcp/hello", token))[1] == "Hello, Ada!"
    assert [server["slug"] for server in here.json("servers")] == ["hello"]
    assert again.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(here: Machine, number: signal.Signals) -> None:
    up = serving(here.start())
    stream = requests.get(
        f"{up.url}/api/servers/stream/",
        cookies=Session(up, up.password).http.cookies.get_dict(),
        stream=True,
        timeout=60,
    )
    assert stream.ok
    assert here.hosted()

    assert up.stop(number) == 0
    assert up.said.endswith("Stopped.\n")
    assert "Traceback" not in up.complaints
    assert not here.hosted()


def test_a_signal_in_the_middle_of_a_deployment_puts_it_back(here: Machine) -> None:
    up = here.start()
    eventually(lambda: "build started" in up.complaints, what="it builds")
    assert up.stop() == 0
    assert "Traceback" not in up.complaints
    assert not here.hosted()
    serving(here.start()).stop()


def test_a_port_that_is_taken_is_one_line_and_starts_nothing(here: Machine, tmp_path: Path) -> None:
    up = here.start()
    other = Machine(tmp_path / "other")
    other.home.mkdir()
    refused = other.command("up", BIND_PORT=str(up.port))

    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"CommandError: Cannot listen on 127.0.0.1:{up.port}: address already in use."
        " Set BIND_PORT or BIND_ADDRESS."
    ]
    assert not other.data.exists()
    assert up.stop() == 0


def test_a_database_that_does_not_answer_is_one_line(bare: Machine) -> None:
    refused = bare.command("up", DATABASE_URL=BROKEN)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("CommandError: The database could not be migrated: unable to open database file")
    assert "ALLOW_MIGRATION_FAILURE" in line


def test_allow_migration_failure_starts_and_health_says_what_is_wrong(bare: Machine) -> None:
    up = bare.start(DATABASE_URL=BROKEN, ALLOW_MIGRATION_FAILURE="true")
    assert " database: unable to open database file" in up.said
    health = up.health()
    assert (health["status"], health["checks"]["database"]["status"]) == ("failed", "failed")
    assert up.stop() == 0


def test_a_migration_that_fails_leaves_the_rest_usable(here: Machine) -> None:
    here.start().stop()
    with sqlite3.connect(here.database) as database:
        database.execute("DELETE FROM django_migrations WHERE app = 'metrics'")
    assert "could not be migrated" in here.command("up").stderr

    up = here.start(ALLOW_MIGRATION_FAILURE="true")
    health = up.health()
    assert (health["status"], health["checks"]["migrations"]["status"]) == ("degraded", "degraded")
    assert up.stop() == 0


def test_parts_that_need_a_broker_say_so(bare: Machine) -> None:
    for part in ("web", "worker", "reconciler"):
        refused = bare.command("up", "--only", part)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
        assert "set BROKER_URL" in refused.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_each_part_in_a_process_of_its_own(
    bare: Machine, request: pytest.FixtureRequest, redis_url: str, database: str
) -> None:
    """Started at once, as a cluster does: one of them migrates, one makes the administrator."""
    bare.more = {**bare.more, "BROKER_URL": redis_url}
    if database == "postgres":
        bare.more = {**bare.more, "DATABASE_URL": request.getfixturevalue("postgres_url")}
    parts = {part: bare.launch(part) for part in ("web", "gateway", "reconciler")}
    scraped = free_port()
    parts["worker"] = bare.launch("worker", METRICS_PORT=str(scraped), METRICS_TOKEN="scrapes-only")
    for up in parts.values():
        up.comes_up()
    web, gateway = parts["web"], parts["gateway"]
    assert [name for name, up in parts.items() if "Password" in up.said] == ["web"]
    session = Session(web, web.password)

    feed = session.feed()
    with archive(bare.home) as source:
        made = session.upload("/api/servers/", source, name="Hello", slug="hello")
    token = session.post("/api/tokens/", {"name": "test", "scope": "mcp"})["value"]
    statuses = statuses_until(feed, "running")
    assert "building" in statuses
    assert "deploy succeeded" in parts["worker"].complaints
    assert session.get(f"/api/servers/{made['id']}/")["status"] == "running"
    assert (await greeted(f"{gateway.url}/mcp/hello", token))[1] == "Hello, Ada!"

    bearer = {"Authorization": "Bearer scrapes-only"}
    counted = requests.get(f"http://127.0.0.1:{scraped}/metrics", headers=bearer, timeout=60).text
    assert 'mcphost_deployments_total{error_kind="",outcome="succeeded"} 1.0' in counted
    assert requests.get(f"http://127.0.0.1:{scraped}/api/health/", timeout=60).status_code == 404

    for up in parts.values():
        assert up.stop(signal.SIGTERM) == 0
        assert "Traceback" not in up.complaints
    assert not bare.hosted()


async def test_the_gateway_runs_in_a_process_of_its_own(here: Machine) -> None:
    platform = serving(here.start("web", "worker", "reconciler"))
    gateway = here.start("gateway")
    assert "Password" not in gateway.said
    assert requests.get(f"{platform.url}/mcp/hello", timeout=60).status_code == 404
    assert requests.get(f"{gateway.url}/api/health/", timeout=60).status_code == 404
    assert gateway.stop() == 0
    assert here.hosted()
    assert platform.stop() == 0
