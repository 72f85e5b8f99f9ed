"""Reads the file formats in which people keep registry logins, and returns the shape of a Docker config.

The formats are config.json (`auths`, `credHelpers`, `credsStore`), the older .dockercfg (entries without
`auths`), and Kubernetes Secrets as `kubectl get -o json` or `-o yaml` prints them, one or a list, with either
in `data` or `stringData`. Keys are compared without case and null means absent, as in Go's JSON reader, which
Docker and Kubernetes use. Errors name the file and the fault, never the content: a parser's own message may
quote a password.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from registry.errors import BadCredentialsFile

MAX_FILE_BYTES = 1 << 20
LOGIN_FIELDS = ("username", "password", "auth", "identitytoken", "registrytoken", "email")
_SECRET_KEYS = (".dockerconfigjson", ".dockercfg", "config.json")
_WANTED = ".dockerconfigjson or .dockercfg"
_OURS = ("auths", "credhelpers", "credsstore")
# Other keys of Docker and Podman (docs.docker.com/reference/cli/docker: configuration files).
_OTHERS = frozenset(
    """aliases cliPluginsExtraDirs configFormat currentContext detachKeys experimental features HttpHeaders
    imagesFormat networksFormat nodesFormat pluginsFormat plugins proxies pruneFilters psFormat secretFormat
    serviceInspectFormat servicesFormat stackOrchestrator statsFormat tasksFormat volumesFormat
    credentialSpec debug allowNondistributableArtifacts""".lower().split()
)
Config = dict[str, Any]


def load(path: Path) -> Config:
    """Returns `auths`, `credHelpers` and `credsStore` as they are in the file, without absent ones.

    Raises `CredentialError` for a file that cannot be read, or has another format.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as fault:
        raise BadCredentialsFile(f"{path} cannot be read: {fault.strerror}.") from None
    if len(raw) > MAX_FILE_BYTES:
        raise BadCredentialsFile(f"{path} is larger than {MAX_FILE_BYTES} bytes: not a Docker config.")
    documents = _documents(raw, path)
    return _config(documents[0], path) if len(documents) == 1 else _of_several(documents, path)


def field(entries: Mapping[str, Any], name: str) -> Any:
    """Returns the value of the key `name` in any case, the exact one first; None if it is absent or null."""
    if entries.get(name) is not None:
        return entries[name]
    return next((entries[key] for key in entries if _same(key, name) and entries[key] is not None), None)


def decode_base64(text: str) -> bytes:
    """Decodes base64 with or without padding, of both alphabets (RFC 4648, 4 and 5), also over several lines.

    Raises `ValueError`.
    """
    bare = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _documents(raw: bytes, path: Path) -> list[Any]:
    try:
        return [json.loads(raw)]
    except json.JSONDecodeError as fault:
        where = f" (line {fault.lineno}, column {fault.colno})"
    except (UnicodeDecodeError, RecursionError):
        where = ""
    found = _of_base64(raw) or _of_yaml(raw)
    if not found:
        raise BadCredentialsFile(f"{path} is not valid JSON{where}.")
    return found


def _of_base64(raw: bytes) -> list[Any]:
    """Decodes the output of `kubectl get secret -o jsonpath`; [] for other text."""
    try:
        return [json.loads(decode_base64(raw.decode("ascii")))]
    except (ValueError, RecursionError):
        return []


def _of_yaml(raw: bytes) -> list[Any]:
    """Parses YAML mappings; [] for other text, since any text is valid YAML.

    Text that begins as JSON is no YAML.
    """
    if raw.lstrip()[:1] in (b"{", b"["):
        return []
    try:
        found = [document for document in yaml.safe_load_all(raw) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    return found if all(isinstance(document, dict) for document in found) else []


def _config(document: Any, path: Path) -> Config:
    if not isinstance(document, dict):
        raise BadCredentialsFile(f"{path} must hold a JSON object.")
    kind = field(document, "kind")
    if isinstance(kind, str):
        return _of_kubernetes(kind, document, path)
    return _of_docker(document, f"{path}")


def _of_kubernetes(kind: str, document: Config, path: Path) -> Config:
    if kind in ("List", "SecretList"):
        return _of_several(field(document, "items"), path)
    if kind != "Secret":
        shown = kind if kind.isalnum() and len(kind) < 40 else "object"
        raise BadCredentialsFile(
            f"{path} is a Kubernetes {shown}: it must be a Docker config, or the Secret that holds one."
        )
    return _of_secret(document, path)


def _of_several(documents: object, path: Path) -> Config:
    """Merges the Secrets in a list of objects; the first that names a host wins."""
    known = documents if isinstance(documents, list) else []
    secrets = [one for one in known if isinstance(one, dict) and field(one, "kind") == "Secret"]
    found = [_of_secret(secret, path) for secret in secrets if _key_of(secret)]
    if not found:
        raise BadCredentialsFile(f"{path} holds Kubernetes objects, and no Secret with {_WANTED} among them.")
    return _merged(found)


def _of_secret(secret: Config, path: Path) -> Config:
    name = _key_of(secret)
    if not name:
        raise BadCredentialsFile(f"{path} is a Kubernetes Secret without {_WANTED}.")
    where = f"{path}: the Secret's {name}"
    text = _held(secret, "stringData", name)
    try:
        if text is None:  # stringData comes first, as in the API server
            text = decode_base64(_text(_held(secret, "data", name), where)).decode()
        content = json.loads(_text(text, where))
    except (ValueError, RecursionError):
        raise BadCredentialsFile(f"{where} is not valid JSON, or not base64 of it.") from None
    if not isinstance(content, dict):
        raise BadCredentialsFile(f"{where} must hold a JSON object.")
    return _of_docker(content, where)


def _key_of(secret: Config) -> str:
    parts = ("stringData", "data")
    return next(
        (key for key in _SECRET_KEYS if any(_held(secret, part, key) is not None for part in parts)), ""
    )


def _held(secret: Config, part: str, name: str) -> Any:
    held = field(secret, part)
    return held.get(name) if isinstance(held, dict) else None


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise BadCredentialsFile(f"{where} must be a string.")
    return value


def _of_docker(content: Config, where: str) -> Config:
    found = {
        name: value for name in ("auths", "credHelpers", "credsStore") if (value := field(content, name))
    }
    older = {key: entry for key, entry in content.items() if _is_entry(key, entry)}
    if older:
        auths = found.get("auths", {})
        found["auths"] = {**older, **auths} if isinstance(auths, dict) else auths
    strange = [key for key in content if str(key).lower() not in {*_OURS, *_OTHERS}]
    if strange and not older and not any(_same(key, name) for key in content for name in _OURS):
        raise BadCredentialsFile(
            f"{where} names no login: it has neither auths, credHelpers nor credsStore, nor entries by host."
        )
    return found


def _is_entry(key: object, entry: object) -> bool:
    """Tells whether the key is an entry of .dockercfg: a host with the fields of a login."""
    is_known = str(key).lower() in {*_OURS, *_OTHERS}
    return not is_known and isinstance(entry, dict) and any(field(entry, name) for name in LOGIN_FIELDS)


def _merged(configs: Iterable[Config]) -> Config:
    merged: Config = {}
    for config in configs:
        for name, value in config.items():
            held = merged.get(name)
            if isinstance(held, dict) and isinstance(value, dict):
                merged[name] = {**value, **held}
            else:
                merged.setdefault(name, value)
    return merged


def _same(key: object, name: str) -> bool:
    return isinstance(key, str) and key.lower() == name.lower()
