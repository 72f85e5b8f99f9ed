"""All classes of failure, in the order in which they are tried: special ones before general ones. Pure."""

from __future__ import annotations

from servers.runbooks import building, credentials, registry, running, work
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts

RUNBOOKS: tuple[Runbook, ...] = (
    running.UNSEEN,
    running.WENT_DOWN,
    work.SCHEMA_CHANGE,
    work.CANCELLED,
    work.LOST_WORKER,
    building.ENGINE_AWAY,
    building.ENGINE_FULL,
    credentials.AUTH_EXPIRED,
    registry.RATE_LIMIT,
    registry.REGISTRY_FULL,
    credentials.DENIED,
    registry.UNTRUSTED,
    registry.NETWORK,
    registry.IMAGE_LOST,
    registry.REGISTRY_OTHER,
    building.PACKAGES,
    building.SOURCE,
    building.EMULATION,
    building.BUILD,
    running.NODE_FULL,
    running.IMAGE_PULL,
    running.MODULE,
    running.CONFIGURATION,
    running.CRASH,
    running.NEVER_HEALTHY,
    running.START,
    work.TIMEOUT,
    work.INTERNAL,
)


def runbook_of(facts: Facts) -> Runbook:
    """Returns the first class that recognises the failure. The last one recognises every failure."""
    return next(book for book in RUNBOOKS if book.recognises(facts))
