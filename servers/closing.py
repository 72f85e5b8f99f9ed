"""Ends deployments that no worker holds: queued ones, and those whose worker was lost.

If a worker had begun one, its end is recorded with the same events as other ends.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from servers import timeline
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, Trigger

GAVE_WAY = "A newer deployment takes its place."


def end_queued(server: Server, status: DeploymentStatus, *, told: str, **changes: str) -> bool:
    """Ends the queued deployment of the server with `status`, and tells whether there was one.

    The caller has locked the server's row. `told` is the reason in the events, which are written only if a
    worker had begun the deployment. `changes` are further columns to set.
    """
    ended = False
    for waiting in server.deployments.filter(status=DeploymentStatus.QUEUED).select_related("based_on"):
        still = Deployment.objects.filter(pk=waiting.pk, status=DeploymentStatus.QUEUED)
        if still.update(status=status, finished_at=timezone.now(), **changes):  # else a worker was quicker
            ended = True
            _tell(waiting, told)
    return ended


@transaction.atomic
def put_back(deployment: Deployment) -> bool:
    """Puts a running deployment back into the queue, or ends it as superseded if a newer one waits there.

    Returns False if the worker that `deployment` was read with does not hold it any more.
    """
    back = Deployment.objects.put_back(deployment)
    if back and Deployment.objects.filter(pk=deployment.pk, status=DeploymentStatus.SUPERSEDED).exists():
        _tell(deployment, GAVE_WAY)
    return back


def _tell(deployment: Deployment, why: str) -> None:
    if deployment.started_at is None:
        return
    outcome = {"error": why, "error_kind": "cancelled", "duration_ms": deployment.ms_so_far}
    about = {"number": deployment.number}
    if deployment.trigger == Trigger.ROLLBACK:
        to = {"to": deployment.based_on.number if deployment.based_on else 0}
        timeline.record(deployment.server_id, deployment.pk, "rollback_failed", {**about, **to, **outcome})
    timeline.record(deployment.server_id, deployment.pk, "deploy_cancelled", {**about, **outcome})
