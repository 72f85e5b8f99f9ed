"""Dramatiq actors, which get an id and call one function.

The rows are the jobs; a message only announces one.
"""

from __future__ import annotations

import os
import threading

import dramatiq
from django.conf import settings

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
    if not _deployments.acquire(blocking=False):
        Deployment.objects.filter(pk=deployment_id).update(enqueued_at=None)
        return
    try:
        deployer.run(deployment_id)
    finally:
        _deployments.release()


@dramatiq.actor(
    actor_name=broker.RESTART,
    queue_name=broker.QUEUES[broker.RESTART],
    broker=broker.current(),
    max_retries=0,
    time_limit=DEPLOY_LIMIT_MS,
)
def restart(run_id: int) -> None:
    """Carries out a restart, or leaves it waiting if RESTARTS_PARALLEL are running."""
    if not _restarts.acquire(blocking=False):
        Run.objects.filter(pk=run_id).update(enqueued_at=None)
        return
    try:
        restarts.restart(run_id)
    finally:
        _restarts.release()


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
