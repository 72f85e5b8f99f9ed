"""Translates a `server.json` as publishers write it into the shape of the schema (2025-12-11). Pure
functions.

A document is not refused for details that do not matter for hosting: older spellings (the registry's schemas
of May to September 2025), nulls and empty objects of a generator, a single value in place of a list, numbers
and booleans in place of text. Nothing is guessed that could start another program: what the document leaves
open stays open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from catalog import canonical_inputs, identifiers
from catalog.canonical_inputs import text

Found = dict[str, Any]

OLDER = {
    "website_url": "websiteUrl",
    "registry_type": "registryType",
    "registry_base_url": "registryBaseUrl",
    "runtime_hint": "runtimeHint",
    "runtime_arguments": "runtimeArguments",
    "package_arguments": "packageArguments",
    "environment_variables": "environmentVariables",
    "file_sha256": "fileSha256",
    "transport_type": "type",
}
KINDS = {"docker": "oci", "docker-hub": "oci", "dockerhub": "oci", "container": "oci"}
TRANSPORTS = {"http": "streamable-http", "streamablehttp": "streamable-http"}
UNSAID_URL = "http://localhost:8000/mcp"
SHELL_VARIABLE = re.compile(r"\$\{([^{}]+)\}")


def canonical(found: Mapping[str, Any]) -> Found:
    """Returns the same document in the schema's spelling; `_meta` and unknown keys are not changed."""
    document = _in_schemas_words({k: v for k, v in found.items() if k != "_meta"})
    detail = document.pop("version_detail", None)
    if "version" not in document and isinstance(detail, dict):
        document["version"] = detail.get("version")
    document = _with_texts(document, "version", "title", "websiteUrl")
    document["description"] = text(document.get("description")) or ""
    document |= _repository(document.pop("repository", None))
    document |= _list(document, "packages", _package) | _list(document, "remotes", _remote)
    if isinstance(found.get("_meta"), dict):
        document["_meta"] = found["_meta"]
    return {key: value for key, value in document.items() if value is not None}


def _in_schemas_words(found: Mapping[str, Any]) -> Found:
    """Removes nulls and renames older keys; a key in the current spelling wins."""
    kept = {key: value for key, value in found.items() if value is not None}
    older = {OLDER[key]: value for key, value in kept.items() if key in OLDER}
    return older | {key: value for key, value in kept.items() if key not in OLDER}


def _with_texts(found: Mapping[str, Any], *keys: str) -> Found:
    """Converts the values of these keys to text, and removes empty ones."""
    texts = {key: text(found[key]) for key in keys if key in found}
    return {key: value for key, value in {**found, **texts}.items() if key not in keys or value}


def _list(document: Mapping[str, Any], key: str, each: Callable[[Found], Found]) -> Found:
    """Returns `{key: list}`, `{key: None}` if there is none; a single object becomes a list of one."""
    found = document.get(key)
    if not found:
        return {key: None}
    items = [item for item in (found if isinstance(found, list) else [found]) if item not in ({}, None)]
    return {key: [each(item) if isinstance(item, dict) else item for item in items] or None}


def _repository(found: Any) -> Found:
    if isinstance(found, str):
        found = {"url": found}
    if not isinstance(found, dict) or not isinstance(found.get("url"), str) or not found["url"]:
        return {}
    return {"repository": {"source": "", **found}}


def _remote(found: Found) -> Found:
    remote = _in_schemas_words(found)
    return {**remote, "type": _transport_type(remote.get("type"))}


def _package(found: Found) -> Found:
    package = _with_names_of_may(_in_schemas_words(found))
    package = _with_texts(package, "identifier", "version", "registryBaseUrl", "runtimeHint", "fileSha256")
    if package.get("version") in identifiers.NEWEST:
        package.pop("version", None)
    kind = (text(package.get("registryType")) or "").strip().lower()
    package["registryType"] = KINDS.get(kind, kind)
    package["transport"] = _transport(package.get("transport"))
    for key in ("runtimeArguments", "packageArguments"):
        package |= _inputs(package, key, canonical_inputs.argument)
    package |= _inputs(package, "environmentVariables", canonical_inputs.variable)
    return {key: value for key, value in package.items() if value is not None}


def _with_names_of_may(found: Found) -> Found:
    """Renames the keys of the first schema (`registry_name`, `name`) and the key `registry`."""
    package = dict(found)
    old_kind, name = package.pop("registry_name", None), package.pop("name", None)
    kind = package.pop("registry", None)
    if isinstance(kind, str) or isinstance(old_kind, str):
        package.setdefault("registryType", kind if isinstance(kind, str) else old_kind)
    if isinstance(name, str):
        package.setdefault("identifier", name)
    return package


def _inputs(package: Mapping[str, Any], key: str, each: Callable[[Any], Found]) -> Found:
    found = package.get(key)
    if isinstance(found, dict):
        found = canonical_inputs.listed(found)
    elif isinstance(found, str):
        found = [found]
    items = [item for item in found if item not in ({}, None)] if isinstance(found, list) else []
    return {key: [each(item) for item in items] or None}


def _transport(found: Any) -> Found:
    """Returns the transport; stdio if none is named, as in the schema of May 2025."""
    if isinstance(found, list):
        found = found[0] if found else None
    if isinstance(found, str):
        found = {"type": found}
    if not isinstance(found, dict) or not found:
        return {"type": "stdio"}
    kind = _transport_type(found.get("type")) or ("streamable-http" if found.get("url") else "stdio")
    if kind not in ("streamable-http", "sse"):
        return {"type": kind}
    return {**found, "type": kind, "url": _url(found.get("url"))}


def _transport_type(found: Any) -> str:
    kind = (text(found) or "").strip().lower().replace("_", "-")
    return TRANSPORTS.get(kind.replace("-", ""), kind)


def _url(found: Any) -> str:
    url = SHELL_VARIABLE.sub(r"{\1}", (text(found) or "").strip())
    if url.startswith("/"):
        return UNSAID_URL.removesuffix("/mcp") + url
    if not url:
        return UNSAID_URL
    return url if "://" in url else f"http://{url}"
