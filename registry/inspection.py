"""What an image at a registry says of itself."""

from __future__ import annotations

from typing import Any

from registry.client import RegistryClient
from registry.reference import Reference


def image_config(client: RegistryClient, ref: Reference, platform: str) -> dict[str, Any]:
    """The image config (OCI image spec, config.md) of one platform. Raises `RegistryError`."""
    return client.config_of(ref, client.child_of(ref, client.get_manifest(ref), platform))
