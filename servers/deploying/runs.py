"""What runs for a deployment: starts, output, use of resources, and ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from hosting.errors import RuntimeFault, UserError
from hosting.last_words import LOOK_BACK, last_words
from hosting.runtimes.base import Handle, RunStatus, Runtime, Stats
from servers import logbook
from servers.deploying import runtimes
from servers.models import Deployment, LogLine, Run, RunQuerySet

logger = logging.getLogger(__name__)
COLLECT_ROUNDS = 50


@transaction.atomic
def begin(deployment: Deployment) -> Run:
    """Writes the row of a run that has not been started yet, and returns it.

    Raises `IntegrityError` if the deployment has a run that has not ended.
    """
    last = LogLine.objects.filter(server=deployment.server_id).aggregate(last=Max("pk"))["last"]
    runtime = deployment.build.runtime
    run = Run.objects.create(deployment=deployment, runtime=runtime, log_start=last or 0)
    deployment.keep(run=run)
    return run


def save(run: Run, handle: Handle) -> bool:
    """Stores the handle. False if the run was ended in the meantime, or another worker holds it."""
    run.handle = {"endpoint": handle.endpoint, "data": dict(handle.data)}
    return bool(run.held().update(handle=run.handle))


def handle_of(run: Run) -> Handle:
    """Returns what the runtime finds the run by. Call it only for a run that was started."""
    assert run.handle is not None
    return Handle(run.runtime, run.handle["endpoint"], run.handle["data"])


def runtime_of(run: Run) -> Runtime:
    return runtimes.runtime(run.runtime)


def survey(runs: Iterable[Run]) -> dict[int, RunStatus | RuntimeFault]:
    """Polls the runs, and returns the results by their ids.

    Each runtime is asked once for all of its runs.
    """
    found: dict[int, RunStatus | RuntimeFault] = {}
    for asked in _by_runtime(runs):
        found |= {run.pk: status for run, status in zip(asked, _survey(asked), strict=True)}
    return found


def measure(runs: Iterable[Run]) -> None:
    """Stores how much the runs use (`Run.uses`); None if it is unknown."""
    for asked in _by_runtime(runs):
        for run, stats in zip(asked, _measure(asked), strict=True):
            uses = stats and {"cpu": round(stats.cpu, 2), "memory_mb": round(stats.memory_bytes / 2**20)}
            if uses != run.uses:
                _still_live(run).update(uses=uses)


def _still_live(run: Run) -> RunQuerySet:
    return Run.objects.live().filter(pk=run.pk)


def _measure(runs: list[Run]) -> Sequence[Stats | None]:
    try:
        return runtime_of(runs[0]).measure([handle_of(each) for each in runs])
    except RuntimeFault:  # for example, the runtime is not configured any more
        return [None] * len(runs)


def _by_runtime(runs: Iterable[Run]) -> Iterable[list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.runtime, []).append(run)
    return found.values()


def _survey(runs: list[Run]) -> Sequence[RunStatus | RuntimeFault]:
    try:
        return runtime_of(runs[0]).survey([handle_of(each) for each in runs])
    except RuntimeFault as fault:  # for example, the runtime is not configured any more
        return [fault] * len(runs)


def may_have_output(run: Run) -> bool:
    """Whether the run may have written something that is not in the log yet. Makes no request."""
    try:
        return runtime_of(run).may_have_output(handle_of(run), run.output_cursor)
    except RuntimeFault:  # for example, the runtime is not configured any more
        return False


def note_endpoints(run: Run, status: RunStatus) -> None:
    """Stores the endpoints of the replicas, which come and go. Sessions are kept on these."""
    if dict(status.endpoints) != run.endpoints:
        run.endpoints = dict(status.endpoints)
        _still_live(run).update(endpoints=run.endpoints)


def collect(run: Run) -> None:
    """Copies new output into the log. Raises `UserError`.

    Several processes may do this at once. The cursor is compared and set in one update, together with the
    lines, so each line is written once. The process whose update finds another cursor goes on from that one.
    """
    server = run.deployment.server
    redact = server.redactor()
    for _ in range(COLLECT_ROUNDS):
        cursor = run.output_cursor
        lines, after = runtime_of(run).output(handle_of(run), cursor)
        if after == cursor:
            return
        rows = [
            LogLine(
                server_id=server.pk,
                deployment_id=run.deployment_id,
                stream=line.stream,
                at=line.at,
                text=redact(line.text),
            )
            for line in lines
        ]
        with transaction.atomic():
            mine = Run.objects.filter(pk=run.pk, output_cursor=cursor).update(output_cursor=after)
            if mine:
                logbook.keep(server.pk, rows)
                run.output_cursor = after
        if not mine and not _catch_up(run):
            return


def _catch_up(run: Run) -> bool:
    """Reads how far another process has copied the output. False if the run has ended."""
    cursor = _still_live(run).values_list("output_cursor", flat=True).first()
    if cursor is None:
        return False
    run.output_cursor = cursor
    return True


def last_lines(run: Run, count: int) -> list[str]:
    """Returns the last lines that the run wrote, oldest first."""
    lines = run.deployment.log_lines.filter(stream__in=["stdout", "stderr"], pk__gt=run.log_start)
    newest = lines.order_by("-id").values_list("text", flat=True)[:LOOK_BACK]
    return last_words(reversed(newest), count)


def retire(run: Run) -> bool:
    """Removes the endpoint, so that no new calls come. False if it was removed before."""
    return bool(Run.objects.filter(pk=run.pk).exclude(endpoint="").update(endpoint=""))


def stop(run: Run, why: str, *, grace: float | None = None, reason: str = "") -> bool:
    """Ends the run, and stores its last output and the reason.

    Several may call it at once: it returns True for the one that ended the run. A worker that is starting the
    run finds it ended. `grace` is in seconds, by default STOP_GRACE_SECONDS. `reason` is a
    `registry.reasons.Reason`. Raises `UserError` if the runtime cannot end it.
    """
    if not run.is_live:
        return False
    retire(run)
    if run.handle is None:
        if _write_end(run, _still_live(run).filter(handle__isnull=True), why, reason):
            return True
        run.refresh_from_db()  # it was started, or ended, since it was read
        return stop(run, why, grace=grace, reason=reason) if run.is_started else False
    _end(run, settings.STOP_GRACE_SECONDS if grace is None else grace)
    return _write_end(run, _still_live(run), why, reason)


def _write_end(run: Run, rows: RunQuerySet, why: str, reason: str) -> bool:
    about = {"endpoint": "", "ended_at": timezone.now(), "why": why, "reason": reason, "worker": ""}
    if not rows.update(endpoints={}, uses=None, heartbeat_at=None, **about):
        return False
    for name, value in about.items():
        setattr(run, name, value)
    return True


def _end(run: Run, grace: float) -> None:
    try:
        collect(run)
    except UserError as error:
        logger.warning("the last output of %s is lost: %s", run, error)
    runtime_of(run).stop(handle_of(run), grace=grace)


def end_without_a_word(run: Run) -> None:
    """Ends what runs, but does not change the row, because another worker holds it."""
    if run.handle:
        runtime_of(run).stop(handle_of(run), grace=0)


def stop_strays(deployment: Deployment) -> None:
    """Ends runs of this deployment that a lost worker started without storing their handle."""
    runtime = runtimes.runtime(deployment.build.runtime)
    for stray in runtime.strays():
        if stray.deployment_id == deployment.pk:
            runtime.stop(stray.handle, grace=0)
