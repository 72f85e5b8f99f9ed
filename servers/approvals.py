"""A person approves or declines deployments that the schema gate holds. Each change is one transaction."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from access import audit
from access.actor import Actor
from hosting.errors import Conflict
from servers import broker, events, services, timeline
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, Mode, Trigger


@transaction.atomic
def approve(*, deployment: Deployment, by: Actor, trigger: Trigger) -> Deployment:
    """Deploys the build of the held deployment again (mode `same-digest`), and returns the new deployment.

    The held deployment becomes `superseded`. The new one passes its own health check. Raises `Conflict` if
    the deployment is not held any more, or if its build is gone.
    """
    _decide(deployment, DeploymentStatus.SUPERSEDED)
    made = services.deploy(
        server=deployment.server, by=by, trigger=trigger, mode=Mode.SAME_DIGEST, based_on=deployment
    )
    about = {"number": deployment.number, "as": made.number}
    timeline.record(deployment.server_id, deployment.pk, "schema_approved", about)
    audit.record(action="deployment.approved", target=deployment, by=by, after=about)
    return made


@transaction.atomic
def decline(*, deployment: Deployment, by: Actor) -> Deployment:
    """Makes the held deployment `cancelled`, and returns it. The deployment that serves is not changed.

    Raises `Conflict` if the deployment is not held any more.
    """
    who = f" by {by.user.get_username()}" if by.user else ""
    _decide(deployment, DeploymentStatus.CANCELLED, error=f"Declined{who}: {deployment.error}")
    about = {"number": deployment.number}
    timeline.record(deployment.server_id, deployment.pk, "schema_declined", about)
    audit.record(action="deployment.declined", target=deployment, by=by)
    broker.settle_on_commit(deployment.server_id)
    deployment.refresh_from_db()
    return deployment


def _decide(deployment: Deployment, to: DeploymentStatus, **changes: str) -> None:
    Server.objects.locked().get(pk=deployment.server_id)
    waiting = Deployment.objects.filter(status=DeploymentStatus.HELD)
    if not waiting.move(deployment.pk, to, finished_at=timezone.now(), **changes):
        raise Conflict(f"{deployment} does not wait for approval.")
    events.status_changed(deployment.server_id)
