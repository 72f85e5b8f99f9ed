"""What the providers share: headers, bodies, signatures, lists of changed paths. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import orjson

from hooks.push import MOST_PATHS, Malformed, NotSigned, Verified

Headers = Mapping[str, str]
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF = re.compile(r"[^\x00-\x20\x7f]{1,300}")
FORM, FORM_FIELDS = "application/x-www-form-urlencoded", 10


class Provider(Protocol):
    """One file per provider. `headers` have lower-case names; `now` is in seconds since 1970."""

    label: str

    def verified(self, headers: Headers, body: bytes, secrets: Sequence[str], now: float) -> Verified:
        """Raises `NotSigned`, `Stale` or `Malformed`."""


def check_hex_hmac(given: str, body: bytes, secrets: Sequence[str]) -> None:
    """`given` is the lower-case hexadecimal HMAC-SHA256 of the body with one of the secrets."""
    wanted = [hmac.digest(secret.encode(), body, hashlib.sha256).hex() for secret in secrets]
    matches = [hmac.compare_digest(given.encode(), one.encode()) for one in wanted]
    if not any(matches):
        raise NotSigned("No secret of this webhook made the signature.")


def content_of(headers: Headers, body: bytes) -> bytes:
    """The JSON text of a delivery, byte for byte: the body, or the field `payload` of a form (b"" if
    missing).

    The signature does not cover the content type. Code that reads signed data must therefore read only what
    this returns.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        return body
    fields = (field.partition(b"=") for field in body.split(b"&", FORM_FIELDS)[:FORM_FIELDS])
    return next((_unquoted(value) for name, _, value in fields if _unquoted(name) == b"payload"), b"")


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def payload_of(headers: Headers, body: bytes) -> dict[str, Any]:
    """The JSON object of the body; forges may send it in the field `payload` of a form too."""
    try:
        payload = orjson.loads(content_of(headers, body))
    except orjson.JSONDecodeError:
        raise Malformed("The body is not JSON.") from None
    if not isinstance(payload, dict):
        raise Malformed("The body is not a JSON object.")
    return payload


def part(payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under `name`; empty where there is none."""
    found = payload.get(name)
    return found if isinstance(found, dict) else {}


def text(payload: Mapping[str, Any], name: str, most: int = 300) -> str:
    found = payload.get(name)
    return found[:most].replace("\x00", "") if isinstance(found, str) else ""


def ref_of(payload: Mapping[str, Any]) -> str:
    ref = text(payload, "ref", 301)
    if not _REF.fullmatch(ref):
        raise Malformed("It names no ref.")
    return ref


def is_commit(text: str) -> bool:
    return bool(_COMMIT.fullmatch(text))


def commit_of(payload: Mapping[str, Any], name: str) -> str:
    """A commit id, or "" for the zeros that stand for none."""
    commit = text(payload, name)
    if not is_commit(commit):
        raise Malformed(f"“{name}” is not a commit id.")
    return "" if set(commit) == {"0"} else commit


def changed_paths(commits: Any, *, complete: bool) -> tuple[str, ...] | None:
    """Paths that the commits added, changed or removed; None if the list is not or may not be complete."""
    if not complete or not isinstance(commits, list) or not commits:
        return None
    paths = {path for commit in commits if isinstance(commit, dict) for path in _paths_of(commit)}
    return tuple(sorted(paths)) if len(paths) <= MOST_PATHS else None


def _paths_of(commit: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("added", "modified", "removed"):
        found = commit.get(kind)
        yield from (path for path in found or () if isinstance(path, str)) if isinstance(found, list) else ()


def addresses(holder: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found for name in names if (found := text(holder, name, 500))))


def delivery_id(headers: Headers, *names: str) -> str:
    found = next((headers[name] for name in names if headers.get(name)), "")
    if not found or len(found) > 100 or not found.isascii() or not found.isprintable():
        raise Malformed("It has no delivery id.")
    return found
