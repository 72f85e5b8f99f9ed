"""How the platform speaks to registries: its login, a client for each, and what is told of a failure."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from hosting.errors import RuntimeFault, UserError
from registry.client import RegistryClient
from registry.commands import CommandRefresher
from registry.credentials import Credential, CredentialStore, FixedCredential
from registry.errors import RegistryError
from registry.reference import Reference
from servers import reach
from servers.deploying import registry_advice


@functools.cache
def credentials() -> CredentialStore:
    """One per process, so that servers and platforms which push at the same time share a refresh."""
    command = settings.REGISTRY_REFRESH_COMMAND
    return CredentialStore(
        settings.REGISTRY_AUTH_DOCKERCONFIG, CommandRefresher(command) if command else None
    )


@functools.lru_cache(256)  # images may lie anywhere
def client(host: str, login: Credential | None = None) -> RegistryClient:
    """With the platform's login, or with `login` alone: whoever asks with another has another client, and no
    token of theirs."""
    return RegistryClient(
        host,
        credentials=credentials() if login is None else FixedCredential(login),
        insecure=host in settings.REGISTRY_INSECURE,
        ca_bundle=settings.REGISTRY_CA_BUNDLE,
        address=settings.REGISTRY_ADDRESS if host == settings.REGISTRY.partition("/")[0] else "",
        foreign=not reach.is_known_registry(host),
    )


def engine_auth(ref: Reference) -> dict[str, str] | None:
    """What the engine is told for a pull of `ref`; None for anonymous. Raises `RuntimeFault`."""
    try:
        credential = credentials().for_host(ref.host, ref.repository)
    except RegistryError as error:
        raise RuntimeFault(
            f"There are no credentials to pull from {ref.host} with: {error.message}",
            hint="Correct what REGISTRY_AUTH_DOCKERCONFIG names.",
            kind=error.kind,
            reason=error.reason,
        ) from error
    return None if credential.anonymous else credential.engine_auth(ref.host)


@contextmanager
def faults(doing: str, ref: Reference, slug: str = "") -> Iterator[None]:
    """Turns the registry library's errors into ones that a user can be told; `doing` names the work on `ref`.

    `slug` is the server's whose push can be resumed.
    """
    try:
        yield
    except RegistryError as error:
        message = f"{doing} failed: {error.message.rstrip('.')}."
        hint = registry_advice.advice(error, ref, slug)
        raise UserError(
            message, hint=hint, kind=error.kind, reason=error.reason, permanent=error.permanent
        ) from error
