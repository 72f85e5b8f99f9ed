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
    """Used once per process. `look` is called again and again, `renew` when runs may have come or gone."""

    def __init__(self) -> None:
        self._running: list[Run] = []
        self._seen: dict[int, float] = {}

    def renew(self) -> None:
        """Reads which runs there are."""
        started = Run.objects.started().select_related("deployment__server")
        self._running = list(started.defer("deployment__facts", "deployment__discovery"))

    def look(self) -> bool:
        """Copies new output of the runs that may have written, without a query if there is none.

        Returns whether any had.
        """
        running = self._running
        pause = len(running) / LOOKS_PER_SECOND
        known, self._seen = self._seen, {}
        for run in running:
            before = self._seen[run.pk] = known.get(run.pk, 0.0)
            if time.monotonic() - before >= pause and runs.may_have_output(run):
                wrote = _collect(run)
                self._seen[run.pk] = 0.0 if wrote else time.monotonic()
        return not all(self._seen.values())


def _collect(run: Run) -> bool:
    """Returns whether the run had written anything."""
    before = run.output_cursor
    try:
        runs.collect(run)
    except UserError as error:
        logger.debug("no output of %s: %s", run, error)
    return run.output_cursor != before
