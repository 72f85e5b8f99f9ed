"""Takes the output of all that runs into the log: what writes is asked often, what is silent in its turn."""

from __future__ import annotations

import logging
import time

from hosting.errors import UserError
from servers.deploying import runs
from servers.models import Deployment

logger = logging.getLogger(__name__)
LOOKS_PER_SECOND = 25.0  # at what is silent: each may be a request, and a thousand servers a thousand


class Collector:
    """One per process; `look` is called every half second."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}

    def look(self) -> None:
        running = list(
            Deployment.objects.with_run().select_related("server", "build").defer("facts", "discovery")
        )
        pause = len(running) / LOOKS_PER_SECOND
        known, self._seen = self._seen, {}
        for deployment in running:
            before = known.get(deployment.pk, 0.0)
            self._seen[deployment.pk] = before
            if time.monotonic() - before >= pause:
                wrote = _collect(deployment)
                self._seen[deployment.pk] = 0.0 if wrote else time.monotonic()


def _collect(deployment: Deployment) -> bool:
    """Whether there was anything."""
    before = deployment.output_cursor
    try:
        runs.collect(deployment)
    except UserError as error:
        logger.debug("no output of %s: %s", deployment, error)
    return deployment.output_cursor != before
