"""Reads the lock files of Python tools as text: uv, Poetry (1 and 2), PDM, Pipenv.

uv installs from its own lock. The pins of the others become requirements, with hashes where there are any,
that bound an installation by uv. So there is one installer, whichever tool wrote the lock.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from hosting.errors import SourceError
from hosting.sources import manifests
from hosting.sources.python_manifest import PYPI

LOCKS = {"uv": "uv.lock", "poetry": "poetry.lock", "pdm": "pdm.lock", "pipenv": "Pipfile.lock"}
HASH = re.compile(r"(?:sha256|sha384|sha512):[0-9a-fA-F]{64,128}")
SHOWN = 5


@dataclass(frozen=True)
class Pin:
    """A package of a lock. `version` is "" if it comes from git, a URL or a directory.

    `marker` is an environment marker (PEP 508), `address` the URL for an installer.
    """

    name: str
    version: str = ""
    marker: str = ""
    hashes: tuple[str, ...] = ()
    address: str = ""

    @property
    def line(self) -> str:
        """The line of a requirements file; "" if nothing is pinned."""
        if not (self.version or self.address):
            return ""
        what = f"=={self.version}" if self.version else f" @ {self.address}"
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{what}{marker}" + "".join(f" --hash={each}" for each in self.hashes) + "\n"


@dataclass(frozen=True)
class Lock:
    """The content of a lock file. `file` is its name.

    `foreign` are the indexes that it names besides the public one. `python` is the range of Python that it
    was made for. `local` tells that it holds directories of the source.
    """

    file: str
    pins: tuple[Pin, ...] = ()
    foreign: tuple[str, ...] = ()
    python: str = ""
    local: bool = False


@dataclass(frozen=True)
class Drift:
    """The declared requirements that a lock does not hold (`lacking`) or pins to another version
    (`differing`).
    """

    lacking: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def read(path: Path, tool: str, groups: Iterable[str] = ()) -> Lock | None:
    """Returns the lock of `tool` in the directory; None if there is none. `groups` are read only for Pipenv.

    Raises `SourceError`.
    """
    name = LOCKS.get(tool, "")
    if not name or not manifests.has(path, name):
        return None
    text = manifests.read(path, name, manifests.MAX_LOCK)
    if re.search(r"^<{7} |^>{7} ", text, re.MULTILINE):
        raise SourceError(f"{name} holds the marks of a merge that was not finished.", hint="Lock it anew.")
    return _pipenv(path, name, groups) if tool == "pipenv" else _READERS[tool](path, name)


def compare(lock: Lock, requirements: Iterable[str]) -> Drift:
    """Compares a lock with the declared requirements (PEP 508)."""
    pinned: dict[str, list[Pin]] = defaultdict(list)
    for pin in lock.pins:
        pinned[canonicalize_name(pin.name.partition("[")[0])].append(pin)
    lacking, differing = [], []
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        pins = pinned.get(canonicalize_name(wanted.name))
        if pins is None:
            lacking.append(text)
        elif not any(_fulfils(pin, wanted) for pin in pins):
            differing.append(text)
    return Drift(tuple(lacking), tuple(differing))


def _fulfils(pin: Pin, wanted: Requirement) -> bool:
    try:
        return not pin.version or wanted.specifier.contains(Version(pin.version), prereleases=True)
    except InvalidVersion:
        return True


def describe(lock: Lock, drift: Drift, manifest: str) -> tuple[str, ...]:
    """Returns a sentence about the drift in a tuple; () without any. `manifest` is the file that declares."""
    said = []
    if drift.lacking:
        said.append(f"it has no {_listed(drift.lacking)}")
    if drift.differing:
        said.append(f"it pins another than {_listed(drift.differing)}")
    return (f"{lock.file} is out of step with {manifest}: {'; '.join(said)}",) if said else ()


def _listed(requirements: tuple[str, ...]) -> str:
    more = len(requirements) - SHOWN
    return ", ".join(requirements[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def constraints(lock: Lock, without: Iterable[str] = ()) -> str:
    """Returns the text of a constraints file, without the packages that the requirements `without` name.

    A package with several versions is left out unless each of its pins has a marker.
    """
    free = {canonicalize_name(Requirement(each).name) for each in without}
    by_name: dict[str, list[Pin]] = defaultdict(list)
    for pin in lock.pins:
        if pin.version and canonicalize_name(pin.name) not in free:
            by_name[canonicalize_name(pin.name)].append(pin)
    kept = (pins for pins in by_name.values() if len(pins) == 1 or all(pin.marker for pin in pins))
    return "".join(pin.line for pins in kept for pin in pins)


def _uv(path: Path, file: str) -> Lock:
    data = manifests.toml(path, file, manifests.MAX_LOCK)
    packages = manifests.tables(data, "package")
    registries = {str(manifests.table(each, "source").get("registry", "")).rstrip("/") for each in packages}
    return Lock(
        file,
        tuple(Pin(str(each.get("name", "")), str(each.get("version", ""))) for each in packages),
        tuple(sorted(registries - {"", *PYPI})),
        str(data.get("requires-python", "")),
        any(manifests.table(each, "source").keys() & {"editable", "directory", "path"} for each in packages),
    )


def _poetry(path: Path, file: str) -> Lock:
    data = manifests.toml(path, file, manifests.MAX_LOCK)
    metadata = manifests.table(data, "metadata")
    apart = manifests.table(metadata, "files") or manifests.table(metadata, "hashes")
    packages = manifests.tables(data, "package")
    sources = [manifests.table(each, "source") for each in packages]
    foreign = {str(each.get("url")) for each in sources if each.get("type") == "legacy"}
    return Lock(file, tuple(_poetry_pin(each, apart) for each in packages), tuple(sorted(foreign)))


def _poetry_pin(package: dict[str, Any], apart: dict[str, Any]) -> Pin:
    name = str(package.get("name", ""))
    kind = manifests.table(package, "source").get("type", "")
    if kind not in ("", "legacy"):
        return Pin(name)
    files = package.get("files") or apart.get(name)
    markers = package.get("markers")
    marker = markers if isinstance(markers, str) else str(package.get("marker") or "")
    return Pin(name, _version(package), _marker(marker), _hashes(files))


def _pdm(path: Path, file: str) -> Lock:
    data = manifests.toml(path, file, manifests.MAX_LOCK)
    apart = manifests.within(data, "metadata", "files")
    found: dict[tuple[str, str, str], Pin] = {}
    for package in manifests.tables(data, "package"):
        name, version = str(package.get("name", "")), _version(package)
        if package.keys() & {"path", "git", "url"}:
            version = ""
        files = package.get("files") or apart.get(f"{name} {version}")
        marker = _marker(str(package.get("marker") or ""))
        # An entry with extras repeats the entry without them.
        found.setdefault(
            (canonicalize_name(name), version, marker), Pin(name, version, marker, _hashes(files))
        )
    return Lock(file, tuple(found.values()))


def _pipenv(path: Path, file: str, groups: Iterable[str]) -> Lock:
    try:
        data = json.loads(manifests.read(path, file, manifests.MAX_LOCK))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file} cannot be read: {error}.") from None
    document = data if isinstance(data, dict) else {}
    sections = ["default", *("develop" if group == "dev" else group for group in groups)]
    entries = {
        name: told_of_it
        for section in sections
        for name, told_of_it in manifests.table(document, section).items()
    }
    return Lock(file, tuple(_pipenv_pins(entries)))


def _pipenv_pins(entries: dict[str, Any]) -> Iterator[Pin]:
    for name, told_of_it in entries.items():
        entry = told_of_it if isinstance(told_of_it, dict) else {}
        marker = _marker(str(entry.get("markers") or ""))
        extras = ",".join(manifests.texts(entry, "extras"))
        label = f"{name}[{extras}]" if extras else name
        address = str(entry.get("file") or entry.get("url") or "")
        if entry.get("git"):
            beneath = f"#subdirectory={entry['subdirectory']}" if entry.get("subdirectory") else ""
            address = f"git+{str(entry['git']).removeprefix('git+')}@{entry.get('ref', '')}{beneath}"
        version = str(entry.get("version", "")).removeprefix("==") if not address else ""
        if version == "*" or not re.fullmatch(r"[0-9A-Za-z.!+_-]*", version):
            version = ""
        yield Pin(label, version, marker, manifests.texts(entry, "hashes") if version else (), address)


def _version(package: dict[str, Any]) -> str:
    found = str(package.get("version", ""))
    try:
        Version(found)
    except InvalidVersion:
        return ""
    return found


def _marker(text: str) -> str:
    """Returns the marker if `packaging` can read it, else "": PDM and Poetry have a few of their own."""
    try:
        return str(Marker(text)) if text else ""
    except InvalidMarker:
        return ""


def _hashes(files: object) -> tuple[str, ...]:
    found = files if isinstance(files, list) else []
    texts = (str(each.get("hash", "")) if isinstance(each, dict) else f"sha256:{each}" for each in found)
    return tuple(dict.fromkeys(text for text in texts if HASH.fullmatch(text)))


_READERS = {"uv": _uv, "poetry": _poetry, "pdm": _pdm}
