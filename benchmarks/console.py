"""What the console's pages cost on PostgreSQL with 1,000 servers and a month behind them.

    python -m benchmarks.console

Starts a private PostgreSQL, fills it, and asks for each page as an administrator, on Django's own handler: no
network and no browser. CPU tells what a page costs even where other work shares the machine.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from deploy.bench import databases
from deploy.bench.workspace import Workspace

DAYS = 30
TOOLS = ("search", "fetch", "summarise")
CLIENTS = ("claude-code", "cursor", "inspector")
PLATFORMS = ("linux/amd64", "linux/arm64")


def main(arguments: argparse.Namespace) -> None:
    with Workspace() as workspace, tempfile.TemporaryDirectory(prefix="mcphost-bench-") as data:
        os.environ.update(
            ENV_FILE="tests/test.env", DATA_DIR=data, DATABASE_URL=databases.start_postgres(workspace),
            DJANGO_SETTINGS_MODULE="mcphost.settings", LOG_LEVEL="warning",
        )  # fmt: skip
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        began = time.perf_counter()
        print(fill(arguments.servers), f"filled in {time.perf_counter() - began:.0f} s\n", flush=True)
        measure(arguments.rounds)


def fill(count: int) -> str:
    """Rows as a month of use leaves them; returns how many there are."""
    from django.contrib.auth.models import User
    from django.db import connection

    from metrics.models import CallRollup, CallTotal, UsageMetric
    from servers.models import Deployment, LogLine, Server

    chance = random.Random(7)
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    owner = User.objects.create_superuser("bench")
    Server.objects.bulk_create(_servers(owner, count, chance, now), batch_size=500)
    servers = list(Server.objects.all())
    Deployment.objects.bulk_create(_deployments(servers, chance, now), batch_size=2000)
    deployments = list(Deployment.objects.only("pk", "server_id", "created_at", "status"))
    UsageMetric.objects.bulk_create(_events(deployments, chance), batch_size=5000)
    UsageMetric.objects.bulk_create(_calls(servers, chance, now), batch_size=5000)
    CallTotal.objects.bulk_create(_totals(servers, chance, now), batch_size=5000)
    CallRollup.objects.bulk_create(_rollups(servers, now), batch_size=5000)
    LogLine.objects.bulk_create(_lines(servers[0], now), batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    models = (Server, Deployment, UsageMetric, CallTotal, CallRollup, LogLine)
    return "; ".join(f"{model._meta.model_name} {model._default_manager.count():,}" for model in models)


def _servers(owner: Any, count: int, chance: random.Random, now: datetime) -> Any:
    from servers.models import Server

    statuses = ["running"] * 90 + ["stopped"] * 6 + ["error"] * 3 + ["degraded"]
    for number in range(count):
        yield Server(
            name=f"Server {number:04}", slug=f"server-{number:04}", owner=owner, source_kind="package",
            source={"ecosystem": "pypi", "name": "mcp-server-time"}, status=chance.choice(statuses),
            status_at=now - timedelta(minutes=chance.randrange(50_000)),
        )  # fmt: skip


def _deployments(servers: Any, chance: random.Random, now: datetime) -> Any:
    """One a day of each server."""
    from servers.models import Build, Deployment

    outcomes = ["succeeded"] * 92 + ["failed"] * 6 + ["cancelled", "superseded"]
    Deployment._meta.get_field("created_at").auto_now_add = False
    discovery = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS * 4]}
    Build.objects.bulk_create(Build(server=server, number=1) for server in servers)
    build = {row.server_id: row for row in Build.objects.all()}
    for day in range(DAYS):
        for server in servers:
            at = now - timedelta(days=DAYS - 1 - day, seconds=chance.randrange(86_000))
            yield Deployment(
                server=server, number=day + 1, build=build[server.pk], trigger="api",
                status=chance.choice(outcomes), created_at=at, started_at=at,
                finished_at=at + timedelta(seconds=60), discovery=discovery,
            )  # fmt: skip


def _events(deployments: Any, chance: random.Random) -> Any:
    from metrics.models import UsageMetric

    kinds = [
        (f"{step}_{word}", "")
        for step in ("clone", "start", "health", "discover")
        for word in ("started", "succeeded")
    ]
    kinds += [(f"push_{word}", platform) for platform in PLATFORMS for word in ("started", "succeeded")]
    for deployment in deployments:
        retries = [("push_retry", "linux/arm64")] if chance.random() < 0.1 else []
        for event_type, platform in [*kinds, *retries]:
            yield UsageMetric(
                server_id=deployment.server_id, deployment=deployment, timestamp=deployment.created_at,
                event_type=event_type, platform=platform, details={"platform": platform, "duration_ms": 900},
            )  # fmt: skip


def _calls(servers: Any, chance: random.Random, now: datetime) -> Any:
    """200,000 calls of the last week, most of them of a tenth of the servers."""
    from metrics.models import UsageMetric

    for _ in range(200_000):
        server = servers[min(int(chance.expovariate(10 / len(servers))), len(servers) - 1)]
        details = {
            "method": "tools/call", "name": chance.choice(TOOLS), "outcome": "ok", "duration_ms": 40,
            "client": f"{chance.choice(CLIENTS)} 1.0", "status": 200,
        }  # fmt: skip
        at = now - timedelta(seconds=chance.randrange(7 * 86_400))
        yield UsageMetric(server=server, timestamp=at, event_type="mcp_call", details=details)


def _totals(servers: Any, chance: random.Random, now: datetime) -> Any:
    """A fifth of the servers is called in each hour; in the last three hours the minutes are kept."""
    from metrics.models import CallTotal

    buckets = [0, 5, 20, 40, 20, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0]
    some = servers[: len(servers) // 5]
    hours = [(3600, now.replace(minute=0) - timedelta(hours=n)) for n in range(DAYS * 24)]
    minutes = [(60, now - timedelta(minutes=n)) for n in range(180)]
    for seconds, start in [*hours, *minutes]:
        for server in [None, *some]:
            yield CallTotal(
                server=server, seconds=seconds, start=start, calls=100, errors=chance.randrange(4),
                duration_ms=9_000, buckets=buckets,
            )  # fmt: skip


def _rollups(servers: Any, now: datetime) -> Any:
    from metrics.models import CallRollup

    for server in servers[:50]:
        for hour in range(DAYS * 24):
            for tool in TOOLS:
                yield CallRollup(
                    server=server, hour=now.replace(minute=0) - timedelta(hours=hour), method="tools/call",
                    name=tool, outcome="ok", calls=30, duration_ms=900, buckets=[0, 30, *([0] * 13)],
                )  # fmt: skip


def _lines(server: Any, now: datetime) -> Any:
    from servers.models import LogLine

    for number in range(100_000):
        text = f"request {number} answered" if number % 1000 else f"ERROR request {number} broke"
        yield LogLine(
            server=server, stream="stderr", level="" if number % 1000 else "error", at=now, text=text
        )


def measure(rounds: int) -> None:
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, setup_test_environment
    from django.urls import reverse

    from console.server_tabs import TABS
    from servers.models import Server

    setup_test_environment()
    client, server = Client(), Server.objects.order_by("pk")[0]
    client.force_login(
        User.objects.get(username="bench"), backend="django.contrib.auth.backends.ModelBackend"
    )
    overview, lines = reverse("admin:index"), reverse("api:server-logs", args=[server.pk])
    asked = [(f"overview, {name}", f"{overview}?range={name}") for name in ("1h", "24h", "7d", "30d")]
    asked += [("servers", reverse("admin:servers_server_changelist"))]
    asked += [("deployments", reverse("admin:servers_deployment_changelist"))]
    asked += [("events", reverse("admin:metrics_usagemetric_changelist"))]
    asked += [
        (f"server: {tab.label.lower()}", reverse(f"admin:{tab.view}", args=[server.pk])) for tab in TABS
    ]
    asked += [("log: search in 100,000 lines", f"{lines}?tail=1000&search=broke&level=error")]
    backend = psutil.Process(connection.connection.info.backend_pid)
    print("| page | queries | CPU ms, of which in PostgreSQL | median ms | worst ms |\n|---|---|---|---|---|")
    for name, url in asked:
        client.get(url)  # what is built once
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        asked_for = len(queries)  # the log is the connection's own: the next request empties it
        times, before = [], _cpu(backend)
        for _ in range(rounds):
            began = time.perf_counter()
            assert client.get(url).status_code == 200
            times.append((time.perf_counter() - began) * 1000)
        python, database = (
            (now - then) * 1000 / rounds for now, then in zip(_cpu(backend), before, strict=True)
        )
        print(
            f"| {name} | {asked_for} | {python + database:.0f}, {database:.0f} | "
            f"{statistics.median(times):.0f} | {max(times):.0f} |",
            flush=True,
        )


def _cpu(backend: psutil.Process) -> tuple[float, float]:
    """CPU seconds of this process and of the connection's process in PostgreSQL."""
    spent = backend.cpu_times()
    return time.process_time(), spent.user + spent.system


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    main(parser.parse_args())
