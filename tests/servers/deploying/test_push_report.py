"""The lines that runbooks search for: messages, fields, scopes and levels, in both formats."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from mcphost import logs
from metrics.models import UsageMetric
from registry.events import RegistryEvent
from registry.reference import Reference
from servers.deploying import push_report
from servers.models import Server
from tests.accounts import make_deployment
from tests.metrics.samples import AMD, DIGEST, ENDPOINT, PUBLISHED, UNPUBLISHED, failure, health, stream

TARGET = Reference.parse(f"{ENDPOINT}:1-abc")
SCOPES = ["repository:team/server:push", "repository:team/server:pull"]
REJECTED = failure("auth_expired", expired=True)
TOLD: list[tuple[str, dict[str, Any], str, int]] = [
    ("push_started", stream(AMD), "registry push started", logging.INFO),
    (
        "push_retry",
        stream(AMD, reason="retryable_error", delay_ms=900, **failure("push")),
        "registry push retry",
        logging.WARNING,
    ),
    (
        "push_succeeded",
        stream(AMD, retries=0, digest=DIGEST, duration_ms=5),
        "registry push succeeded",
        logging.INFO,
    ),
    (
        "push_succeeded",
        stream(AMD, 2, retries=1, digest=DIGEST, duration_ms=5),
        "registry push succeeded after retry",
        logging.INFO,
    ),
    (
        "push_succeeded",
        stream(AMD, 1, retries=1, digest=DIGEST, duration_ms=5),
        "registry push succeeded after retry",
        logging.INFO,
    ),
    ("push_failed", stream(AMD, duration_ms=5, **REJECTED), "registry push failed", logging.WARNING),
    ("auth_refresh_started", stream(AMD), "registry auth refresh started", logging.INFO),
    ("auth_refresh_succeeded", stream(AMD, duration_ms=5), "registry auth refresh succeeded", logging.INFO),
    (
        "auth_refresh_failed",
        stream(AMD, duration_ms=5, **REJECTED),
        "registry auth refresh failed",
        logging.WARNING,
    ),
    ("manifest_published", PUBLISHED, "manifest published", logging.INFO),
    (
        "manifest_failed",
        {**UNPUBLISHED, **failure("remote")},
        "manifest failed",
        logging.WARNING,
    ),
    (
        "auth_health_reported",
        health("expired", seconds=-720, age_seconds=43_920, error="HTTP 401"),
        "registry auth health reported",
        logging.INFO,
    ),
]
Report = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def report(server: Server) -> Report:
    deployment = make_deployment(server)
    reporter = push_report.reporter(server.pk, deployment.pk, TARGET)
    return lambda kind, details: reporter(RegistryEvent(kind, details))


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """What the log's handler writes to stderr, in the format that the test is parametrised with."""
    with contextlib.redirect_stderr(io.StringIO()) as text:
        logs.configure(request.param, "info")
    yield text.getvalue
    logs.configure(settings.LOG_FORMAT, settings.LOG_LEVEL)


@pytest.mark.parametrize(("kind", "details", "message", "level"), TOLD)
def test_a_record_of_each_event(
    report: Report,
    caplog: pytest.LogCaptureFixture,
    server: Server,
    kind: str,
    details: dict[str, Any],
    message: str,
    level: int,
) -> None:
    caplog.set_level(logging.INFO, "registry.push")
    report(kind, details)
    (record,) = caplog.records
    assert (record.name, record.getMessage(), record.levelno) == ("registry.push", message, level)
    told = vars(record)
    assert told["server_id"] == server.pk
    assert told["deployment_id"] == server.deployments.get().pk
    assert told["registry_endpoint"] == ENDPOINT
    assert told["scopes"] == SCOPES
    assert {key: told[key] for key in details} == details


@pytest.mark.parametrize(("kind", "details"), [(kind, details) for kind, details, *_ in TOLD])
def test_the_metric_has_the_same_details(report: Report, kind: str, details: dict[str, Any]) -> None:
    report(kind, details)
    metric = UsageMetric.objects.get()
    assert (metric.event_type, metric.details, metric.platform) == (
        kind,
        details,
        details.get("platform", ""),
    )


def test_what_has_no_message_is_a_metric_only(report: Report, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "registry.push")
    report("tag_started", {"registry_endpoint": ENDPOINT, "platform": AMD, "tag": "1-abc"})
    assert not caplog.records
    assert UsageMetric.objects.get().event_type == "tag_started"


def test_a_refresh_is_passed_on_once_it_succeeded(server: Server) -> None:
    refreshed: list[bool] = []
    deployment = make_deployment(server)
    reporter = push_report.reporter(
        server.pk, deployment.pk, TARGET, on_refresh=lambda: refreshed.append(True)
    )
    for kind in ("auth_refresh_started", "auth_refresh_failed", "auth_refresh_succeeded"):
        reporter(RegistryEvent(kind, stream(AMD, error="no")))
    assert refreshed == [True]
    for ahead in (False, True):  # the look before and after a refresh that was told itself
        reporter(RegistryEvent("auth_health_reported", {"status": "healthy", "refreshed": ahead}))
    assert refreshed == [True]


@pytest.mark.parametrize("written", ["keyvalue"], indirect=True)
def test_a_line_for_people(report: Report, written: Callable[[], str], server: Server) -> None:
    report(
        "push_failed",
        stream(AMD, error='HTTP 401 "no"\nHTTP 401', error_kind="auth_expired", auth_expired=True),
    )
    (line,) = written().splitlines()
    assert re.fullmatch(
        r"\S+Z warning target=\"registry\.push\" registry push failed "
        rf"server_id={server.pk} deployment_id=\d+ registry_endpoint={re.escape(ENDPOINT)} "
        rf"scopes={','.join(SCOPES)} platform=linux/amd64 attempt=1 retry_limit=3 "
        r'error_kind=auth_expired auth_expired=True error="HTTP 401 \\"no\\"\\nHTTP 401"',
        line,
    ), line


@pytest.mark.parametrize("written", ["json"], indirect=True)
@pytest.mark.parametrize(("kind", "details", "message", "level"), TOLD)
def test_a_line_for_aggregators(
    report: Report,
    written: Callable[[], str],
    server: Server,
    kind: str,
    details: dict[str, Any],
    message: str,
    level: int,
) -> None:
    report(kind, details)
    told = json.loads(written())
    assert told.pop("timestamp").endswith("Z")
    assert told == {
        "target": "registry.push",
        "message": message,
        "level": logging.getLevelName(level).lower(),
        "server_id": server.pk,
        "deployment_id": server.deployments.get().pk,
        "registry_endpoint": ENDPOINT,
        "scopes": SCOPES,
        **details,
    }


@pytest.mark.parametrize("written", ["keyvalue"], indirect=True)
def test_a_registry_cannot_write_lines_of_its_own(report: Report, written: Callable[[], str]) -> None:
    forged = 'no\n2026-11-22T00:00:00Z info target="registry.push" manifest published'
    report("auth_refresh_failed", stream(AMD, error=forged))
    push_report.note(forged)
    assert len(written().splitlines()) == 2
