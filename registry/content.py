"""Reads what a registry sent without trusting it: any part may be missing, huge, or of another kind."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from registry.errors import RegistryError
from registry.reference import InvalidReference, is_digest, normalise_platform

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
INDEX_TYPES = frozenset({DOCKER_LIST, OCI_INDEX})
IMAGE_TYPES = frozenset({DOCKER_MANIFEST, OCI_MANIFEST})
_OF_A_VENDOR = (
    "application/vnd."  # others, such as octet-stream and text/plain, are of storage that knows no better
)
UNKNOWN = "unknown/unknown"  # the platform of attestations
MAX_MANIFESTS = 1_000  # of one index
MAX_LINK = 8_192  # characters of a header that leads to the next page
_TYPE = re.compile(r"[A-Za-z0-9][!#-.0-9A-Z^_a-z|~]{0,126}/[!#-.0-9A-Z^_a-z|~]{1,127}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def next_page(link: str, path: str) -> str:
    """Path and query of the next page (RFC 8288); whatever host the link names, ours is asked."""
    found = re.search(r'<([^<>\s]*)> *; *rel="?next"?', link[:MAX_LINK])
    try:
        url = urlsplit(urljoin(path, found[1])) if found else None
    except ValueError:
        url = None
    return f"{url.path}?{url.query}" if url and url.path.startswith("/v2/") else ""


def media_type(value: object) -> str:
    """A media type, "" for what is none."""
    return value if isinstance(value, str) and _TYPE.fullmatch(value) else ""


def manifest_type(content: Mapping[str, Any], told: str, doing: str) -> str:
    """The media type of a manifest: its own, else what the answer's header has `told`, unless its shape shows
    another kind; "" for what is neither image nor index. Raises `RegistryError` for what looks like both,
    which two readers would take for two images (CVE-2021-41190).
    """
    is_index = isinstance(content.get("manifests"), list)
    is_image = isinstance(content.get("config"), dict) or isinstance(content.get("layers"), list)
    if is_index and is_image:
        raise RegistryError(f"{doing}: what the registry sent is both an index and an image.")
    for kind in (media_type(content.get("mediaType")), told):
        contradicted = (is_index and kind in IMAGE_TYPES) or (is_image and kind in INDEX_TYPES)
        if kind.startswith(_OF_A_VENDOR) and not contradicted:
            return kind
    return OCI_INDEX if is_index else OCI_MANIFEST if is_image else ""


def tags_in(tags: object, doing: str) -> list[str]:
    if not isinstance(tags, list | None):
        raise RegistryError(f"{doing}: the registry answered something that is not a list of tags.")
    return [tag for tag in tags or () if isinstance(tag, str) and _TAG.fullmatch(tag)]


def entries_of(index: Mapping[str, Any], doing: str) -> list[dict[str, Any]]:
    """The entries of an index. Raises `RegistryError`."""
    entries = index.get("manifests") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RegistryError(f"{doing}: the registry answered something that is not an index of images.")
    if len(entries) > MAX_MANIFESTS:
        raise RegistryError(f"{doing}: an index of more than {MAX_MANIFESTS:,} images.")
    return entries


def digest_in(descriptor: object, doing: str) -> str:
    """The digest of a descriptor (OCI image spec, descriptor.md). Raises `RegistryError`."""
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise RegistryError(f"{doing}: the registry names it by something that is no digest.")
    return digest


def words_in(value: object, doing: str) -> tuple[str, ...]:
    """A command line (OCI image spec, config.md: Entrypoint, Cmd). Raises `RegistryError`."""
    if not isinstance(value, list | None) or not all(isinstance(word, str) for word in value or ()):
        raise RegistryError(f"{doing}: the image's command is not a list of words.")
    return tuple(value or ())


def json_object(body: bytes, doing: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RegistryError(f"{doing}: the registry answered something that is not a JSON object.")
    return content


def read_platform(fields: object) -> str:
    """`os/arch[/variant]` of an image config or of an index entry's `platform`, normalised."""
    known = fields if isinstance(fields, dict) else {}
    os, architecture = str(known.get("os") or "unknown"), str(known.get("architecture") or "unknown")
    try:
        return normalise_platform("/".join(filter(None, (os, architecture, str(known.get("variant") or "")))))
    except InvalidReference:
        return UNKNOWN


def digest_of(body: bytes, like: str = "") -> str:
    """By the algorithm of the digest `like`, SHA-256 where there is none."""
    algorithm = "sha512" if like.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
