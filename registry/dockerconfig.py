"""Reads a Docker config file (`.dockerconfigjson`): a pure reading, one entry at a time.

Errors name the file and the fault, never the content: a parser's own message may quote a password.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry import config_shapes, login_keys
from registry.config_shapes import LOGIN_FIELDS, decode_base64
from registry.errors import BadCredentialsFile, CredentialError
from registry.login_keys import Key

HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class DockerConfig:
    """The parts that name credentials. `auths` keeps raw entries: only the one that is used must be sound."""

    path: Path
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def read(cls, path: Path) -> DockerConfig:
        """Raises `CredentialError` when the file cannot be read or is of no shape of `config_shapes`."""
        data = config_shapes.load(path)
        auths, store = data.get("auths", {}), data.get("credsStore", "")
        helpers = data.get("credHelpers", {})
        if not isinstance(auths, dict):
            raise BadCredentialsFile(f'{path}: "auths" must be an object.')
        if not isinstance(helpers, dict) or not all(
            isinstance(name, str | None) for name in helpers.values()
        ):
            raise BadCredentialsFile(f'{path}: "credHelpers" must be an object of helper names.')
        if not isinstance(store, str):
            raise BadCredentialsFile(f'{path}: "credsStore" must be the name of a helper.')
        named = {str(key): entry for key, entry in auths.items()}
        return cls(path, named, {str(key): name or "" for key, name in helpers.items()}, store)

    def helper_for(self, host: str, repository: str = "") -> str:
        """The helper that answers for a repository at `host`, "" if the file itself does."""
        named = login_keys.best(self.helpers, host, repository)
        if named is not None:
            return self.helpers[named]
        key = self._key_for(host, repository)
        # A store knows hosts: what the file says of a namespace is closer.
        is_closer = key is not None and login_keys.is_namespace(key) and not _is_empty(self.auths[key])
        return "" if is_closer else self.store

    def entry_for(self, host: str, repository: str = "") -> Mapping[str, str] | None:
        """Fields of a credential: username, password, identitytoken, registrytoken (decoded from `auth`)."""
        key = self._key_for(host, repository)
        return None if key is None else self.entry(key, host)

    def _key_for(self, host: str, repository: str) -> str | None:
        """Docker leaves empty entries beside others that name the same: those come last."""
        filled = (key for key, entry in self.auths.items() if not _is_empty(entry))
        found = login_keys.best(filled, host, repository)
        return login_keys.best(self.auths, host, repository) if found is None else found

    def entry(self, key: str, name: str) -> Mapping[str, str]:
        """That of one key, called `name` in what is raised of it: `CredentialError`."""
        entry, where = self.auths[key], f"{self.path}: the entry for {name}"
        if not isinstance(entry, dict | None):
            raise BadCredentialsFile(f"{where} must be an object.")
        return _read_entry(entry or {}, where)

    def place_for(self, host: str, repository: str = "") -> str:
        """`host[:port][/namespace]` of what answers: those who share it share what is learned of it."""
        found = (login_keys.best(self.helpers, host, repository), self._key_for(host, repository))
        longest = max((Key.read(key).path for key in found if key is not None), key=len, default=())
        return Key(Key.read(host).host, longest).place

    def why_nobody(self, host: str, repository: str = "") -> str:
        """Why requests are anonymous, as the end of a sentence; "" where the file has nothing on the host."""
        key = self._key_for(host, repository)
        if key is not None:
            return f"the entry {key} is empty, and no helper is named for it" if not self.store else ""
        wanted = Key.read(host).host
        others = sorted(
            {Key.read(key).place for key in (*self.auths, *self.helpers) if Key.read(key).host == wanted}
        )
        return f"the file has logins for {', '.join(others[:3])} only" if others else ""

    def oddities(self) -> Iterator[str]:
        """What is wrong with entries that nobody may have used yet, in sentences."""
        if not (self.auths or self.helpers or self.store):
            yield f"{self.path} names no login: whatever is pushed or pulled is so without one."
        for key in self.auths:
            try:
                self.entry(key, key)
            except CredentialError as fault:
                yield fault.message
            if _is_empty(self.auths[key]) and not self.helper_for(*_wanted(key)):
                yield f"{self.path}: the entry for {key} is empty, and no helper is named for it."


def _wanted(key: str) -> tuple[str, str]:
    known = Key.read(key)
    return known.host, "/".join(known.path)


def _is_empty(entry: object) -> bool:
    """As Docker leaves it where a store holds the rest."""
    if not isinstance(entry, dict | None):
        return False
    known = entry or {}
    return not any(config_shapes.field(known, name) for name in LOGIN_FIELDS if name != "email")


def _read_entry(entry: Mapping[str, Any], where: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name in ("username", "password", "identitytoken", "registrytoken", "auth"):
        value = config_shapes.field(entry, name)
        if not isinstance(value, str | None):
            raise BadCredentialsFile(f'{where}: "{name}" must be a string.')
        fields[name] = value or ""
    encoded = fields.pop("auth").strip()
    if encoded:
        fields["username"], fields["password"] = _decode_auth(encoded, where)
    return fields


def _decode_auth(encoded: str, where: str) -> tuple[str, str]:
    try:
        # Docker pads with NUL bytes in old files; `echo` without -n adds a line's end.
        text = decode_base64(encoded).decode().rstrip("\x00\r\n")
    except ValueError:
        raise BadCredentialsFile(f'{where}: "auth" is not base64.') from None
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise BadCredentialsFile(f'{where}: "auth" is not base64 of user:password.')
    return username, password
