"""The files in which people keep a registry's logins, brought into the one shape of a Docker config.

Read are config.json (`auths`, `credHelpers`, `credsStore`), the older .dockercfg (entries without `auths`),
and Secrets of Kubernetes as `kubectl get -o json` or `-o yaml` prints them, one or a list, with either in
`data` or `stringData`. Keys are compared as Go's reader does, which is Docker's and Kubernetes': case does
not count, and null is what is not there. Errors name the file and the fault, never the content: a parser's
own message may quote a password.
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
# What else Docker and Podman write there (docs.docker.com/reference/cli/docker: configuration files).
_OTHERS = frozenset(
    """aliases cliPluginsExtraDirs configFormat currentContext detachKeys experimental features HttpHeaders
    imagesFormat networksFormat nodesFormat pluginsFormat plugins proxies pruneFilters psFormat secretFormat
    serviceInspectFormat servicesFormat stackOrchestrator statsFormat tasksFormat volumesFormat
    credentialSpec debug allowNondistributableArtifacts""".lower().split()
)
Config = dict[str, Any]


def load(path: Path) -> Config:
    """`auths`, `credHelpers` and `credsStore` as the file has them, null or absent ones left out.

    Raises `CredentialError` for a file that cannot be read, or that is none of these shapes.
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
    """The value under `name` in whatever case, the exact one first; None where it is absent or null."""
    if entries.get(name) is not None:
        return entries[name]
    return next((entries[key] for key in entries if _same(key, name) and entries[key] is not None), None)


def decode_base64(text: str) -> bytes:
    """Base64 as people have it: padded or not, of either alphabet (RFC 4648 4 and 5), broken into lines.

    Raises `ValueError` for what is none.
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
    """What `kubectl get secret -o jsonpath` prints of a Secret's data."""
    try:
        return [json.loads(decode_base64(raw.decode("ascii")))]
    except (ValueError, RecursionError):
        return []


def _of_yaml(raw: bytes) -> list[Any]:
    """Mappings only: any text is a document of YAML. What begins as JSON is JSON, and wrong."""
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
    """Secrets among other objects; of several the first that names a host counts."""
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
        if text is None:  # the API server lets stringData win
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
    """One of .dockercfg: by host, with what a login has."""
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
