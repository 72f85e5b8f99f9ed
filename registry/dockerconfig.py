"""Reads a Docker config file (`.dockerconfigjson`): a pure reading, one entry at a time.

Errors name the file and the fault, never the content: a parser's own message may quote a password.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.errors import CredentialError
from registry.reference import HUB_HOST, is_hub

HUB_KEY = "https://index.docker.io/v1/"
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class DockerConfig:
    """The parts that name credentials. `auths` keeps raw entries: only the one that is used must be sound."""

    path: Path
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def read(cls, path: Path) -> DockerConfig:
        """Raises `CredentialError` when the file cannot be read or is not a Docker config."""
        data = _load(path)
        auths, helpers, store = data.get("auths", {}), data.get("credHelpers", {}), data.get("credsStore", "")
        if not isinstance(auths, dict):
            raise CredentialError(f'{path}: "auths" must be an object.')
        if not isinstance(helpers, dict) or not all(isinstance(name, str) for name in helpers.values()):
            raise CredentialError(f'{path}: "credHelpers" must be an object of helper names.')
        if not isinstance(store, str):
            raise CredentialError(f'{path}: "credsStore" must be the name of a helper.')
        return cls(path, auths, helpers, store)

    @property
    def hosts(self) -> dict[str, str]:
        """The hosts that have an entry or a helper of their own, each with its helper."""
        named = {_host_of(key) for key in (*self.auths, *self.helpers)}
        return {HUB_HOST if is_hub(host) else host: self.helper_for(host) for host in named if host}

    def helper_for(self, host: str) -> str:
        """The helper that answers for `host`, "" if the file itself does."""
        return str(_find(self.helpers, host) or self.store)

    def entry_for(self, host: str) -> Mapping[str, str] | None:
        """Fields of a credential: username, password, identitytoken, registrytoken (decoded from `auth`)."""
        entry = _find(self.auths, host)
        if entry is None:
            return None
        where = f"{self.path}: the entry for {host}"
        if not isinstance(entry, dict):
            raise CredentialError(f"{where} must be an object.")
        return _read_entry(entry, where)


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as fault:
        raise CredentialError(f"{path} cannot be read: {fault.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise CredentialError(f"{path} is larger than {MAX_FILE_BYTES} bytes: not a Docker config.")
    try:
        data = json.loads(raw)
    except json.JSONDecodeError as fault:
        raise CredentialError(
            f"{path} is not valid JSON (line {fault.lineno}, column {fault.colno})."
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise CredentialError(f"{path} is not valid JSON.") from None
    if not isinstance(data, dict):
        raise CredentialError(f"{path} must hold a JSON object.")
    return data


def _find(entries: Mapping[str, Any], host: str) -> Any:
    """The exact key, else one that names the same host with a scheme or a path, as Docker looks it up."""
    if host in entries:
        return entries[host]
    if is_hub(host):
        return next((entries[key] for key in entries if is_hub(_host_of(key))), None)
    return next((entries[key] for key in entries if _host_of(key) == host.lower()), None)


def _host_of(key: str) -> str:
    return (
        key.partition("://")[2].partition("/")[0].lower() if "://" in key else key.partition("/")[0].lower()
    )


def _read_entry(entry: Mapping[str, Any], where: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name in ("username", "password", "identitytoken", "registrytoken", "auth"):
        value = entry.get(name, "")
        if not isinstance(value, str):
            raise CredentialError(f'{where}: "{name}" must be a string.')
        fields[name] = value
    encoded = fields.pop("auth")
    if encoded:
        fields["username"], fields["password"] = _decode_auth(encoded, where)
    return fields


def _decode_auth(encoded: str, where: str) -> tuple[str, str]:
    try:
        # Docker pads with NUL bytes in old files.
        text = base64.b64decode(encoded, validate=True).decode().rstrip("\x00")
    except (binascii.Error, ValueError):
        raise CredentialError(f'{where}: "auth" is not base64.') from None
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise CredentialError(f'{where}: "auth" is not base64 of user:password.')
    return username, password
