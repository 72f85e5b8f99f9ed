"""Dramatiq actors, which get an id and call one function.

The rows are the jobs; a message only announces one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
from django.conf import settings
from django.db.models import QuerySet

from servers import broker
from servers.deploying import deployer, reconciler, restarts
from servers.models import Deployment, Run

# Restarts have slots of their own: they are short, and must not wait for builds.
RESTARTS_PARALLEL = max(2, os.cpu_count() or 1)
_deployments = threading.BoundedSemaphore(settings.DEPLOYMENTS_PARALLEL)
_restarts = threading.BoundedSemaphore(RESTARTS_PARALLEL)
_settling: set[int] = set()
_lock = threading.Lock()
DEPLOY_LIMIT_MS = (settings.DEPLOY_TIMEOUT + 60) * 1000


@contextmanager
def _slot(slots: threading.BoundedSemaphore, row: QuerySet[Any]) -> Iterator[bool]:
    """Takes a slot for the block, and tells whether one was free. If not, another message is asked for."""
    free = slots.acquire(blocking=False)
    if not free:
        row.update(enqueued_at=None)
    try:
        yield free
    finally:
        if free:
            slots.release()


@dramatiq.actor(
    actor_name=broker.DEPLOY,
    queue_name=broker.QUEUES[broker.DEPLOY],
    broker=broker.current(),
    max_retries=0,
    time_limit=DEPLOY_LIMIT_MS,
)
def deploy(deployment_id: int) -> None:
    """Carries out a deployment, or leaves it in the queue if DEPLOYMENTS_PARALLEL are running.

    It does not wait for a free slot, so that this thread can still settle servers.
    """
    with _slot(_deployments, Deployment.objects.filter(pk=deployment_id)) as free:
        if free:
            deployer.run(deployment_id)


@dramatiq.actor(
    actor_name=broker.RESTART,
    queue_name=broker.QUEUES[broker.RESTART],
    broker=broker.current(),
    max_retries=0,
    time_limit=DEPLOY_LIMIT_MS,
)
def restart(run_id: int) -> None:
    """Carries out a restart, or leaves it waiting if RESTARTS_PARALLEL are running."""
    with _slot(_restarts, Run.objects.filter(pk=run_id)) as free:
        if free:
            restarts.restart(run_id)


@dramatiq.actor(
    actor_name=broker.SETTLE,
    queue_name=broker.QUEUES[broker.SETTLE],
    broker=broker.current(),
    max_retries=0,
    time_limit=600_000,
)
def settle(server_id: int) -> None:
    """Settles one server. Does nothing if this process is settling it already: the reconciler asks again."""
    with _lock:
        if server_id in _settling:
            return
        _settling.add(server_id)
    try:
        reconciler.settle(server_id)
    finally:
        with _lock:
            _settling.discard(server_id)
