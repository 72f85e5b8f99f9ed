"""A worker's sign of life for the work that it holds (a deployment, a restart), and how it hears that it
should stop."""

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
# Set when this process is asked to end: what is under way stops, and goes on when the platform is back.
interrupted = threading.Event()
SHUTS_DOWN = "The platform is shutting down; the work goes on when it is back."
TAKEN_OVER = "This worker does not hold the work any more."


@dataclass
class _Pull:
    """Why the work should stop: "" while only the end of the process can make it."""

    reason: str = ""

    def felt(self) -> bool:
        return bool(self.reason) or interrupted.is_set()

    def why(self) -> str:
        return self.reason or SHUTS_DOWN


@contextmanager
def beating(work: Leased) -> Iterator[Deadline]:
    """Beats while the block runs. A cancel, a lost claim and the end of the process end the deadline."""
    done, pull = threading.Event(), _Pull()
    thread = threading.Thread(target=_beat, args=(work, done, pull), name=f"heartbeat-{work.pk}", daemon=True)
    thread.start()
    try:
        yield Deadline.of(settings.DEPLOY_TIMEOUT, pull.felt, pull.why)
    finally:
        done.set()
        thread.join()


def _beat(work: Leased, done: threading.Event, pull: _Pull) -> None:
    while not done.wait(settings.HEARTBEAT_SECONDS):
        try:
            close_old_connections()
            asked = work.is_asked_to_stop()
            still_held = work.renew()  # a step that is slow to hear of the cancel is alive all the same
            if asked or not still_held:
                pull.reason = ON_REQUEST if still_held else TAKEN_OVER
        except DatabaseError:
            logger.warning("no heartbeat for “%s”: the database does not answer", work)
    connection.close()
