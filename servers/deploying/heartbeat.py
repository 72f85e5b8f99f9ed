"""A worker's sign of life for the deployment that it holds, and how it hears that it should stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from hosting.deadline import ON_REQUEST, Deadline
from servers.deploying import workers
from servers.models import Deployment
from servers.states import DeploymentStatus

logger = logging.getLogger(__name__)
# Set when this process is asked to end: deployments stop where they are and go back to the queue.
interrupted = threading.Event()
SHUTS_DOWN = "The platform is shutting down; the deployment goes on when it is back."
TAKEN_OVER = "Another worker has taken this deployment up."


@dataclass
class _Pull:
    """Why the work should stop: "" while only the end of the process can make it."""

    reason: str = ""

    def felt(self) -> bool:
        return bool(self.reason) or interrupted.is_set()

    def why(self) -> str:
        return self.reason or SHUTS_DOWN


def held(deployment: Deployment) -> bool:
    """Whether this worker still holds it: every outcome is written under this condition."""
    return bool(_mine(deployment).update(heartbeat_at=timezone.now()))


@contextmanager
def beating(deployment: Deployment) -> Iterator[Deadline]:
    """Beats while the block runs. A cancel, a lost claim and the end of the process end the deadline."""
    done, pull = threading.Event(), _Pull()
    thread = threading.Thread(
        target=_beat, args=(deployment, done, pull), name=f"heartbeat-{deployment.pk}", daemon=True
    )
    thread.start()
    try:
        yield Deadline.of(settings.DEPLOY_TIMEOUT, pull.felt, pull.why)
    finally:
        done.set()
        thread.join()


def _beat(deployment: Deployment, done: threading.Event, pull: _Pull) -> None:
    while not done.wait(settings.HEARTBEAT_SECONDS):
        try:
            close_old_connections()
            asked = Deployment.objects.filter(pk=deployment.pk, cancel_requested=True).exists()
            still_held = held(deployment)  # a step that is slow to hear of the cancel is alive all the same
            if asked or not still_held:
                pull.reason = ON_REQUEST if still_held else TAKEN_OVER
        except DatabaseError:
            logger.warning("no heartbeat for deployment %s: the database does not answer", deployment.pk)
    connection.close()


def _mine(deployment: Deployment):  # type: ignore[no-untyped-def]
    return Deployment.objects.filter(
        pk=deployment.pk,
        worker=workers.me(),
        claims=deployment.claims,
        status=DeploymentStatus.RUNNING,
    )
