"""What an image at a registry says of itself."""

from __future__ import annotations

import json
from typing import Any

from registry.client import INDEX_TYPES, Manifest, RegistryClient, read_platform
from registry.errors import RegistryError
from registry.reference import Reference, normalise_platform


def image_config(client: RegistryClient, ref: Reference, platform: str) -> dict[str, Any]:
    """The image config (OCI image spec, config.md) of one platform. Raises `RegistryError`."""
    manifest = client.get_manifest(ref)
    if manifest.media_type in INDEX_TYPES:
        manifest = client.get_manifest(ref.with_digest(_child(manifest, ref, normalise_platform(platform))))
    digest = (manifest.content.get("config") or {}).get("digest")
    if not isinstance(digest, str):
        raise RegistryError(f"{ref} is a {manifest.media_type}, not an image.")
    config = json.loads(client.get_blob(ref, digest))
    if not isinstance(config, dict):
        raise RegistryError(f"The config of {ref} is not a JSON object.")
    return config


def _child(index: Manifest, ref: Reference, platform: str) -> str:
    entries = index.content.get("manifests") or []
    found = [entry for entry in entries if read_platform(entry.get("platform") or {}) == platform]
    if not found:
        raise RegistryError(f"{ref} has no image for {platform}.")
    return str(found[0]["digest"])
