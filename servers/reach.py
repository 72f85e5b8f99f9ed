"""Which addresses of this machine and of private networks an operator named, and people may so name too."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from hosting.errors import SourceError
from hosting.sources import image
from outbound import PrivateAddress, addresses
from registry.errors import INNER


def is_known_registry(host: str) -> bool:
    """The platform's own, and those that a setting names: no stranger chose them."""
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
    """Raises `SourceError` for an image at what plainly is an inner address; names are looked up later."""
    host = image.parse(reference)[0].partition("/")[0]
    if is_known_registry(host):
        return
    try:
        addresses.check_literal(urlsplit(f"//{host}").hostname or "", allow_private=False)
    except PrivateAddress:
        raise SourceError(
            f"{host} is {INNER}: images are not taken from there.",
            hint=f"If they may be, add {host} to REGISTRY_PRIVATE_HOSTS.",
        ) from None
