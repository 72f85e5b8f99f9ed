"""A small platform's worth of rows: every status that a page has to show, with believable contents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from metrics.models import UsageMetric
from servers.models import Deployment, LogLine, Secret, Server, Step
from servers.models.token import Token
from tests.accounts import make_deployment

DIGEST = "sha256:" + "4f1c9a7be0d26358" * 4
NOW = timezone.now
BUILD = {"extras": ["cli"], "build": "make tables", "with": ["mcp<2"], "arguments": {"A": "b"}}
PLAN = {
    "ecosystem": "python", "tool": "uv", "lock": "uv.lock", "version": ">=3.11", "member": "servers/weather",
    "tools": ["uv"], "extras": ["cli"], "groups": [], "command": ["weather-mcp", "--units", "metric"],
    "steps": [
        {"kind": "install", "words": ["uv", "sync", "--frozen", "--no-dev", "--package", "weather-mcp"]},
        {"kind": "build", "words": ["make", "tables"]},
    ],
    "why": [
        "uv.lock found: what it holds is installed, and nothing newer",
        "Python >=3.11 from requires-python",
        "starts weather-mcp from [project.scripts]",
    ],
    "chosen": {"extras": ["cli"], "build": "make tables", "node": "22"},
}  # fmt: skip
PUSH_ERROR = (
    "The registry refused the credentials for registry.example.org/mcp/weather: "
    "unauthorized: authentication required. Check REGISTRY_AUTH_DOCKERCONFIG and redeploy."
)


def seed(owner: User) -> dict[str, Server]:
    """Makes the servers, and returns them by slug."""
    made = [_time(owner), _weather(owner), _building(owner), _crashing(owner), _stopped(owner)]
    Token.objects.create(owner=owner, name="Laptop", prefix="mcph_demo12", digest="0" * 64, server=made[0])
    return {server.slug: server for server in made}


def server(owner: User, name: str, **fields: Any) -> Server:
    defaults: dict[str, Any] = {
        "source_kind": "package",
        "source": _package("pypi", "mcp-server-time", "2025.9.25"),
    }
    return Server.objects.create(
        name=name, slug=name.lower().replace(" ", "-"), owner=owner, **{**defaults, **fields}
    )


def deployment(
    of: Server, number: int, status: str, ago: float, took: float = 0, **fields: Any
) -> Deployment:
    """`ago` and `took` in seconds."""
    began = NOW() - timedelta(seconds=ago)
    over = status not in ("queued", "running")
    row = make_deployment(
        of,
        number=number,
        status=status,
        trigger=fields.pop("trigger", "admin"),
        requested_by=of.owner,
        started_at=None if status == "queued" else began,
        finished_at=began + timedelta(seconds=took) if over else None,
        heartbeat_at=None if status == "queued" else NOW(),
        **fields,
    )
    Deployment.objects.filter(pk=row.pk).update(created_at=began)
    return row


def step(of: Deployment, kind: str, begin: float, took: float | None, **fields: Any) -> Step:
    """`begin` in seconds after the deployment began; `took` None: still running."""
    assert of.started_at
    began = of.started_at + timedelta(seconds=begin)
    ended = None if took is None else began + timedelta(seconds=took)
    status = fields.pop("status", "succeeded" if ended else "running")
    return Step.objects.create(
        deployment=of, kind=kind, started_at=began, finished_at=ended, status=status, **fields
    )


def event(of: Deployment, at: float, event_type: str, **details: Any) -> UsageMetric:
    assert of.started_at
    return UsageMetric.objects.create(
        server=of.server,
        deployment=of,
        timestamp=of.started_at + timedelta(seconds=at),
        event_type=event_type,
        platform=details.get("platform", ""),
        details=details,
    )


def log(of: Deployment, lines: Mapping[float, tuple[str, str]], step: Step | None = None) -> None:
    assert of.started_at
    start: datetime = of.started_at
    LogLine.objects.bulk_create(
        LogLine(
            server=of.server,
            deployment=of,
            step=step,
            stream=stream,
            at=start + timedelta(seconds=at),
            text=text,
        )
        for at, (stream, text) in lines.items()
    )


def _package(ecosystem: str, name: str, version: str = "") -> dict[str, Any]:
    return {"ecosystem": ecosystem, "name": name, "version": version, "command": "", "arguments": []}


def _time(owner: User) -> Server:
    row = server(owner, "Time", status="running", environment={"LOG_LEVEL": "info", "TZ": "Europe/Zurich"})
    old = deployment(row, 1, "succeeded", 90_000, 31, revision="mcp-server-time==2025.8.4", directory="1")
    deployment(
        row, 2, "succeeded", 7_260, 24, revision="mcp-server-time==2025.9.25", directory="2", endpoint="x"
    )
    new = row.deployments.get(number=2)
    new.plan = {"ecosystem": "python", "version": ">=3.10", "tools": ["uv"], "command": ["mcp-server-time"]}
    new.runtime, new.command = "process", ["mcp-server-time", "--local-timezone", "UTC"]
    new.discovery = {
        "tools": [
            {"name": "get_current_time", "description": "Get current time in a specific timezone"},
            {"name": "convert_time", "description": "Convert time between timezones"},
        ],
        "prompts": [],
        "resources": [],
    }
    new.save()
    for kind, begin, took in (
        ("clone", 0, 1.4),
        ("build", 1.4, 18),
        ("start", 19.4, 0.3),
        ("health", 19.7, 4.1),
    ):
        step(new, kind, begin, took)
    step(new, "discover", 23.8, 0.2, details={"tools": 2})
    event(new, 0, "clone_started")
    event(new, 1.4, "clone_succeeded", revision="mcp-server-time==2025.9.25", duration_ms=1400)
    event(new, 24, "discover_succeeded", tools=2, duration_ms=200)
    log(
        new,
        {
            0.1: ("platform", "Looking up pypi:mcp-server-time (newest version)"),
            1.2: ("build", "Found mcp-server-time==2025.9.25"),
            19.5: ("stderr", "INFO: serving time on stdio"),
            23.9: ("platform", "Found 2 tools"),
        },
    )
    Server.objects.filter(pk=row.pk).update(current_deployment=new, status_at=NOW() - timedelta(hours=2))
    for name in ("API_KEY", "SENTRY_DSN"):
        secret = Secret(server=row, name=name, updated_by=owner)
        secret.seal("not shown anywhere")
        secret.save()
    assert old.build.can_start
    row.refresh_from_db()
    return row


def _weather(owner: User) -> Server:
    source = {"url": "https://git.example.org/team/weather.git", "ref": "main", "subdirectory": ""}
    row = server(
        owner,
        "Weather",
        source_kind="git",
        source=source,
        build=BUILD,
        status="error",
        error_kind="auth_expired",
        error=PUSH_ERROR,
        runtime="docker",
    )
    good = deployment(
        row,
        3,
        "succeeded",
        86_400,
        95,
        revision="9be1f2c" + "0" * 33,
        plan=PLAN,
        image="i",
        digest=DIGEST,
        endpoint="http://127.0.0.1:49153/mcp",
        trigger="webhook",
        runtime="docker",
    )
    bad = deployment(
        row,
        4,
        "failed",
        260,
        58,
        revision="c0ffee1" + "a" * 33,
        summary="Add the forecast tool",
        platforms=["linux/amd64", "linux/arm64"],
        error=PUSH_ERROR,
        error_kind="auth_expired",
        runtime="docker",
        trigger="webhook",
    )
    step(bad, "clone", 0, 2.1, details={"revision": bad.build.revision[:12]})
    step(bad, "build", 2.1, 31, platform="linux/amd64", details={"size": 148_223_104})
    step(bad, "build", 2.1, 44, platform="linux/arm64", details={"size": 151_002_880})
    step(bad, "push", 46.1, 9, platform="linux/amd64", details={"digest": DIGEST, "attempts": 1})
    step(
        bad,
        "push",
        46.1,
        11,
        platform="linux/arm64",
        status="failed",
        error=PUSH_ERROR,
        error_kind="auth_expired",
        details={"attempts": 3},
    )
    endpoint = {"registry_endpoint": "registry.example.org/mcp/weather", "retry_limit": 3}
    arm = {**endpoint, "platform": "linux/arm64"}
    event(
        bad,
        46.1,
        "tag_started",
        tag="4-arm64",
        platform="linux/arm64",
        registry_endpoint=endpoint["registry_endpoint"],
    )
    event(bad, 46.2, "push_started", attempt=1, **arm)
    event(
        bad,
        50,
        "push_retry",
        attempt=1,
        reason="retryable_error",
        error="connection reset by peer",
        error_kind="push",
        auth_expired=False,
        **arm,
    )
    event(
        bad,
        57,
        "push_failed",
        attempt=3,
        error=PUSH_ERROR,
        error_kind="auth_expired",
        auth_expired=True,
        **arm,
    )
    log(
        bad,
        {
            n / 4: ("build", f"#{n // 9 + 5} {n % 9}.{n:02d} Compiling wheel part {n} of 120")
            for n in range(120)
        },
    )
    log(
        bad,
        {46.2: ("platform", "Registry push attempt 1/3 for registry.example.org/mcp/weather (linux/arm64)")},
    )
    Server.objects.filter(pk=row.pk).update(current_deployment=good, status_at=NOW() - timedelta(seconds=200))
    return row


def _building(owner: User) -> Server:
    row = server(
        owner, "Search", status="pushing", source=_package("npm", "@example/mcp-search"), runtime="docker"
    )
    now = deployment(
        row,
        1,
        "running",
        74,
        trigger="api",
        revision="@example/mcp-search==1.4.0",
        runtime="docker",
        platforms=["linux/amd64", "linux/arm64"],
    )
    step(now, "clone", 0, 1.2)
    step(now, "build", 1.2, 40, platform="linux/amd64")
    step(now, "build", 1.2, 52, platform="linux/arm64")
    step(
        now,
        "push",
        53.2,
        None,
        platform="linux/amd64",
        details={
            "bytes_done": 31_457_280,
            "bytes_total": 94_371_840,
            "bytes_whole": True,
            "percent": 33,
        },
    )
    step(
        now,
        "push",
        53.2,
        None,
        platform="linux/arm64",
        details={
            "bytes_done": 4_194_304,
            "bytes_total": 97_517_568,
            "bytes_whole": False,
            "percent": 4,
        },
    )
    event(
        now,
        53.2,
        "push_started",
        attempt=1,
        retry_limit=3,
        platform="linux/amd64",
        registry_endpoint="registry.example.org/mcp/search",
    )
    log(
        now, {53: ("platform", "Registry push attempt 1/3 for registry.example.org/mcp/search (linux/amd64)")}
    )
    return row


def _crashing(owner: User) -> Server:
    error = (
        "The server exited with code 1 at once. Its last lines:\n"
        "ModuleNotFoundError: No module named 'requests'. Add what is missing to its dependencies."
    )
    row = server(
        owner,
        "Invoices",
        status="error",
        error_kind="runtime",
        error=error,
        source_kind="upload",
        source={"archive": "a", "filename": "invoices-0.3.tar.gz"},
    )
    bad = deployment(row, 1, "failed", 3_700, 12, error=error, error_kind="runtime")
    step(bad, "start", 10, 2, status="failed", error=error, error_kind="runtime")
    return row


def _stopped(owner: User) -> Server:
    return server(
        owner,
        "Archive search",
        status="stopped",
        desired_state="stopped",
        source_kind="image",
        source={"reference": "registry.example.org/team/archive:1.2"},
        transport="streamable-http",
    )
