"""Copies the output of all runs into the log.

Runs that have just written are asked more often than silent ones.
"""

from __future__ import annotations

import logging
import time

from hosting.errors import UserError
from servers.deploying import runs
from servers.models import Run

logger = logging.getLogger(__name__)
LOOKS_PER_SECOND = 25.0  # of silent runs, all together: each look may be a request to the runtime


class Collector:
    """Used once per process; `look` is called every half second."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}

    def look(self) -> None:
        """Copies new output of the runs that are due."""
        started = Run.objects.started().select_related("deployment__server")
        running = list(started.defer("deployment__facts", "deployment__discovery"))
        pause = len(running) / LOOKS_PER_SECOND
        known, self._seen = self._seen, {}
        for run in running:
            before = known.get(run.pk, 0.0)
            self._seen[run.pk] = before
            if time.monotonic() - before >= pause:
                wrote = _collect(run)
                self._seen[run.pk] = 0.0 if wrote else time.monotonic()


def _collect(run: Run) -> bool:
    """Returns whether the run had written anything."""
    before = run.output_cursor
    try:
        runs.collect(run)
    except UserError as error:
        logger.debug("no output of %s: %s", run, error)
    return run.output_cursor != before
