"""Makes or changes a server with its secrets, token, archive and first deployment, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from access.actor import Actor
from hosting.errors import Invalid
from hosting.runtimes.kinds import SHARING_ACCOUNT
from servers import runtime_choice, services, validation
from servers.models import Deployment, Server
from servers.models.server import GIT_TOKEN, SecretPurpose, SourceKind
from servers.states import Trigger
from servers.uploads import Archive

NOWHERE: Mapping[str, Any] = {}


@transaction.atomic
def create(
    *,
    by: Actor,
    fields: Mapping[str, Any],
    trigger: Trigger,
    secrets: Mapping[str, str] | None = None,
    token: str = "",
    archive: Archive | None = None,
    deploy: bool = True,
) -> tuple[Server, Deployment | None]:
    """Makes a server and deploys it, or only makes it if `deploy` is False. Returns both.

    `fields` are validated columns of `Server`. `secrets` are those of its environment by name, `token` is the
    credential for its source. `archive` is then kept for the server. Raises `Invalid` and Django's
    `ValidationError`.
    """
    check_runtime(by=by, wanted=fields.get("runtime", ""))
    check_placement(by=by, wanted=fields.get("placement", {}))
    server = services.create_server(by=by, fields=fields, secrets=secrets)
    set_source_token(server=server, token=token, by=by)
    if archive is not None:
        archive.keep(server)
    return server, services.deploy(server=server, by=by, trigger=trigger) if deploy else None


@transaction.atomic
def change(*, server: Server, fields: Mapping[str, Any], token: str, by: Actor) -> Server:
    """Changes a server and, if `token` is not empty, the credential for its source. Raises as `create` does.

    `dropped` of the returned server are the credentials that were removed because the source has moved.
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
    """Raises `Invalid` if `by` may not let a server run as a process of the platform.

    Such a process has the rights of the platform's account, and so can read its files and keys. If the
    default runtime isolates servers, only an administrator may choose it. A server that has it already
    (`stored`) may keep it.
    """
    if wanted == stored or wanted not in SHARING_ACCOUNT or by.is_administrator:
        return
    if runtime_choice.default_runtime() not in SHARING_ACCOUNT:
        raise Invalid(
            "Only an administrator lets a server run as a process of the platform.", field="runtime"
        )


def check_placement(*, by: Actor, wanted: Mapping[str, Any], stored: Mapping[str, Any] = NOWHERE) -> None:
    """Raises `Invalid` if `by` may not give a server the service account's token, which opens the cluster.

    Only an administrator may give it. Anybody who may change the server can keep it or take it away.
    """
    asks = wanted.get("account_token") and not stored.get("account_token")
    if asks and not by.is_administrator:
        raise Invalid(
            "Only an administrator of the platform gives a server the service account's token.",
            field="placement.account_token",
        )


@transaction.atomic
def attach(*, server: Server, archive: Archive, by: Actor) -> Server:
    """Makes the archive the server's source. The server that runs is not changed until the next deployment.

    If the source was an archive before, its subdirectory is kept. Raises `Conflict` if the server was
    deleted, and `TooLarge`.
    """
    stored = services.locked(server)  # first, so that no archive is kept for a deleted server
    archive.keep(server)
    stays = validation.clean_archive_options(stored.source) if stored.source_kind == SourceKind.UPLOAD else {}
    fields = {"source_kind": SourceKind.UPLOAD, "source": {**archive.source, **stays}}
    return services.update_server(server=server, fields=fields, by=by)


def set_source_token(*, server: Server, token: str, by: Actor) -> None:
    """Sets the credential for the source, if `token` is not empty. Raises as `services.set_secret` does."""
    if token:
        services.set_secret(server=server, name=GIT_TOKEN, value=token, by=by, purpose=SecretPurpose.SOURCE)


def free_slug(name: str) -> str:
    """Returns a slug for `name` that no server has now. Another request may take it before it is saved."""
    base = slugify(name).replace("_", "-").strip("-")[:40].strip("-") or "server"
    taken = set(Server.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return next(slug for slug in (base, *numbered) if slug not in taken)
