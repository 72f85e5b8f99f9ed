"""A new server with all that belongs to it, in one transaction: row, secrets, token, archive, deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from access.actor import Actor
from hosting.errors import Invalid
from servers import runtime_choice, services, validation
from servers.models import Deployment, Server
from servers.models.server import GIT_TOKEN, RuntimeChoice, SecretPurpose, SourceKind
from servers.states import Trigger
from servers.uploads import Archive

NOWHERE: Mapping[str, Any] = {}


@transaction.atomic
def take_in(
    *,
    by: Actor,
    fields: Mapping[str, Any],
    trigger: Trigger,
    secrets: Mapping[str, str] | None = None,
    token: str = "",
    archive: Archive | None = None,
    deploy: bool = True,
) -> tuple[Server, Deployment | None]:
    """Creates a server of validated `fields` and deploys it. Raises `Invalid` and `ValidationError`."""
    check_runtime(by=by, wanted=fields.get("runtime", ""))
    check_placement(by=by, wanted=fields.get("placement", {}))
    server = services.create_server(by=by, fields=fields, secrets=secrets)
    set_source_token(server=server, token=token, by=by)
    if archive is not None:
        archive.keep(server)
    return server, services.deploy(server=server, by=by, trigger=trigger) if deploy else None


@transaction.atomic
def change(*, server: Server, fields: Mapping[str, Any], token: str, by: Actor) -> Server:
    """Updates a server and, where one is given, the token of its source. Raises as `take_in` does.

    `dropped` of what is returned are credentials that the server is without now.
    """
    stored = services.locked(server)
    check_runtime(by=by, wanted=fields.get("runtime", stored.runtime), stored=stored.runtime)
    check_placement(by=by, wanted=fields.get("placement", {}), stored=stored.placement)
    changed = services.update_server(server=server, fields=fields, by=by)
    if token:
        set_source_token(server=changed, token=token, by=by)
        changed.dropped = [secret for secret in changed.dropped if secret.name != GIT_TOKEN]
    return changed


def check_runtime(*, by: Actor, wanted: str, stored: str = "") -> None:
    """A process has the rights of the platform's own account: its files, its keys. Where servers are isolated
    otherwise, only an administrator decides that one need not be. Raises `Invalid`."""
    if wanted == stored or wanted != RuntimeChoice.PROCESS or by.is_administrator:
        return
    if runtime_choice.default_runtime() != RuntimeChoice.PROCESS:
        raise Invalid(
            "Only an administrator lets a server run as a process of the platform.", field="runtime"
        )


def check_placement(*, by: Actor, wanted: Mapping[str, Any], stored: Mapping[str, Any] = NOWHERE) -> None:
    """The token of the service account opens the cluster: what that account may is for an administrator to
    give. What was given stays, and anybody who changes the server takes it away. Raises `Invalid`."""
    asks = wanted.get("account_token") and not stored.get("account_token")
    if asks and not by.is_administrator:
        raise Invalid(
            "Only an administrator of the platform gives a server the service account's token.",
            field="placement.account_token",
        )


@transaction.atomic
def attach(*, server: Server, archive: Archive, by: Actor) -> Server:
    """Makes the archive the server's source; what runs stays as it is until the next deployment.

    Where in the archive before it the server lay, it lies in this one.
    """
    stored = services.locked(server)  # nothing is kept for one that is gone
    archive.keep(server)
    stays = validation.clean_archive_options(stored.source) if stored.source_kind == SourceKind.UPLOAD else {}
    fields = {"source_kind": SourceKind.UPLOAD, "source": {**archive.source, **stays}}
    return services.update_server(server=server, fields=fields, by=by)


def set_source_token(*, server: Server, token: str, by: Actor) -> None:
    if token:
        services.set_secret(server=server, name=GIT_TOKEN, value=token, by=by, purpose=SecretPurpose.SOURCE)


def free_slug(name: str) -> str:
    """A slug for `name` that no server has now; two requests at once may still meet at the database."""
    base = slugify(name).replace("_", "-").strip("-")[:40].strip("-") or "server"
    taken = set(Server.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return next(slug for slug in (base, *numbered) if slug not in taken)
