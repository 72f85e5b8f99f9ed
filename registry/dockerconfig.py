"""Reads a Docker config file (`.dockerconfigjson`) and finds the login for an image.

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
    """The parts of the file that hold credentials.

    `auths` are the entries as they are in the file, so that a broken entry matters only when it is used.
    `helpers` maps keys to credential helpers; `store` is the helper for all others, "" for none.
    """

    path: Path
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def read(cls, path: Path) -> DockerConfig:
        """Reads the file.

        Raises `CredentialError` if it is unreadable, or has none of the shapes of `config_shapes`.
        """
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
        """Returns the credential helper for a repository at `host`; "" if the entry in the file is used."""
        named = login_keys.best(self.helpers, host, repository)
        if named is not None:
            return self.helpers[named]
        key = self._key_for(host, repository)
        # A store only knows hosts: an entry for a namespace is more specific.
        is_closer = key is not None and login_keys.is_namespace(key) and not _is_empty(self.auths[key])
        return "" if is_closer else self.store

    def entry_for(self, host: str, repository: str = "") -> Mapping[str, str] | None:
        """Returns the login's fields: username, password, identitytoken, registrytoken; None if there is no
        entry.
        """
        key = self._key_for(host, repository)
        return None if key is None else self.entry(key, host)

    def _key_for(self, host: str, repository: str) -> str | None:
        """Returns the key of the entry.

        Docker leaves empty entries beside others for the same host: they come last.
        """
        filled = (key for key, entry in self.auths.items() if not _is_empty(entry))
        found = login_keys.best(filled, host, repository)
        return login_keys.best(self.auths, host, repository) if found is None else found

    def entry(self, key: str, name: str) -> Mapping[str, str]:
        """Returns the login's fields of one key. Raises `CredentialError`, which calls the entry `name`."""
        entry, where = self.auths[key], f"{self.path}: the entry for {name}"
        if not isinstance(entry, dict | None):
            raise BadCredentialsFile(f"{where} must be an object.")
        return _read_entry(entry or {}, where)

    def place_for(self, host: str, repository: str = "") -> str:
        """Returns `host[:port][/namespace]` of the entry that is used; callers with the same one share
        refreshes.
        """
        found = (login_keys.best(self.helpers, host, repository), self._key_for(host, repository))
        longest = max((Key.read(key).path for key in found if key is not None), key=len, default=())
        return Key(Key.read(host).host, longest).place

    def why_anonymous(self, host: str, repository: str = "") -> str:
        """Returns why there is no login, as the end of a sentence; "" if the file has
        nothing for the host.
        """
        key = self._key_for(host, repository)
        if key is not None:
            return f"the entry {key} is empty, and no helper is named for it" if not self.store else ""
        wanted = Key.read(host).host
        others = sorted(
            {Key.read(key).place for key in (*self.auths, *self.helpers) if Key.read(key).host == wanted}
        )
        return f"the file has logins for {', '.join(others[:3])} only" if others else ""

    def oddities(self) -> Iterator[str]:
        """Yields sentences about broken entries, even if nothing has used them yet."""
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
    """Tells whether an entry is empty, as Docker writes it when a credential store holds the login."""
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
        # Old Docker versions pad with NUL bytes; `echo` without -n adds a line end.
        text = decode_base64(encoded).decode().rstrip("\x00\r\n")
    except ValueError:
        raise BadCredentialsFile(f'{where}: "auth" is not base64.') from None
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise BadCredentialsFile(f'{where}: "auth" is not base64 of user:password.')
    return username, password
