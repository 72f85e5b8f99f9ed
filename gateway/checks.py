"""Django system checks of the gateway's settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

NEEDED_FOR_TRACING = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


@register("mcphost")
def issuer(**_: Any) -> Iterator[CheckMessage]:
    """Checks that the issuer's keys come over https, and that the audience of tokens is not the caller's
    choice.
    """
    if not settings.OAUTH_ISSUER:
        return
    for name in ("OAUTH_ISSUER", "OAUTH_JWKS_URL"):
        url = getattr(settings, name)
        if url and not _is_safe(url):
            yield Error(
                f"{name}={url}: keys that come over plain http can be anyone's.",
                hint="Use https; http is for an authorization server on this machine.",
                id="gateway.E001",
            )
    if not (settings.PUBLIC_URL or settings.OAUTH_AUDIENCE):
        yield Error(
            "OAUTH_ISSUER is set, but neither PUBLIC_URL nor OAUTH_AUDIENCE is.",
            hint="The audience of access tokens would be taken from the Host header, which callers choose.",
            id="gateway.E002",
        )


@register("mcphost")
def tracing(**_: Any) -> Iterator[CheckMessage]:
    """Checks that OpenTelemetry's SDK is installed if TRACING is on."""
    if settings.TRACING and not all(map(_is_installed, NEEDED_FOR_TRACING)):
        yield Error(
            "TRACING is on, but OpenTelemetry's SDK is not installed.",
            hint="pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http",
            id="gateway.E003",
        )


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or _is_this_machine(parts.hostname or ""))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its parent
        return False
