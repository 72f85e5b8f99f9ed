"""Reads the configuration of an image from its registry."""

from __future__ import annotations

from typing import Any

from registry.client import RegistryClient
from registry.content import words_in
from registry.reference import Reference


def start_command(
    client: RegistryClient, ref: Reference, platform: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns ENTRYPOINT and CMD of one platform's image. Raises `RegistryError`."""
    config, doing = image_config(client, ref, platform).get("config"), f"Reading the config of {ref}"
    known = config if isinstance(config, dict) else {}
    return words_in(known.get("Entrypoint"), doing), words_in(known.get("Cmd"), doing)


def image_config(client: RegistryClient, ref: Reference, platform: str) -> dict[str, Any]:
    """Returns the image config (OCI image spec, config.md) of one platform. Raises `RegistryError`."""
    return client.config_of(ref, client.child_of(ref, client.get_manifest(ref), platform))
