"""Reads the content that a registry sent without trusting it: any part may be missing, huge, or of another
type.
"""

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
# Storage that does not know manifests sends other types, such as octet-stream and text/plain.
_OF_A_VENDOR = "application/vnd."
UNKNOWN = "unknown/unknown"  # the platform of entries that hold attestations
MAX_MANIFESTS = 1_000  # entries of one index
MAX_LINK = 8_192  # characters of a Link header
_TYPE = re.compile(r"[A-Za-z0-9][!#-.0-9A-Z^_a-z|~]{0,126}/[!#-.0-9A-Z^_a-z|~]{1,127}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def next_page(link: str, path: str) -> str:
    """Returns path and query of the next page in a Link header (RFC 8288); "" for none.

    Its host is ignored.
    """
    found = re.search(r'<([^<>\s]*)> *; *rel="?next"?', link[:MAX_LINK])
    try:
        url = urlsplit(urljoin(path, found[1])) if found else None
    except ValueError:
        url = None
    return f"{url.path}?{url.query}" if url and url.path.startswith("/v2/") else ""


def media_type(value: object) -> str:
    """Returns the value if it is a media type, else ""."""
    return value if isinstance(value, str) and _TYPE.fullmatch(value) else ""


def manifest_type(content: Mapping[str, Any], told: str, doing: str) -> str:
    """Returns the media type of a manifest; "" for what is neither an index nor an image.

    It is the one in the manifest, else `told`, that of the response's header; a type that contradicts the
    content does not count. Raises `RegistryError` for a document that is both an index and an image: two
    readers could take it for two different images (CVE-2021-41190).
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
    """Returns the valid tags of a list (OCI distribution spec, listing tags). Raises `RegistryError`."""
    if not isinstance(tags, list | None):
        raise RegistryError(f"{doing}: the registry answered something that is not a list of tags.")
    return [tag for tag in tags or () if isinstance(tag, str) and _TAG.fullmatch(tag)]


def entries_of(index: Mapping[str, Any], doing: str) -> list[dict[str, Any]]:
    """Returns the entries of an index (OCI image spec, image-index.md). Raises `RegistryError`."""
    entries = index.get("manifests") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RegistryError(f"{doing}: the registry answered something that is not an index of images.")
    if len(entries) > MAX_MANIFESTS:
        raise RegistryError(f"{doing}: an index of more than {MAX_MANIFESTS:,} images.")
    return entries


def digest_in(descriptor: object, doing: str) -> str:
    """Returns the digest of a descriptor (OCI image spec, descriptor.md). Raises `RegistryError`."""
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise RegistryError(f"{doing}: the registry names it by something that is no digest.")
    return digest


def words_in(value: object, doing: str) -> tuple[str, ...]:
    """Returns a command line (OCI image spec, config.md: Entrypoint, Cmd). Raises `RegistryError`."""
    if not isinstance(value, list | None) or not all(isinstance(word, str) for word in value or ()):
        raise RegistryError(f"{doing}: the image's command is not a list of words.")
    return tuple(value or ())


def json_object(body: bytes, doing: str) -> dict[str, Any]:
    """Returns the JSON object in a body. Raises `RegistryError`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RegistryError(f"{doing}: the registry answered something that is not a JSON object.")
    return content


def read_platform(fields: object) -> str:
    """Returns `os/arch[/variant]` of an image config or of an index entry's `platform`;
    `UNKNOWN` if invalid.
    """
    known = fields if isinstance(fields, dict) else {}
    os, architecture = str(known.get("os") or "unknown"), str(known.get("architecture") or "unknown")
    try:
        return normalise_platform("/".join(filter(None, (os, architecture, str(known.get("variant") or "")))))
    except InvalidReference:
        return UNKNOWN


def digest_of(body: bytes, like: str = "") -> str:
    """Returns the digest of a body, by the algorithm of the digest `like`, else SHA-256."""
    algorithm = "sha512" if like.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
