"""Renews a worker's lease of a deployment or restart, and notices when the work has to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from hosting.deadline import ON_REQUEST, Deadline
from servers.models.kept import Leased

logger = logging.getLogger(__name__)
# Set when this process has to end. Its work stops, and continues when the platform is back.
interrupted = threading.Event()
SHUTS_DOWN = "The platform is shutting down; the work goes on when it is back."
TAKEN_OVER = "This worker does not hold the work any more."


@dataclass
class _StopReason:
    """Why the work has to stop; "" if only the end of the process can stop it."""

    text: str = ""

    def is_set(self) -> bool:
        return bool(self.text) or interrupted.is_set()

    def why(self) -> str:
        return self.text or SHUTS_DOWN


@contextmanager
def beating(work: Leased) -> Iterator[Deadline]:
    """Renews the lease while the block runs, and yields the deadline of the work.

    The deadline ends at DEPLOY_TIMEOUT, when a person cancels, when the lease is lost and when the process
    ends.
    """
    done, stop = threading.Event(), _StopReason()
    thread = threading.Thread(target=_beat, args=(work, done, stop), name=f"heartbeat-{work.pk}", daemon=True)
    thread.start()
    try:
        yield Deadline.of(settings.DEPLOY_TIMEOUT, stop.is_set, stop.why)
    finally:
        done.set()
        thread.join()


def _beat(work: Leased, done: threading.Event, stop: _StopReason) -> None:
    while not done.wait(settings.HEARTBEAT_SECONDS):
        try:
            close_old_connections()
            asked = work.is_asked_to_stop()
            still_held = work.renew()  # also after a cancel, which a step may notice late
            if asked or not still_held:
                stop.text = ON_REQUEST if still_held else TAKEN_OVER
        except DatabaseError:
            logger.warning("no heartbeat for “%s”: the database does not answer", work)
    connection.close()
