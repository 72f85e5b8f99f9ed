"""The services for servers: what a person or a script can do with them.

Each is one transaction and writes an audit entry under `by`. Messages to workers are sent after the commit.
"""

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
from servers import broker, closing, events, history, notify, queue, settle_status, token_bounds, validation
from servers.models import Deployment, Secret, Server, Token
from servers.models.server import DesiredState, SecretPurpose, Transport
from servers.models.token import Scope
from servers.push_options import NO_OPTIONS, PushOptions
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger


@transaction.atomic
def create_server(
    *, by: Actor, fields: Mapping[str, Any], secrets: Mapping[str, str] | None = None
) -> Server:
    """Makes a server; it is not deployed.

    `fields` are validated columns of `Server`, `secrets` are those of its environment by name. Raises
    `Invalid` and Django's `ValidationError`.
    """
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
    """Changes columns of a server. What runs is not changed until the next deployment.

    If the source is at another origin now, its credentials are removed; `dropped` of the returned server
    holds them. Raises `Conflict` if the server was deleted, `Invalid` and Django's `ValidationError`.
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
    """Removes and returns the credentials that were given for another origin than the source has now."""
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
    """Queues a deployment. It supersedes one that is queued, and waits for one that runs.

    `based_on` is the deployment whose revision `rebuild` and `no-cache` fetch, whose build `same-digest`
    starts, and which `resume` continues. By default it is the current deployment, and for `resume` the newest
    one. `revision` is the commit that `latest` fetches; "" is the newest. Raises `Conflict` if the server is
    being deleted or there is nothing to start or resume, and `Invalid` if `options` do not fit the mode.
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
    """Starts the build of an earlier successful deployment. Raises `Conflict` if `to` is not one."""
    if to.server_id != server.pk or to.status != DeploymentStatus.SUCCEEDED:
        raise Conflict(f"#{to.number} is no successful deployment of {server.name}.")
    return deploy(server=server, by=by, trigger=Trigger.ROLLBACK, mode=Mode.SAME_DIGEST, based_on=to)


@transaction.atomic
def cancel(*, deployment: Deployment, by: Actor) -> Deployment:
    """Ends a queued deployment, or asks a running one to stop. Raises `Conflict` if it has ended."""
    server = locked(deployment.server)
    waits = Deployment.objects.filter(pk=deployment.pk, status=DeploymentStatus.QUEUED).exists()
    if waits and _cancel_queued(server, ON_REQUEST):
        settle_status.settle(deployment.server_id)
        broker.settle_on_commit(deployment.server_id)
    elif not Deployment.objects.open().filter(pk=deployment.pk).update(cancel_requested=True):
        raise Conflict(f"{deployment} is over: there is nothing to cancel.")
    audit.record(action="deployment.cancelled", target=deployment, by=by)
    events.status_changed(deployment.server_id)
    deployment.refresh_from_db()
    return deployment


@transaction.atomic
def stop(*, server: Server, by: Actor) -> None:
    """Cancels open deployments and ends what runs. Raises `Conflict` if the server was deleted."""
    held = locked(server)
    Server.objects.filter(pk=held.pk).update(desired_state=DesiredState.STOPPED, restarts=0, restart_at=None)
    _cancel_open(held)
    audit.record(action="server.stopped", target=held, by=by)
    Server.objects.move(held.pk, ServerStatus.STOPPING)
    notify.stopped(held.pk)
    events.status_changed(held.pk)
    broker.settle_on_commit(held.pk)


def start(*, server: Server, by: Actor, trigger: Trigger) -> Deployment:
    """Starts the current build again, or deploys if there is none. Raises `Conflict` if the server runs."""
    server = _found(Server.objects.with_current(), server)
    if server.serving and server.desired_state == DesiredState.RUNNING:
        raise Conflict(f"{server.name} is running already.", hint="To replace what runs, redeploy it.")
    built = server.current_deployment is not None and server.current_deployment.build.can_start
    mode = Mode.SAME_DIGEST if built else Mode.LATEST
    return deploy(server=server, by=by, trigger=trigger, mode=mode)


@transaction.atomic
def delete(*, server: Server, by: Actor) -> None:
    """Marks the server as deleted, and cancels open deployments.

    The reconciler then removes its runs, images and directories, and its row last.
    """
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
    """Sets or replaces a secret, for the next deployment. Raises `Conflict`, `Invalid` or `ValidationError`.

    `purpose` is one of `SecretPurpose`. `meant_for` is the origin for which a person gives a credential of
    the source: if the source has moved in the meantime, `Invalid` is raised. "" does not check this.
    """
    if not value:
        raise Invalid("A secret needs a value.", field="value")
    if purpose == SecretPurpose.ENVIRONMENT and validation.is_reserved(name):
        raise Invalid(f"{name} is set by the platform: choose another name.", field="name")
    held = locked(server)  # two requests must not both insert it
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
    """Removes a secret. A server that runs keeps it until the next deployment."""
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
    """Makes a token, and returns it with its value, which cannot be read again.

    `server` None opens every server that the owner sees. `policy` holds `calls_per_minute`, `tools_allowed`
    and `tools_denied`. A token that is made with another token gets its bounds (`token_bounds.confine`).
    Raises `Invalid`, `Conflict` and Django's `ValidationError`.
    """
    if server is not None and not server.is_visible_to(owner):
        raise Invalid("There is no such server.", field="server")
    token = Token(owner=owner, server=server, name=name, scope=scope, expires_at=expires_at, **policy)
    token_bounds.confine(token, by)
    value = token.set_new_value()
    token.full_clean()
    token.save()
    opens = {"owner": owner.get_username(), "scope": scope, "server": server and server.slug}
    limits = {"expires_at": token.expires_at, **{name: getattr(token, name) for name in policy}}
    audit.record(action="token.issued", target=token, by=by, after={**opens, **limits})
    return token, value


@transaction.atomic
def revoke_token(*, token: Token, by: Actor) -> None:
    """Revokes a token, and all tokens that were made with it or with one of those."""
    generation = [token]
    while generation:
        for one in generation:
            if Token.objects.filter(pk=one.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
                audit.record(action="token.revoked", target=one, by=by)
        generation = list(Token.objects.filter(made_with__in=[one.pk for one in generation]))


def locked(server: Server) -> Server:
    """Returns the server's row, locked until the transaction ends. Raises `Conflict` if it was deleted."""
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
    """Returns the transport that is likely for a kind of source: HTTP for images, stdio for the others."""
    return Transport.HTTP if source_kind == "image" else Transport.STDIO
