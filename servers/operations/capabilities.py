"""Lists what this machine can do for the platform, with advice for what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from hosting.builder import emulation
from hosting.runtimes.base import Capability
from hosting.runtimes.kinds import KINDS, SHARING_ACCOUNT
from registry.errors import RegistryError
from registry.reference import Reference
from servers import as_root, runtime_choice
from servers.broker import current as current_broker
from servers.deploying import registries, runtimes
from servers.models import Server


def all() -> list[Capability]:
    """Checks every part. Takes up to a few seconds for a part that does not answer."""
    return [*of_every_part(), *(line for name in KINDS for line in _of_runtime(name))]


def _of_runtime(name: str) -> list[Capability]:
    """Checks a runtime, and what only it needs."""
    if name == "kubernetes":
        return [registry(), kubernetes()]
    found = runtimes.runtime(name).capability()
    return [found, *_builds()] if name == "docker" and found.found else [found]


def _builds() -> list[Capability]:
    targets = emulation.capabilities(settings.REGISTRY_ARCH_TARGETS, runtime_choice.engine_url())
    return [runtime_choice.builder().capability(), *targets]


def of_every_part() -> list[Capability]:
    """Checks the parts that every process needs, also one that only serves requests."""
    return [database(), broker()]


def database() -> Capability:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return Capability("database", False, str(error).splitlines()[0], "Check DATABASE_URL and the server.")
    advice = "" if settings.DATABASE_URL else "For several machines set DATABASE_URL to PostgreSQL."
    return Capability("database", True, connection.display_name, advice)


def broker() -> Capability:
    if not settings.BROKER_URL:
        return Capability("broker", True, "in this process", "For several machines set BROKER_URL.")
    kind = settings.BROKER_URL.partition(":")[0]
    try:
        _touch_broker()
    except Exception as error:  # noqa: BLE001  (each broker raises its own errors)
        return Capability(
            "broker", False, f"{kind}: {type(error).__name__}", "Check BROKER_URL and the server."
        )
    return Capability("broker", True, kind)


def _touch_broker() -> None:
    carrier: Any = current_broker()
    if hasattr(carrier, "client"):
        carrier.client.ping()
    else:
        carrier.connection  # noqa: B018  (RabbitMQ: opens the connection)


def hosting_as_root() -> list[str]:
    """Returns the runtimes in which a server runs, or would run, as root.

    Nothing then keeps its code from all that the platform can read.
    """
    default = runtime_choice.default_runtime()
    return [name for name in SHARING_ACCOUNT if as_root.is_root() and (name == default or _was_chosen(name))]


def _was_chosen(runtime: str) -> bool:
    try:
        return Server.objects.filter(runtime=runtime).exists()
    except DatabaseError:
        return False


def registry() -> Capability:
    """Pings REGISTRY with the platform's login."""
    if not settings.REGISTRY:
        return Capability("registry", False, "REGISTRY is not set", "Images stay in the engine until it is.")
    probe = Reference.parse(f"{settings.REGISTRY.rstrip('/')}/probe")
    try:
        registries.client(probe.host).ping(probe.repository)
    except RegistryError as error:
        return Capability("registry", False, f"{probe.host}: {error}", "Check REGISTRY and its credentials.")
    return Capability("registry", True, probe.host)


def kubernetes() -> Capability:
    """Asks the cluster's API server."""
    if not settings.REGISTRY:
        return Capability(
            "kubernetes", False, "REGISTRY is not set", "Nodes pull what they run: set REGISTRY."
        )
    found = runtimes.runtime("kubernetes").capability()
    way = "through the API server" if runtimes.goes_through_api_server() else "through their Services"
    return replace(found, detail=f"{found.detail}, servers are called {way}") if found.found else found
