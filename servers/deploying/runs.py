"""A deployment's run: its saved handle, its output, its end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction

from hosting.errors import RuntimeFault, UserError
from hosting.last_words import LOOK_BACK, last_words
from hosting.runtimes.base import Handle, RunStatus, Runtime, Stats
from servers import logbook
from servers.deploying import wiring
from servers.models import Deployment, LogLine

logger = logging.getLogger(__name__)
COLLECT_ROUNDS = 50


def handle_of(deployment: Deployment) -> Handle:
    assert deployment.run is not None
    return Handle(**deployment.run)


def save(deployment: Deployment, handle: Handle) -> None:
    deployment.run = {"runtime": handle.runtime, "endpoint": handle.endpoint, "data": dict(handle.data)}
    deployment.output_cursor = ""
    deployment.save(update_fields=["run", "output_cursor"])


def runtime_of(deployment: Deployment) -> Runtime:
    return wiring.runtime(deployment.build.runtime)


def poll(deployment: Deployment) -> RunStatus:
    return runtime_of(deployment).poll(handle_of(deployment))


def survey(deployments: Iterable[Deployment]) -> dict[int, RunStatus | RuntimeFault]:
    """What has become of their runs, by id: each runtime is asked once about all of its own."""
    found: dict[int, RunStatus | RuntimeFault] = {}
    for asked in _by_runtime(deployments):
        seen = _survey(asked)
        found |= {deployment.pk: status for deployment, status in zip(asked, seen, strict=True)}
    return found


def measure(deployments: Iterable[Deployment]) -> None:
    """Keeps what their runs use, for parts that may not ask a runtime; None where nobody knows."""
    for asked in _by_runtime(deployments):
        for deployment, stats in zip(asked, _measure(asked), strict=True):
            uses = stats and {"cpu": round(stats.cpu, 2), "memory_mb": round(stats.memory_bytes / 2**20)}
            if uses != deployment.uses:
                Deployment.objects.filter(pk=deployment.pk, run__isnull=False).update(uses=uses)


def _measure(deployments: list[Deployment]) -> Sequence[Stats | None]:
    try:
        return runtime_of(deployments[0]).measure([handle_of(each) for each in deployments])
    except RuntimeFault:  # a runtime that is not there any more
        return [None] * len(deployments)


def _by_runtime(deployments: Iterable[Deployment]) -> Iterable[list[Deployment]]:
    found: dict[str, list[Deployment]] = {}
    for deployment in deployments:
        found.setdefault(deployment.build.runtime, []).append(deployment)
    return found.values()


def _survey(deployments: list[Deployment]) -> Sequence[RunStatus | RuntimeFault]:
    try:
        return runtime_of(deployments[0]).survey([handle_of(each) for each in deployments])
    except RuntimeFault as fault:  # a runtime that is not there any more
        return [fault] * len(deployments)


def note_endpoints(deployment: Deployment, status: RunStatus) -> None:
    """Replicas come and go: sessions are kept on those that are there."""
    if dict(status.endpoints) != deployment.endpoints:
        Deployment.objects.filter(pk=deployment.pk, run__isnull=False).update(
            endpoints=dict(status.endpoints)
        )


def collect(deployment: Deployment) -> None:
    """Takes new output into the log. Of two that try at once, one does: the cursor is compared and set; the
    other goes on from there, for more may have been written since."""
    redact = deployment.server.redactor()
    for _ in range(COLLECT_ROUNDS):
        cursor = deployment.output_cursor
        lines, after = runtime_of(deployment).output(handle_of(deployment), cursor)
        if after == cursor:
            return
        rows = [
            LogLine(
                server_id=deployment.server_id,
                deployment_id=deployment.pk,
                stream=line.stream,
                at=line.at,
                text=redact(line.text),
            )
            for line in lines
        ]
        with transaction.atomic():
            mine = Deployment.objects.filter(pk=deployment.pk, output_cursor=cursor).update(
                output_cursor=after
            )
            if mine:
                logbook.keep(deployment.server_id, rows)
                deployment.output_cursor = after
        if not mine and not _catch_up(deployment):
            return


def _catch_up(deployment: Deployment) -> bool:
    """Notes how far another has taken the output; False when the run has ended or is another one by now."""
    row = Deployment.objects.filter(pk=deployment.pk).values_list("run", "output_cursor").first()
    if row is None or row[0] != deployment.run:
        return False
    deployment.output_cursor = row[1]
    return True


def last_lines(deployment: Deployment, count: int) -> list[str]:
    lines = deployment.log_lines.filter(stream__in=["stdout", "stderr"]).order_by("-id")
    newest = lines.values_list("text", flat=True)[:LOOK_BACK]
    return last_words(reversed(newest), count)


def retire(deployment: Deployment) -> bool:
    """No new call goes there from now on. False when somebody did this before."""
    return bool(Deployment.objects.filter(pk=deployment.pk).exclude(endpoint="").update(endpoint=""))


def stop(deployment: Deployment, grace: float | None = None) -> bool:
    """Ends the run and forgets its handle; what it wrote last is kept. Safe to call again, and by several
    at once: True for the one that ended it.
    """
    if deployment.run is None:
        return False
    retire(deployment)
    seconds = settings.STOP_GRACE_SECONDS if grace is None else grace
    try:
        collect(deployment)
    except UserError as error:
        logger.warning("the last output of %s is lost: %s", deployment, error)
    runtime_of(deployment).stop(handle_of(deployment), grace=seconds)
    ended = Deployment.objects.filter(pk=deployment.pk, run__isnull=False).update(
        run=None, endpoint="", endpoints={}, uses=None
    )
    deployment.run, deployment.endpoint = None, ""
    return bool(ended)


def end_without_a_word(deployment: Deployment) -> None:
    """Ends the run and leaves the row alone: it is somebody else's now."""
    if deployment.run is not None:
        runtime_of(deployment).stop(handle_of(deployment), grace=0)


def stop_strays(deployment: Deployment) -> None:
    """Ends runs of this deployment that a lost worker started and could not save."""
    runtime = runtime_of(deployment)
    for stray in runtime.strays():
        if stray.deployment_id == deployment.pk:
            runtime.stop(stray.handle, grace=0)
