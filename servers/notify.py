"""Writes notices about servers for the channels that want them; `notices` sends them.

Call these functions in the transaction that changes the server, so that both are kept or neither.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from metrics.payload import moment
from notices import outbox
from notices.models import Channel, Event, Notice
from servers import display
from servers.models import Deployment, Server
from servers.wakeups import bus


def failed(server_id: int, reason: str, kind: str, deployment: Deployment | None = None) -> None:
    """Tells channels that a deployment failed, or that a server is down if `deployment` is None.

    Writes nothing more until `recovered`. `kind` is the `error_kind`.
    """
    with transaction.atomic():
        if not outbox.begins(_matter(server_id)):
            return
        server = _server(server_id)
        what = f"deployment #{deployment.number} failed" if deployment else f"is {server.status}"
        about = {"headline": f"{server.name}: {what}", "reason": reason, "error_kind": kind}
        _write(Event.FAILED, server, deployment, {**about, "note": _still_serving(server)})


def recovered(server_id: int, deployment: Deployment | None = None) -> None:
    """Tells channels that the server serves again, if a failure was told before.

    It is sent only after the server has stayed up for a while (see `outbox.ends`).
    """
    with transaction.atomic():
        if outbox.ends(_matter(server_id)):
            server = _server(server_id)
            serving = deployment or server.current_deployment
            by = f" by deployment #{serving.number}" if serving else ""
            _write(Event.RECOVERED, server, serving, {"headline": f"{server.name}: served again{by}"})


def held(server_id: int, reason: str, deployment: Deployment) -> None:
    """Tells channels that a deployment waits for a person's approval."""
    server = _server(server_id)
    about = {
        "headline": f"{server.name}: deployment #{deployment.number} waits for approval",
        "reason": reason,
    }
    _write(Event.HELD, server, deployment, {**about, "note": _still_serving(server)})


def stopped(server_id: int) -> None:
    """Ends what `failed` began without a notice, because a person stopped or deleted the server."""
    with transaction.atomic():
        outbox.forget(_matter(server_id))


def may_hear(notice: Notice) -> bool:
    """Tells whether the channel's owner still sees the server. A notice may wait for days."""
    kind, _, number = notice.matter.rpartition("-")
    server = Server.objects.filter(pk=number).first() if kind == "server" else None
    return server is None or server.is_visible_to(notice.channel.owner)


def _write(event: Event, server: Server, deployment: Deployment | None, about: dict[str, Any]) -> None:
    listening = Channel.objects.all().listening(
        event.value, server=server.pk, owner=server.owner_id, team=server.team_id
    )
    channels = [channel for channel in listening if server.is_visible_to(channel.owner)]
    data = {**about, "server": _about_server(server), "deployment": _about_deployment(deployment)}
    data["links"] = _links(server, deployment)
    payload = {"type": f"server.{event.value}", "timestamp": moment(timezone.now()), "data": data}
    outbox.write(channels, event, _matter(server.pk), payload)
    bus.send_on_commit(bus.NOTICES)


def _about_server(server: Server) -> dict[str, Any]:
    return {"id": server.pk, "name": server.name, "slug": server.slug, "status": server.status}


def _about_deployment(deployment: Deployment | None) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return {
        "id": deployment.pk,
        "number": deployment.number,
        "trigger": deployment.trigger,
        "revision": deployment.build.revision or deployment.wanted_revision,
    }


def _links(server: Server, deployment: Deployment | None) -> dict[str, str]:
    """Returns URLs of the pages of the server and the deployment; none without PUBLIC_URL.

    The deployment's page shows the runbook.
    """
    if not settings.PUBLIC_URL:
        return {}
    links = {"server": settings.PUBLIC_URL + display.server_url(server.pk)}
    if deployment is not None:
        links["deployment"] = settings.PUBLIC_URL + display.deployment_url(deployment.pk)
    return links


def _still_serving(server: Server) -> str:
    if server.serving:
        return f"#{server.serving.number} is still serving."
    return "Nothing serves: clients get an error."


def _server(server_id: int) -> Server:
    return Server.objects.with_current().get(pk=server_id)


def _matter(server_id: int) -> str:
    return f"server-{server_id}"
