"""Gives access to registries: the platform's login, a client for each registry, and errors for users."""

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
from servers import known_registries
from servers.deploying import registry_advice


@functools.cache
def credentials() -> CredentialStore:
    """Returns the store of the platform's credentials.

    All pushes of a process use one, and so share a refresh.
    """
    command = settings.REGISTRY_REFRESH_COMMAND
    return CredentialStore(
        settings.REGISTRY_AUTH_DOCKERCONFIG, CommandRefresher(command) if command else None
    )


@functools.lru_cache(256)  # images may lie anywhere
def client(host: str, login: Credential | None = None) -> RegistryClient:
    """Returns a client with the platform's login, or with `login` alone if it is given.

    Clients are cached by host and login, so that no login is used with the token of another.
    """
    return RegistryClient(
        host,
        credentials=credentials() if login is None else FixedCredential(login),
        insecure=host in settings.REGISTRY_INSECURE,
        ca_bundle=settings.REGISTRY_CA_BUNDLE,
        address=settings.REGISTRY_ADDRESS if host == settings.REGISTRY.partition("/")[0] else "",
        foreign=not known_registries.contains(host),
    )


def engine_auth(ref: Reference) -> dict[str, str] | None:
    """Returns the login that the engine needs to pull `ref`; None for anonymous. Raises `RuntimeFault`."""
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
    """Translates errors of the registry library into `UserError`; `doing` names the work in them.

    `slug` is that of the server whose push can be resumed; "" if there is none.
    """
    try:
        yield
    except RegistryError as error:
        message = f"{doing} failed: {error.message.rstrip('.')}."
        hint = registry_advice.advice(error, ref, slug)
        raise UserError(
            message, hint=hint, kind=error.kind, reason=error.reason, permanent=error.permanent
        ) from error
