"""A `server.json`: read, unwrapped and held against the official schema (2025-12-11). Pure."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError, best_match

from servers.errors import Invalid
from servers.plain_json import flaw_in

SCHEMA_FILE = Path(__file__).parent / "schemas" / "v2025_12_11" / "server.schema.json"
SCHEMA_URL = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
LARGEST = 256 * 1024
MOST_PROBLEMS = 8
Document = dict[str, Any]


def parse(text: str | bytes) -> Document:
    """The document in `text`, checked. Raises `Invalid` with every fault that fits a screen."""
    if len(text) > LARGEST:
        raise Invalid(f"The document is larger than {LARGEST // 1024} KiB.", field="document")
    try:
        return checked(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"This is not JSON: {error}.", field="document") from None


def checked(found: Any) -> Document:
    """`found` or, of a registry's answer `{server, _meta}`, the server in it. Raises `Invalid`."""
    if not isinstance(found, dict):
        raise Invalid("A server.json is a JSON object.", field="document")
    if isinstance(found.get("servers"), list):
        raise Invalid("This is a registry's list: choose one server of it.", field="document")
    document: Document = found["server"] if isinstance(found.get("server"), dict) else found
    if flaw := flaw_in(document):
        raise Invalid(f"{'/'.join(flaw.path)[:100] or 'document'}: {flaw.sentence}", field="document")
    problems = list(_problems(document))
    if problems:
        shown = " ".join(problems[:MOST_PROBLEMS])
        raise Invalid(shown, field="document", hint=_hint(document))
    return document


def digest(document: Mapping[str, Any]) -> str:
    """`sha256:<hex>` of the document's canonical form: the order of keys does not matter."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


@functools.cache
def validator() -> Draft7Validator:
    return Draft7Validator(json.loads(SCHEMA_FILE.read_text("utf-8")))


def _problems(document: Document) -> Iterator[str]:
    for error in validator().iter_errors(document):
        deepest = best_match([error]) or error
        yield f"{_where(deepest)}: {_what(deepest)}."


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
