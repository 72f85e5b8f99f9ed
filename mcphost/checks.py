"""Checks of the settings that need the machine: files, keys and directories as they are at the start.

Modules that load slowly are imported in the check that needs them, because every process loads this file.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from hosting.errors import RuntimeFault
from hosting.runtimes.kinds import SHARING_ACCOUNT
from servers import as_root
from servers.models.placement import is_network

TAG = "mcphost"


@register(TAG)
def encryption_keys(**_: Any) -> Iterator[CheckMessage]:
    for number, key in enumerate(settings.SECRET_ENCRYPTION_KEYS, 1):
        if not _is_fernet_key(key):
            yield Error(
                f"SECRET_ENCRYPTION_KEYS: key {number} is no Fernet key (it is not shown).",
                hint="A Fernet key is 32 random bytes in URL-safe base64: 44 characters.",
                id="mcphost.E001",
            )


@register(TAG)
def runtime(**_: Any) -> Iterator[CheckMessage]:
    if settings.CONTAINER_RUNTIME == "kubernetes" and not settings.REGISTRY:
        yield Error(
            "CONTAINER_RUNTIME=kubernetes: nodes pull what they run, and REGISTRY is not set.",
            hint="Set REGISTRY to one that the nodes reach too.",
            id="mcphost.E002",
        )


@register(TAG)
def root(**_: Any) -> Iterator[CheckMessage]:
    """Warns about servers that are processes of root. For `auto`, `up` does: it finds out the runtime."""
    if settings.CONTAINER_RUNTIME in SHARING_ACCOUNT and as_root.is_root():
        yield Warning(
            f"CONTAINER_RUNTIME={settings.CONTAINER_RUNTIME}: {as_root.AS_ROOT}",
            hint=as_root.NOT_AS_ROOT,
            id="mcphost.W001",
        )


@register(TAG)
def kubernetes(**_: Any) -> Iterator[CheckMessage]:
    """Checks the configuration of the client only. `up` reports whether the API server answers."""
    runs_there = settings.CONTAINER_RUNTIME == "kubernetes" and settings.REGISTRY
    if not runs_there and not settings.K8S_CONTEXT:
        return
    from hosting.runtimes import kube_client

    try:
        kube_client.configured(settings.K8S_CONTEXT)
    except RuntimeFault as fault:
        name = "K8S_CONTEXT" if settings.K8S_CONTEXT else "CONTAINER_RUNTIME"
        yield Error(f"{name}={getattr(settings, name)}: {fault.message}", hint=fault.hint, id="mcphost.E006")


@register(TAG)
def caller_networks(**_: Any) -> Iterator[CheckMessage]:
    for network in settings.K8S_CALLER_NETWORKS:
        if not is_network(network):
            yield Error(
                f"K8S_CALLER_NETWORKS={network}: that is no network.",
                hint="Write networks as 10.0.0.0/16, separated by commas.",
                id="mcphost.E007",
            )


@register(TAG)
def registry_credentials(**_: Any) -> Iterator[CheckMessage]:
    path = settings.REGISTRY_AUTH_DOCKERCONFIG
    if not path:
        return
    from registry.dockerconfig import DockerConfig
    from registry.errors import CredentialError

    try:
        oddities = list(DockerConfig.read(path).oddities())
    except CredentialError as fault:
        yield Error(
            f"REGISTRY_AUTH_DOCKERCONFIG={path}:{_after(path, fault.message)}",
            hint="It must be a docker config.json, or the Secret that holds one, that this process can read.",
            id="mcphost.E003",
        )
        return
    for oddity in oddities:
        yield Warning(
            f"REGISTRY_AUTH_DOCKERCONFIG={path}:{_after(path, oddity)}",
            hint="Correct it, or whatever it is for is pushed and pulled without a login.",
            id="mcphost.W002",
        )


@register(TAG)
def authorities(**_: Any) -> Iterator[CheckMessage]:
    for name in ("REGISTRY_CA_BUNDLE", "BUILD_CA_BUNDLE"):
        path = getattr(settings, name)
        if path and not _holds_certificates(path):
            yield Error(
                f"{name}={path}: it holds no certificate that can be read.",
                hint="It must be a PEM file: -----BEGIN CERTIFICATE-----, once for each authority.",
                id="mcphost.E008",
            )


@register(TAG)
def public_url(**_: Any) -> Iterator[CheckMessage]:
    url = urlsplit(settings.PUBLIC_URL)
    if settings.PUBLIC_URL and (not url.hostname or url.path or url.query or url.fragment):
        yield Error(
            f"PUBLIC_URL={settings.PUBLIC_URL}: it must be a scheme and a host, and nothing behind them.",
            hint="For example https://mcp.example.org, or http://mcp.example.org:3000.",
            id="mcphost.E004",
        )


@register(TAG)
def single_sign_on(**_: Any) -> Iterator[CheckMessage]:
    issuer, configured = urlsplit(settings.OIDC_ISSUER), settings.OIDC_ISSUER and settings.OIDC_CLIENT_ID
    if settings.OIDC_ISSUER and not settings.OIDC_CLIENT_ID:
        yield Error(
            "OIDC_ISSUER is set, but OIDC_CLIENT_ID is not.",
            hint="Register a client at the provider; OIDC_CLIENT_SECRET where it is a confidential one.",
            id="mcphost.E020",
        )
    if issuer.scheme == "http" and issuer.hostname not in ("localhost", "127.0.0.1", "::1"):
        yield Error(
            f"OIDC_ISSUER={settings.OIDC_ISSUER}: it must be https, or who listens can enter.",
            id="mcphost.E021",
        )
    if not settings.PASSWORD_LOGIN and not configured:
        yield Error(
            "PASSWORD_LOGIN=false without an OpenID provider: nobody could enter.",
            hint="Set OIDC_ISSUER and OIDC_CLIENT_ID.",
            id="mcphost.E022",
        )
    from access.sso import groups

    try:
        groups.rules(settings.OIDC_TEAM_GROUPS)
    except ValueError as error:
        yield Error(
            f"OIDC_TEAM_GROUPS: {error}",
            hint="Entries such as weather-ops=Weather:operator, separated by commas.",
            id="mcphost.E023",
        )


@register(TAG)
def data_directory(**_: Any) -> Iterator[CheckMessage]:
    nearest = next(path for path in (settings.DATA_DIR, *settings.DATA_DIR.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield Error(
            f"DATA_DIR={settings.DATA_DIR}: {nearest} is no directory that this process can write to.",
            hint="Set DATA_DIR to one, or change its owner.",
            id="mcphost.E005",
        )


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def _holds_certificates(path: Path) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except OSError:  # also ssl's errors
        return False
    return context.cert_store_stats()["x509"] > 0


def _after(path: Path, message: str) -> str:
    return message.removeprefix(str(path)).removeprefix(":")
