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
        self._silent: dict[int, float] = {}  # when each was asked in vain; 0 if it had written then

    def renew(self) -> None:
        """Reads which runs there are."""
        started = Run.objects.started().select_related("deployment__server")
        self._running = list(started.defer("deployment__facts", "deployment__discovery"))

    def look(self) -> bool:
        """Copies new output of the runs that may have written, without a query if there is none.

        Returns whether any had.
        """
        running, wrote = self._running, False
        not_since = time.monotonic() - len(running) / LOOKS_PER_SECOND
        silent, self._silent = self._silent, {}
        for run in running:
            asked_at = silent.get(run.pk, 0.0)
            if asked_at <= not_since and runs.may_have_output(run):
                has_more = _collect(run)
                asked_at, wrote = 0.0 if has_more else time.monotonic(), wrote or has_more
            self._silent[run.pk] = asked_at
        return wrote


def _collect(run: Run) -> bool:
    """Returns whether the run had written anything."""
    before = run.output_cursor
    try:
        runs.collect(run)
    except UserError as error:
        logger.debug("no output of %s: %s", run, error)
    return run.output_cursor != before
