from __future__ import annotations

import base64
import json
import os
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from registry.client import RegistryClient
from registry.credentials import ANONYMOUS, Credential, CredentialStore
from registry.errors import RegistryError
from registry.events import RegistryEvent
from registry.health import AuthHealth, HealthPolicy, assess, check
from registry.reference import Reference
from tests.registry.conftest import write_config
from tests.registry.http import Request, Response, serving

NOW = 1_800_000_000.0


def _jwt(exp: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"e30.{claims}.sig"


@pytest.mark.parametrize(
    ("credential", "policy", "status", "seconds"),
    [
        (Credential("ci", "plain"), HealthPolicy(), "unknown", None),
        (ANONYMOUS, HealthPolicy(), "unknown", None),
        (Credential("ci", _jwt(NOW + 3600)), HealthPolicy(lead=900), "healthy", 3600),
        (Credential("ci", _jwt(NOW + 600)), HealthPolicy(lead=900), "expiring_soon", 600),
        (Credential("ci", _jwt(NOW - 5)), HealthPolicy(), "expired", -5),
        (Credential(registry_token=_jwt(NOW + 60)), HealthPolicy(lead=30), "healthy", 60),
        (Credential("ci", "p", written_at=NOW - 100), HealthPolicy(max_age=0), "unknown", None),
        (Credential("ci", "p", written_at=NOW - 100), HealthPolicy(lead=10, max_age=200), "healthy", 100),
        (Credential("ci", "p", written_at=NOW - 195), HealthPolicy(lead=10, max_age=200), "expiring_soon", 5),
        (Credential("ci", "p", written_at=NOW - 300), HealthPolicy(max_age=200), "expired", -100),
        (
            Credential("ci", _jwt(NOW + 50), written_at=NOW),
            HealthPolicy(lead=10, max_age=200),
            "healthy",
            50,
        ),
    ],
)
def test_assess(credential: Credential, policy: HealthPolicy, status: str, seconds: int | None) -> None:
    health = assess(credential, policy, now=NOW)
    assert (health.status, health.seconds) == (status, seconds)


class _Rewrites:
    def __init__(self, path: Path, password: str) -> None:
        self._path, self._password = path, password

    def refresh(self, host: str) -> None:
        write_config(self._path, host, "ci", self._password)


def _check(
    path: Path,
    *,
    password: str,
    refreshed: str | None = None,
    policy: HealthPolicy | None = None,
    renew: bool = False,
) -> tuple[list[RegistryEvent], list[str]]:
    """Checks against a registry that takes passwords which begin with "good"."""

    def answer(request: Request) -> Response:
        sent = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if sent.startswith("ci:good"):
            return Response()
        return Response(401, b"", {"WWW-Authenticate": "Basic realm=x"})

    events, lines = list[RegistryEvent](), list[str]()
    with serving(answer) as server:
        write_config(path, server.host, "ci", password)
        os.utime(path, (time.time() - 1_000,) * 2)
        store = CredentialStore(path, _Rewrites(path, refreshed) if refreshed else None)
        client = RegistryClient(server.host, credentials=store)
        target = Reference(server.host, "app", "v1")
        with suppress(RegistryError) if renew else nullcontext():
            check(
                client=client,
                target=target,
                policy=policy or HealthPolicy(),
                report=events.append,
                line=lines.append,
                retry_limit=3,
                renew=renew,
            )
        assert {event.details["registry_endpoint"] for event in events} == {target.endpoint}
    return events, lines


def _checked(client: RegistryClient, target: Reference, events: list[RegistryEvent]) -> AuthHealth:
    policy, report = HealthPolicy(), events.append
    return check(client=client, target=target, policy=policy, report=report, line=print, retry_limit=3)


def _statuses(events: list[RegistryEvent]) -> list[tuple[str, bool]]:
    looks = [event.details for event in events if event.type == "auth_health_reported"]
    return [(look["status"], look["refreshed"]) for look in looks]


def test_an_accepted_password_is_healthy_though_nobody_knows_for_how_long(tmp_path: Path) -> None:
    (event,), lines = _check(tmp_path / "config.json", password="good")
    assert event.type == "auth_health_reported"
    assert (event.details["status"], "seconds" in event.details) == ("healthy", False)
    assert not lines


def test_a_rejected_password_is_expired_and_renewed_ahead_of_the_push(tmp_path: Path) -> None:
    events, lines = _check(tmp_path / "config.json", password="bad", refreshed="good")
    assert _statuses(events) == [("expired", False), ("healthy", True)]
    assert [event.type for event in events[1:3]] == ["auth_refresh_started", "auth_refresh_succeeded"]
    stream = {"attempt": 0, "retry_limit": 3, "platform": ""}
    assert all(stream.items() <= event.details.items() for event in events[1:3])
    assert lines == ["Registry credentials refreshed ahead of time"]


def test_an_old_file_is_renewed_ahead_of_the_push(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    (event,), _ = _check(path, password="good", policy=HealthPolicy(max_age=3_600))
    assert event.details["status"] == "healthy"
    assert event.details["age_seconds"] >= 1_000
    events, _ = _check(path, password="good", refreshed="good2", policy=HealthPolicy(max_age=60))
    assert _statuses(events) == [("expired", False), ("expiring_soon", True)]


def test_a_login_of_another_namespace_only_is_told(tmp_path: Path) -> None:
    path, events, lines = tmp_path / "config.json", list[RegistryEvent](), list[str]()
    with serving(lambda request: Response()) as server:
        write_config(path, f"{server.host}/team", "ci", "good")
        client = RegistryClient(server.host, credentials=CredentialStore(path))
        target = Reference(server.host, "other/app", "v1")
        check(
            client=client,
            target=target,
            policy=HealthPolicy(),
            report=events.append,
            line=lines.append,
            retry_limit=3,
        )
    assert lines == [
        f"There is no login for {target.endpoint}: the file has logins for {server.host}/team only"
    ]
    assert events[0].details["source"] == "anonymous"


def test_a_malformed_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    client = RegistryClient("127.0.0.1:1", credentials=CredentialStore(path))
    events = list[RegistryEvent]()
    target = Reference("127.0.0.1:1", "app", "v1")
    health = _checked(client, target, events)
    assert (health.status, "not valid JSON" in health.problem) == ("unknown", True)


def test_a_refresh_that_fails_is_told_and_fails_nothing(tmp_path: Path) -> None:
    (look, started, failed), (line,) = _check(tmp_path / "config.json", password="bad")
    assert look.details["status"] == "expired"
    assert "HTTP 401" in look.details["error"]
    assert (started.type, failed.type) == ("auth_refresh_started", "auth_refresh_failed")
    assert failed.details["error"] in line
    assert "could not be refreshed ahead of time" in line


def test_a_refresh_on_request_that_fails_is_told(tmp_path: Path) -> None:
    events, lines = _check(tmp_path / "config.json", password="bad", renew=True)
    assert [event.type for event in events][1:] == ["auth_refresh_started", "auth_refresh_failed"]
    assert not lines


def test_a_registry_that_is_away_says_nothing_of_the_credential(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_config(path, "127.0.0.1:1", "ci", "pw")
    events = list[RegistryEvent]()
    client = RegistryClient("127.0.0.1:1", credentials=CredentialStore(path))
    target = Reference("127.0.0.1:1", "app", "v1")
    health = _checked(client, target, events)
    assert health.status == "unknown"
    assert "Connection refused" in events[0].details["error"]
