"""Parses a `server.json` and checks what matters for hosting by the official schema (2025-12-11).

Pure functions.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match

from catalog.canonical import canonical
from hosting.errors import Invalid
from servers.plain_json import flaw_in

SCHEMA_FILE = Path(__file__).parent / "schemas" / "v2025_12_11" / "server.schema.json"
SCHEMA_URL = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
LARGEST = 256 * 1024
NEEDED = ("name", "version")
TRANSPORTS = ("stdio", "streamable-http", "sse")
Document = dict[str, Any]


def parse(text: str | bytes) -> Document:
    """Returns the checked document in `text`. Raises `Invalid` with the first fault that matters."""
    if len(text) > LARGEST:
        raise Invalid(f"The document is larger than {LARGEST // 1024} KiB.", field="document")
    try:
        return checked(orjson.loads(_without_mark(text)))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"This is not JSON: {error}.", field="document") from None


def checked(found: Any) -> Document:
    """Returns the checked document in the schema's spelling; of a registry's answer `{server, _meta}`, its
    server.

    Faults of single packages are reported by `catalog.packages`. Raises `Invalid`.
    """
    given = _server_in(found)
    if flaw := flaw_in(given):
        raise Invalid(f"{'/'.join(flaw.path)[:100] or 'document'}: {flaw.sentence}", field="document")
    document = canonical(given)
    if fault := _fault_of(document):
        raise Invalid(fault, field="document", hint=_hint(document))
    return document


def flaw_of_package(package: Any) -> str:
    """Returns what a canonical package lacks as a sentence; "" if it fits the schema."""
    if not isinstance(package, dict):
        return "It is not a JSON object."
    if not package.get("identifier"):
        return "It names no package: its identifier is missing."
    if not package.get("registryType"):
        return "It does not say where it comes from: its registryType is missing."
    kind = (package.get("transport") or {}).get("type")
    facts = package if kind in TRANSPORTS else {**package, "transport": {"type": "stdio"}}
    error = best_match(_package_validator().iter_errors(facts))
    return f"Its {_where(error)} cannot be read: {_what(error)}." if error else ""


def digest(document: Mapping[str, Any]) -> str:
    """Returns `sha256:<hex>` of the document with sorted keys, so that their order does not matter."""
    ordered = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(ordered.encode()).hexdigest()


@functools.cache
def validator() -> Draft7Validator:
    """Returns the validator of the schema."""
    return Draft7Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))


@functools.cache
def _package_validator() -> Draft7Validator:
    definitions = validator().schema["definitions"]
    return Draft7Validator({"$ref": "#/definitions/Package", "definitions": definitions})


def _without_mark(text: str | bytes) -> str | bytes:
    """Removes the byte order mark that editors on Windows write."""
    return text.removeprefix("\ufeff") if isinstance(text, str) else text.removeprefix(b"\xef\xbb\xbf")


def _server_in(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Invalid("A server.json is a JSON object.", field="document")
    servers = found.get("servers")
    if isinstance(servers, list) and len(servers) == 1 and isinstance(servers[0], dict):
        found = servers[0]
    elif isinstance(servers, list):
        raise Invalid("This is a registry's list: choose one server of it.", field="document")
    if isinstance(found.get("mcpServers"), dict):
        raise Invalid("This is a client's configuration (mcpServers), not a server.json.", field="document")
    server: dict[str, Any] = found["server"] if isinstance(found.get("server"), dict) else found
    return server


def _fault_of(document: Document) -> str:
    """Returns the first fault without whose repair the document describes no server; "" for none."""
    for key in NEEDED:
        if not document.get(key):
            return f"{key}: it is missing."
    facts = {key: document[key] for key in NEEDED}  # faults of packages are reported for each package
    error = best_match(validator().iter_errors({**facts, "description": "-"}))
    return f"{_where(error)}: {_what(error)}." if error else ""


def _where(error: ValidationError) -> str:
    return "/".join(str(part) for part in error.absolute_path) or "document"


def _what(error: ValidationError) -> str:
    message = error.message
    return (message if len(message) < 200 else f"{message[:200]}…").rstrip(".")


def _hint(document: Document) -> str:
    named = str(document.get("$schema", ""))
    if named and "/2025-12-11/" not in named:
        return f"It names another schema ({named[:120]}); this platform reads that of 2025-12-11."
    return ""
