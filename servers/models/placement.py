"""How a server runs on a Kubernetes cluster (`Server.placement`), with a default for each absent key.

`{"replicas": 1, "max_replicas": 0, "egress": null, "account_token": false, "volume": null}`. If
`max_replicas` is above `replicas`, the cluster adds replicas under load. `egress` lists the networks (CIDR)
that the server may reach besides the cluster's DNS; null allows all. `volume` is null or `{"size_mb": 1024,
"path": "/data", "storage_class": ""}`.

Errors are Django's `ValidationError`, with the wrong keys.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from hosting.runtimes.base import Shape, Volume

MOST_REPLICAS = 100
MOST_NETWORKS = 100
SMALLEST_VOLUME, LARGEST_VOLUME = 1, 64 * 1024 * 1024  # MiB
_PATH = re.compile(r"(/[A-Za-z0-9._-]+)+\Z")
_NAME = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?\Z")
_TAKEN = {"/tmp", "/proc", "/sys", "/dev", "/etc", "/bin", "/usr", "/lib", "/var/run/secrets"}  # noqa: S108


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all keys, with defaults for those that are absent."""
    unknown = sorted(set(values) - set(_CLEANERS))
    if unknown:
        accepted = ", ".join(_CLEANERS)
        raise ValidationError({unknown[0]: f"Unknown key; accepted: {accepted}."})
    found = {key: cleaner(key, values.get(key)) for key, cleaner in _CLEANERS.items()}
    if found["max_replicas"] and found["max_replicas"] < found["replicas"]:
        raise ValidationError({"max_replicas": "Fewer than the replicas: leave it 0 for a fixed number."})
    if found["volume"] and max(found["replicas"], found["max_replicas"]) > 1:
        raise ValidationError(
            {"volume": "A volume is mounted by one pod (ReadWriteOnce): set one replica, or leave it out."}
        )
    return found


def validate(values: Any) -> None:
    """Raises `ValidationError` as `clean` does; for a model's field."""
    if not isinstance(values, Mapping):
        raise ValidationError("Must be an object.")
    clean(values)


def shape_of(values: Mapping[str, Any]) -> Shape:
    """Returns a placement in the form that runtimes take. Raises `ValidationError`."""
    held = clean(values)
    egress, volume = held["egress"], held["volume"]
    return Shape(
        replicas=held["replicas"],
        max_replicas=held["max_replicas"],
        egress=None if egress is None else tuple(egress),
        account_token=held["account_token"],
        volume=Volume(**volume) if volume else None,
    )


def is_network(text: str) -> bool:
    """Tells whether it is a network in CIDR notation."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _replicas(key: str, value: Any) -> int:
    return _count(key, 1 if value is None else value, 1, MOST_REPLICAS)


def _most(key: str, value: Any) -> int:
    return _count(key, value or 0, 0, MOST_REPLICAS)


def _count(key: str, value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValidationError({key: f"Must be a whole number from {low} to {high}."})
    return value


def _egress(key: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_NETWORKS:
        raise ValidationError({key: f"Must be a list of at most {MOST_NETWORKS} networks, or null."})
    for network in value:
        if not isinstance(network, str) or not is_network(network):
            raise ValidationError({key: f"“{str(network)[:60]}” is no network: write 198.51.100.0/24."})
    return list(value)


def _flag(key: str, value: Any) -> bool:
    if value not in (None, True, False):
        raise ValidationError({key: "Must be true or false."})
    return bool(value)


def _volume(key: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) - {"size_mb", "path", "storage_class"}:
        raise ValidationError({key: "Must be null, or an object of size_mb, path and storage_class."})
    path, storage_class = value.get("path") or "/data", value.get("storage_class") or ""
    if not isinstance(path, str) or not _PATH.match(path) or ".." in path.split("/"):
        raise ValidationError({key: "Its path must be absolute, such as /data."})
    if any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN):
        raise ValidationError({key: f"{path} is the container's own: choose another path."})
    if not isinstance(storage_class, str) or not _NAME.match(storage_class):
        raise ValidationError({key: "Its storage_class must be the name of one, or empty for the default."})
    size = _count(key, value.get("size_mb", 1024), SMALLEST_VOLUME, LARGEST_VOLUME)
    return {"size_mb": size, "path": path, "storage_class": storage_class}


_CLEANERS: dict[str, Callable[[str, Any], Any]] = {
    "replicas": _replicas,
    "max_replicas": _most,
    "egress": _egress,
    "account_token": _flag,
    "volume": _volume,
}
