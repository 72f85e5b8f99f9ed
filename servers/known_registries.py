"""Which private addresses users may name, because a setting of the operator names them."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from hosting.errors import SourceError
from hosting.sources import image
from outbound import PrivateAddress, addresses
from registry.errors import INNER


def contains(host: str) -> bool:
    """Tells whether a registry (`host[:port]`) is the platform's own or is named in a setting."""
    shared = {prefix.partition("/")[0] for prefix in settings.REGISTRY_SHARED_PREFIXES}
    own = {
        settings.REGISTRY.partition("/")[0],
        settings.REGISTRY_ADDRESS,
        *settings.REGISTRY_INSECURE,
        *shared,
    }
    parts = urlsplit(f"//{host}")
    named = addresses.is_listed(parts.hostname or "", parts.port, settings.REGISTRY_PRIVATE_HOSTS)
    return host in own or named


def check_image(reference: str) -> None:
    """Raises `SourceError` for an image whose host is a literal private address.

    Names are checked later, when they are looked up.
    """
    host = image.parse(reference)[0].partition("/")[0]
    if contains(host):
        return
    try:
        addresses.check_literal(urlsplit(f"//{host}").hostname or "", allow_private=False)
    except PrivateAddress:
        raise SourceError(
            f"{host} is {INNER}: images are not taken from there.",
            hint=f"If they may be, add {host} to REGISTRY_PRIVATE_HOSTS.",
        ) from None
