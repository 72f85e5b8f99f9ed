"""Intent: what a person or a script wants done. One transaction each; work starts on commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from access import audit
from access.actor import Actor
from hosting.deadline import ON_REQUEST
from hosting.errors import Conflict, Invalid
from servers import broker, closing, events, history, notify, offspring, queue, settle_status, validation
from servers.models import Deployment, Secret, Server, Token
from servers.models.server import DesiredState, SecretPurpose, Transport
from servers.models.token import Scope
from servers.push_options import NO_OPTIONS, PushOptions
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger


@transaction.atomic
def create_server(
    *, by: Actor, fields: Mapping[str, Any], secrets: Mapping[str, str] | None = None
) -> Server:
    """Makes a server of validated `fields`; `deploy` deploys it. Raises `Invalid`, `ValidationError`."""
    fields = validation.with_build(fields)
    server = Server(owner=by.person, **fields)
    server.full_clean(exclude=["current_deployment"])
    server.save()
    for name, value in (secrets or {}).items():
        set_secret(server=server, name=name, value=value, by=by)
    audit.record(action="server.created", target=server, by=by, after=history.description(fields))
    events.status_changed(server.pk)
    return server


@transaction.atomic
def update_server(*, server: Server, fields: Mapping[str, Any], by: Actor) -> Server:
    """Changes the description; what runs stays as it is until the next deployment.

    A source that lies elsewhere by now has lost its credentials: they are in `dropped` of what is returned.
    """
    stored = locked(server)
    fields = validation.with_build(fields, stored)
    before, after = history.changes(stored, fields)
    for name, value in fields.items():
        setattr(server, name, value)
    server.full_clean(exclude=["current_deployment"])
    server.save(update_fields=[*fields, "updated_at"])
    if after:
        audit.record(action="server.changed", target=server, by=by, before=before, after=after)
    server.dropped = _drop_strangers(server, by)
    events.status_changed(server.pk)
    return server


def _drop_strangers(server: Server, by: Actor) -> list[Secret]:
    """Takes away the credentials that were given for another place than the one where the source is now."""
    here = Server.objects.only("source_kind", "source").get(pk=server.pk).source_origin
    strangers = list(server.secrets.filter(purpose=SecretPurpose.SOURCE).exclude(origin=here))
    for secret in strangers:
        held = {"name": secret.name, "purpose": secret.purpose, "origin": secret.origin}
        audit.record(action="secret.dropped", target=secret, by=by, before=held, after={"origin": here})
    server.secrets.filter(pk__in=[secret.pk for secret in strangers]).delete()
    return strangers


@transaction.atomic
def deploy(
    *,
    server: Server,
    by: Actor,
    trigger: Trigger,
    mode: Mode = Mode.LATEST,
    based_on: Deployment | None = None,
    options: PushOptions = NO_OPTIONS,
    revision: str = "",
) -> Deployment:
    """Queues a deployment. A queued one is superseded; behind a running one it waits.

    `based_on` gives the revision to `rebuild` and the image to start for `same-digest`; the current
    deployment by default. `revision` is the commit that `latest` fetches; "" is the source's newest.
    Raises `Conflict`, or `Invalid` for options that do not fit the mode.
    """
    held = locked(server)
    deployment = queue.add(
        server=held,
        requested_by=by.user,
        trigger=trigger,
        mode=mode,
        based_on=based_on,
        options=options,
        revision=revision,
    )
    asked = {"mode": mode, "trigger": trigger, "based_on": deployment.based_on and deployment.based_on.number}
    audit.record(action="deployment.requested", target=deployment, by=by, after=asked)
    Server.objects.filter(pk=held.pk).update(desired_state=DesiredState.RUNNING, restarts=0, restart_at=None)
    broker.deploy_on_commit(deployment.pk)
    return deployment


def roll_back(*, server: Server, to: Deployment, by: Actor) -> Deployment:
    """Starts what an earlier successful deployment built. Raises `Conflict`."""
    if to.server_id != server.pk or to.status != DeploymentStatus.SUCCEEDED:
        raise Conflict(f"#{to.number} is no successful deployment of {server.name}.")
    return deploy(server=server, by=by, trigger=Trigger.ROLLBACK, mode=Mode.SAME_DIGEST, based_on=to)


@transaction.atomic
def cancel(*, deployment: Deployment, by: Actor) -> Deployment:
    """Ends a queued deployment now, asks a running one to stop. Raises `Conflict` when it is over."""
    server = locked(deployment.server)
    waits = Deployment.objects.filter(pk=deployment.pk, status=DeploymentStatus.QUEUED).exists()
    if waits and _cancel_queued(server, ON_REQUEST):
        settle_status.rest(deployment.server_id)
        broker.settle_on_commit(deployment.server_id)
    elif not Deployment.objects.open().filter(pk=deployment.pk).update(cancel_requested=True):
        raise Conflict(f"{deployment} is over: there is nothing to cancel.")
    audit.record(action="deployment.cancelled", target=deployment, by=by)
    events.status_changed(deployment.server_id)
    deployment.refresh_from_db()
    return deployment


@transaction.atomic
def stop(*, server: Server, by: Actor) -> None:
    """Wants the server stopped: an open deployment is cancelled, what runs is ended."""
    held = locked(server)
    Server.objects.filter(pk=held.pk).update(desired_state=DesiredState.STOPPED, restarts=0, restart_at=None)
    _cancel_open(held)
    audit.record(action="server.stopped", target=held, by=by)
    Server.objects.move(held.pk, ServerStatus.STOPPING)
    notify.stopped(held.pk)
    events.status_changed(held.pk)
    broker.settle_on_commit(held.pk)


def start(*, server: Server, by: Actor, trigger: Trigger) -> Deployment:
    """Starts what was built last, or deploys where nothing was built. Raises `Conflict` when it serves."""
    server = _found(Server.objects.with_current(), server)
    if server.serving and server.desired_state == DesiredState.RUNNING:
        raise Conflict(f"{server.name} is running already.", hint="To replace what runs, redeploy it.")
    built = server.current_deployment is not None and server.current_deployment.build.can_start
    mode = Mode.SAME_DIGEST if built else Mode.LATEST
    return deploy(server=server, by=by, trigger=trigger, mode=mode)


@transaction.atomic
def delete(*, server: Server, by: Actor) -> None:
    """Wants the server gone: runs, images and directories first, the row last."""
    held = locked(server)
    Server.objects.filter(pk=held.pk).update(desired_state=DesiredState.DELETED)
    _cancel_open(held)
    audit.record(action="server.deleted", target=held, by=by)
    Server.objects.move(held.pk, ServerStatus.DELETING)
    notify.stopped(held.pk)
    events.status_changed(held.pk)
    broker.settle_on_commit(held.pk)


@transaction.atomic
def set_secret(
    *,
    server: Server,
    name: str,
    value: str,
    by: Actor,
    purpose: str = SecretPurpose.ENVIRONMENT,
    meant_for: str = "",
) -> Secret:
    """Sets or replaces a secret; the next deployment sees it. Raises `Invalid` or `ValidationError`.

    `meant_for`, where it is given, is the origin that a credential for the source is meant for: where the
    source has moved meanwhile, it is refused.
    """
    if not value:
        raise Invalid("A secret needs a value.", field="value")
    if purpose == SecretPurpose.ENVIRONMENT and validation.is_reserved(name):
        raise Invalid(f"{name} is set by the platform: choose another name.", field="name")
    held = locked(server)  # of two that set it at once, the second replaces it
    origin = held.source_origin if purpose == SecretPurpose.SOURCE else ""
    if purpose == SecretPurpose.SOURCE and not origin:
        raise Invalid("Only a git source has a credential: give it with the URL.", field="purpose")
    if meant_for and meant_for != origin:
        raise Invalid(f"The source is at {origin or 'no such place'} now.", field="origin")
    secret = Secret.objects.filter(server=server, purpose=purpose, name=name).first()
    secret = secret or Secret(server=server, purpose=purpose, name=name)
    secret.seal(value)
    secret.updated_by, secret.origin = by.user, origin
    secret.full_clean(exclude=["sealed"])
    secret.save()
    told = {"name": name, "purpose": purpose, **({"origin": origin} if origin else {})}
    audit.record(action="secret.set", target=secret, by=by, after=told)
    return secret


@transaction.atomic
def remove_secret(*, secret: Secret, by: Actor) -> None:
    """Takes a secret away; what runs keeps it until the next deployment."""
    held = {"name": secret.name, "purpose": secret.purpose}
    audit.record(action="secret.removed", target=secret, by=by, before=held)
    secret.delete()


@transaction.atomic
def issue_token(
    *,
    owner: User,
    by: Actor,
    name: str,
    server: Server | None = None,
    scope: str = Scope.MCP,
    expires_at: datetime | None = None,
    **policy: Any,
) -> tuple[Token, str]:
    """Makes a token; the value is returned this once. `policy`: calls_per_minute and lists of tools.

    One that is asked for with a token stays within that one, and takes from it what is left open. Raises
    `Invalid`, `Conflict` and `ValidationError`.
    """
    if server is not None and not server.is_visible_to(owner):
        raise Invalid("There is no such server.", field="server")
    token = Token(owner=owner, server=server, name=name, scope=scope, expires_at=expires_at, **policy)
    offspring.confine(token, by)
    value = token.set_new_value()
    token.full_clean()
    token.save()
    opens = {"owner": owner.get_username(), "scope": scope, "server": server and server.slug}
    limits = {"expires_at": token.expires_at, **{name: getattr(token, name) for name in policy}}
    audit.record(action="token.issued", target=token, by=by, after={**opens, **limits})
    return token, value


@transaction.atomic
def revoke_token(*, token: Token, by: Actor) -> None:
    """With all that were made with it, and with those, however long that line is."""
    generation = [token]
    while generation:
        for one in generation:
            if Token.objects.filter(pk=one.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
                audit.record(action="token.revoked", target=one, by=by)
        generation = list(Token.objects.filter(made_with__in=[one.pk for one in generation]))


def locked(server: Server) -> Server:
    """The row, until the transaction ends. Raises `Conflict` where it has gone since it was looked up."""
    return _found(Server.objects.locked(), server)


def _found(rows: QuerySet[Server], server: Server) -> Server:
    found = rows.filter(pk=server.pk).first()
    if found is None:
        raise Conflict(f"{server.name} was deleted meanwhile.")
    return found


def _cancel_open(server: Server) -> None:
    _cancel_queued(server, "The server was stopped or deleted meanwhile.")
    running = server.deployments.filter(status=DeploymentStatus.RUNNING)
    running.update(cancel_requested=True)


def _cancel_queued(server: Server, why: str) -> bool:
    return closing.end_queued(server, DeploymentStatus.CANCELLED, told=why, error=why, error_kind="cancelled")


def default_transport(source_kind: str) -> str:
    """Images usually listen; packages and repositories usually speak stdio."""
    return Transport.HTTP if source_kind == "image" else Transport.STDIO
