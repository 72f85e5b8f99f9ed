"""Records the course of a deployment or a restart: steps, metrics and log lines.

No other module writes these.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from hosting.errors import Cancelled, UserError
from metrics import recorder
from servers import events
from servers.logbook import Logbook
from servers.models import Deployment, Run, Server, Step
from servers.models.log import LogStream
from servers.states import RESTARTABLE, STATUS_OF_STEP, StepKind, StepStatus

logger = logging.getLogger("deployment")
# The registry library sends the events of these steps itself.
PROGRESS_SECONDS = 0.5
SPEAKS_FOR_ITSELF = {StepKind.CREDENTIALS, StepKind.PUSH, StepKind.PUBLISH}


class StepInProgress:
    """What the body of a step uses: `details`, which its row will hold, and its log lines."""

    def __init__(self, row: Step, logbook: Logbook) -> None:
        self.row, self._logbook = row, logbook
        self.details: dict[str, Any] = {}
        self._noted_at, self._expected = 0.0, 0

    def line(self, text: str) -> None:
        """Writes a line into the log of the step."""
        self._logbook.write(text, LogStream.BUILD, self.row.pk)

    def expect(self, size: int) -> None:
        """Sets an upper bound in bytes, which `progress` uses while the total is unknown."""
        self._expected = size

    def progress(self, done: int, total: int, whole: bool) -> None:
        """Saves how many bytes were sent, and sends it to the live feed, at most every PROGRESS_SECONDS.

        `total` is the sum of the sizes known so far; `whole` says that all are known. `percent` never falls:
        if less has to be sent than was expected, it jumps ahead.
        """
        now = time.monotonic()
        if now - self._noted_at >= PROGRESS_SECONDS or (whole and done == total):
            self._noted_at = now
            most = total if whole else max(total, self._expected)
            percent = max(self.details.get("percent", 0), 100 * done // most if most else 0)
            self.details.update(bytes_done=done, bytes_total=most, bytes_whole=whole, percent=percent)
            Step.objects.filter(pk=self.row.pk).update(details=self.details)
            events.step_progressed(self._logbook.server_id, self.row, self.details)


class Timeline:
    """Records a deployment, or one of its restarts if `restart` is given."""

    def __init__(self, deployment: Deployment, logbook: Logbook, restart: Run | None = None) -> None:
        self.deployment, self.logbook, self._restart = deployment, logbook, restart

    def event(self, event_type: str, details: Mapping[str, Any] | None = None) -> None:
        """Records one metric of this deployment; see `record`."""
        record(self.deployment.server_id, self.deployment.pk, event_type, details or {})

    def say(self, text: str) -> None:
        """Writes a sentence of the platform into the deployment's log."""
        self.logbook.write(text, LogStream.PLATFORM)

    @contextmanager
    def step(self, kind: StepKind, platform: str = "") -> Iterator[StepInProgress]:
        """Runs the block as one step, and records its start and its outcome. Errors pass through.

        Raises `Cancelled` if a deployment's server was stopped or deleted in the meantime.
        """
        self._move_server(kind)
        whose = {"run": self._restart} if self._restart else {"deployment": self.deployment}
        row, _ = Step.objects.update_or_create(
            kind=kind,
            platform=platform,
            **whose,
            defaults={
                "status": StepStatus.RUNNING, "started_at": timezone.now(), "finished_at": None,
                "error": "", "error_kind": "", "details": {},
            },
        )  # fmt: skip
        step = StepInProgress(row, self.logbook)
        self._step_event(row, "started", {})
        try:
            yield step
        except BaseException as error:
            self._end(step, *_outcome_of(error, self.logbook.redact))
            raise
        self._end(step, StepStatus.SUCCEEDED, {})

    def _move_server(self, kind: StepKind) -> None:
        """Sets the server's status.

        A restart sets it only if no deployment has: both may run at the same time.
        """
        servers = Server.objects.filter(status__in=RESTARTABLE) if self._restart else Server.objects.all()
        if not servers.move(self.deployment.server_id, STATUS_OF_STEP[kind]) and not self._restart:
            raise Cancelled("The server was stopped or deleted meanwhile.")
        events.status_changed(self.deployment.server_id)

    def _end(self, step: StepInProgress, status: StepStatus, failure: Mapping[str, str]) -> None:
        row = step.row
        row.status, row.finished_at = status, timezone.now()
        row.error, row.error_kind = failure.get("error", ""), failure.get("error_kind", "")
        row.details = step.details
        row.save(update_fields=["status", "finished_at", "error", "error_kind", "details"])
        word = "succeeded" if status == StepStatus.SUCCEEDED else "failed"
        duration = int((row.finished_at - row.started_at).total_seconds() * 1000)
        self._step_event(row, word, {**step.details, **failure, "duration_ms": duration})

    def _step_event(self, row: Step, word: str, details: Mapping[str, Any]) -> None:
        if StepKind(row.kind) not in SPEAKS_FOR_ITSELF:
            platform = {"platform": row.platform} if row.platform else {}
            self.event(f"{row.kind}_{word}", {**platform, **details})


def internal_error(log: logging.Logger, work: str) -> UserError:
    """Logs the exception that is being handled, and returns what a user is told: where the log has it."""
    reference = uuid.uuid4().hex[:8]
    log.exception("%s failed, reference %s", work, reference)
    return UserError("An internal error.", hint=f"The platform's log has it under reference {reference}.")


def record(server_id: int, deployment_id: int | None, event_type: str, details: Mapping[str, Any]) -> None:
    """Records one metric, sends it to the live feed and logs it.

    `details` are described in docs/telemetry.md.
    """
    metric = recorder.record(
        server_id=server_id, deployment_id=deployment_id, event_type=event_type, details=details
    )
    events.metric_recorded(metric)
    level = logging.WARNING if event_type.endswith("_failed") else logging.INFO
    shown = {key: value for key, value in details.items() if isinstance(value, (str, int, float, bool))}
    logger.log(
        level,
        event_type.replace("_", " "),
        extra={"server_id": server_id, "deployment_id": deployment_id, **shown},
    )


def _outcome_of(error: BaseException, redact: Any) -> tuple[StepStatus, dict[str, str]]:
    if isinstance(error, Cancelled):
        return StepStatus.CANCELLED, {"error": redact(str(error)), "error_kind": error.kind}
    if isinstance(error, UserError):
        return StepStatus.FAILED, {"error": redact(str(error)), "error_kind": error.kind}
    return StepStatus.FAILED, {
        "error": "An internal error; the platform's log has it.",
        "error_kind": "internal",
    }
