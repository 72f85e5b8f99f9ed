"""Dramatiq actors: an id in, one call out. The rows are the jobs; a message only says that there is one."""

from __future__ import annotations

import threading

import dramatiq
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from servers import broker
from servers.models import Deployment

broker.install()

from servers import deployer, reconciler  # noqa: E402  (actors register with the broker that is installed)

_slots = threading.BoundedSemaphore(settings.DEPLOYMENTS_PARALLEL)
_settling: set[int] = set()
_lock = threading.Lock()
DEPLOY_LIMIT_MS = (settings.DEPLOY_TIMEOUT + 60) * 1000


@dramatiq.actor(max_retries=0, time_limit=DEPLOY_LIMIT_MS, queue_name="deployments")
def deploy(deployment_id: int) -> None:
    """Without a free slot the row waits in the queue, so that stopping a server need not wait behind it."""
    if not _slots.acquire(blocking=False):
        Deployment.objects.filter(pk=deployment_id).update(enqueued_at=None)
        return
    try:
        deployer.run(deployment_id)
    finally:
        _slots.release()


@dramatiq.actor(max_retries=0, time_limit=600_000, queue_name="servers")
def settle(server_id: int) -> None:
    """One at a time for a server: the reconciler asks again every second for as long as it takes."""
    with _lock:
        if server_id in _settling:
            return
        _settling.add(server_id)
    try:
        reconciler.settle(server_id)
    finally:
        with _lock:
            _settling.discard(server_id)


def enqueue(deployment_id: int) -> None:
    """Sends the message. A broker that is away loses nothing: the reconciler sends again."""
    broker.send(deploy, deployment_id)


def enqueue_on_commit(deployment_id: int) -> None:
    """Where no message would arrive the row just waits: the reconciler's next look finds it."""
    if broker.reaches_workers():
        Deployment.objects.filter(pk=deployment_id).update(enqueued_at=timezone.now())
        transaction.on_commit(lambda: enqueue(deployment_id))


def settle_on_commit(server_id: int) -> None:
    if broker.reaches_workers():
        transaction.on_commit(lambda: broker.send(settle, server_id))
