"""Checks how long the credential of a registry will last, before a push fails because of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

from registry import refresh
from registry.client import RegistryClient
from registry.credentials import ANONYMOUS, Credential
from registry.errors import RegistryError
from registry.events import Line, RegistryEvent, Report
from registry.reference import Reference

HealthStatus = Literal["healthy", "expiring_soon", "expired", "unknown"]


@dataclass(frozen=True)
class HealthPolicy:
    """A credential that ends within `lead` seconds is expiring; one older than `max_age` seconds has expired.

    With `max_age` 0 a file is trusted at any age. ECR's passwords, for example, live for 12 hours.
    """

    lead: float = 900.0
    max_age: float = 0.0


@dataclass(frozen=True)
class AuthHealth:
    """`seconds` until the credential ends (negative: since it ended), None if that is not known.

    `age` is the file's age in seconds. `problem` is the registry's refusal, "" if it did not refuse.
    """

    status: HealthStatus
    seconds: int | None
    source: str
    age: int | None = None
    problem: str = ""

    @property
    def wants_refresh(self) -> bool:
        """Tells whether the credential should be renewed now."""
        return self.status in {"expiring_soon", "expired"}

    def event(self, ref: Reference, *, refreshed: bool = False) -> RegistryEvent:
        """Returns `auth_health_reported`; `seconds`, `age_seconds` and `error` are left out if unknown."""
        details: dict[str, Any] = {
            "registry_endpoint": ref.endpoint,
            "status": self.status,
            "source": self.source,
            "refreshed": refreshed,
        }
        known = {"seconds": self.seconds, "age_seconds": self.age, "error": self.problem or None}
        details.update({key: value for key, value in known.items() if value is not None})
        return RegistryEvent("auth_health_reported", details)


def check(
    *,
    client: RegistryClient,
    target: Reference,
    policy: HealthPolicy,
    report: Report,
    line: Line,
    retry_limit: int,
    renew: bool = False,
) -> AuthHealth:
    """Reports the health of the credential for `target`; renews one that ends soon, and reports again.

    `retry_limit` is that of the push that follows. Raises no `RegistryError`: the push may succeed
    nevertheless, and its error says more. With `renew` a person asked for a new credential: it is then
    renewed whatever its health, and a failed refresh is raised.
    """
    credential, health = inspect(client, target, policy)
    report(health.event(target))
    if credential.anonymous and (why := client.credentials.why_anonymous(target.host, target.repository)):
        line(f"There is no login for {target.endpoint}: {why}")
    if not (renew or health.wants_refresh):
        return health
    about = refresh.details_outside_a_push(target, retry_limit)
    try:
        refresh.run(report, about, lambda: client.renew(credential, target))
    except RegistryError as fault:
        if renew:
            raise
        line(f"Registry credentials could not be refreshed ahead of time: {fault.message}")
        return health
    _, health = inspect(client, target, policy)
    report(health.event(target, refreshed=True))
    line(f"Registry credentials refreshed {'on request' if renew else 'ahead of time'}")
    return health


def inspect(client: RegistryClient, target: Reference, policy: HealthPolicy) -> tuple[Credential, AuthHealth]:
    """Returns the credential for `target` and its health: by its own dates, then by the registry's answer."""
    try:
        credential = client.credentials.for_host(target.host, target.repository)
    except RegistryError as fault:
        return ANONYMOUS, AuthHealth("unknown", None, ANONYMOUS.source, problem=fault.message)
    health = assess(credential, policy)
    try:
        client.accepts(credential, target)
    except RegistryError as fault:
        status = "expired" if fault.auth_expired else health.status
        return credential, replace(health, status=status, problem=fault.message)
    if health.status == "unknown" and not credential.anonymous:
        health = replace(health, status="healthy")  # it has no date, but the registry accepts it
    return credential, health


def assess(credential: Credential, policy: HealthPolicy, *, now: float | None = None) -> AuthHealth:
    """Returns the health by the credential's own dates: the `exp` of a JWT, else the age of its file.

    `now` is in Unix seconds.
    """
    now = time.time() if now is None else now
    age = None if credential.written_at is None else round(now - credential.written_at)
    ends = _ends_at(credential, policy)
    if ends is None:
        return AuthHealth("unknown", None, credential.source, age)
    left = round(ends - now)
    return AuthHealth(_status(left, policy), left, credential.source, age)


def _ends_at(credential: Credential, policy: HealthPolicy) -> float | None:
    ends = [credential.expires_at]
    if policy.max_age and credential.written_at is not None:
        ends.append(credential.written_at + policy.max_age)
    return min((at for at in ends if at is not None), default=None)


def _status(left: int, policy: HealthPolicy) -> HealthStatus:
    if left <= 0:
        return "expired"
    return "expiring_soon" if left <= policy.lead else "healthy"
