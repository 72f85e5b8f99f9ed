"""Lists what needs a person: parts that do not answer, the registry's credential, the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from registry import health as registry_health
from registry.health import AuthHealth, HealthPolicy
from registry.reference import Reference
from servers.deploying import registries
from servers.operations import health

LOW_BYTES, LOW_SHARE = 5 * 1024**3, 0.05
FULL_BYTES = 1024**3


@dataclass(frozen=True)
class Concern:
    """Something that needs a person. `severe` means that something fails now, or will within an hour."""

    title: str
    text: str
    advice: str = ""
    severe: bool = False


def concerns() -> list[Concern]:
    """Checks everything. Takes seconds if a part does not answer. Closes its database connection."""
    try:
        return [*parts(), *credential(), *disk()]
    finally:
        connection.close()


def parts() -> Iterator[Concern]:
    """Checks the database, its migrations, the broker and the reconciler."""
    for check in health.run():
        if check.status != health.OK:
            yield Concern(check.name.capitalize(), check.detail, severe=True)


def credential() -> Iterator[Concern]:
    """Checks whether the login for REGISTRY ends soon, has ended or is refused."""
    if not settings.REGISTRY:
        return
    target = Reference.parse(f"{settings.REGISTRY.rstrip('/')}/probe")
    policy = HealthPolicy(
        lead=settings.REGISTRY_AUTH_LEAD_SECONDS, max_age=settings.REGISTRY_AUTH_MAX_AGE_SECONDS
    )
    _, found = registry_health.inspect(registries.client(target.host), target, policy)
    if found.status == "expired":
        yield _concern(target.host, found, "has expired, or is refused: pushes fail", severe=True)
    elif found.status == "expiring_soon" and not settings.REGISTRY_REFRESH_COMMAND:
        minutes = (found.seconds or 0) // 60
        yield _concern(target.host, found, f"expires in {minutes} min", severe=False)


def disk() -> Iterator[Concern]:
    """Checks the free space where DATA_DIR is, which holds environments, uploads and the local database."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    if usage.free < max(LOW_BYTES, LOW_SHARE * usage.total) and usage.free < usage.total / 2:
        free = f"{usage.free / 1024**3:.1f} GiB"
        text = f"{free} are free where DATA_DIR lies: builds and starts fail once nothing is left."
        advice = "Make room, or lower KEEP_DEPLOYMENTS and LOG_RETENTION_DAYS."
        yield Concern("Disk", text, advice, severe=usage.free < FULL_BYTES)


def _concern(host: str, found: AuthHealth, what: str, *, severe: bool) -> Concern:
    problem = f" {found.problem}" if found.problem else ""
    advice = "Renew the login in the file that REGISTRY_AUTH_DOCKERCONFIG names; it is read anew."
    return Concern("Registry credential", f"The login for {host} {what}.{problem}", advice, severe)
