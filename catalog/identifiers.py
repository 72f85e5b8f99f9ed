"""Reads a package's `identifier` and `version`: a package of an index, or an image. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hosting.errors import SourceError
from hosting.sources import image
from hosting.sources.package import PackageSource

PUBLIC = {
    "npm": {"registry.npmjs.org", "registry.npmjs.com", "registry.yarnpkg.com", "www.npmjs.com", "npmjs.com"},
    "pypi": {"pypi.org", "www.pypi.org", "pypi.python.org", "files.pythonhosted.org"},
}
HUB = {"docker.io", "hub.docker.com", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
NEWEST = {"", "latest", "*"}
LONGEST = 500
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TAGGED = re.compile(r"(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?\Z")
NPM = re.compile(r"(?P<name>(?:@[^/@]+/)?[^/@]+)(?:@(?P<version>.+))?")
PYPI_AT = re.compile(r"(?P<name>[^@\s]+)@(?P<version>[^@\s]+)")
PAGES = re.compile(
    r"https?://(?:(?:www\.)?npmjs\.com/package|(?:www\.)?pypi\.org/project)/(?P<name>(?:@[^/]+/)?[^/]+)/?"
)


@dataclass(frozen=True)
class Named:
    """A package of PyPI or npm. `version` "" means the newest; `extras` (PyPI only) are sorted."""

    name: str
    version: str = ""
    extras: tuple[str, ...] = ()

    def is_same(self, other: Named) -> bool:
        """Tells whether both are the same package, whatever the version."""
        return canonicalize_name(self.name) == canonicalize_name(other.name)


def named(package: Mapping[str, Any]) -> Named:
    """Returns the package of a canonical npm or PyPI entry; the key `version` wins over one in the
    identifier.
    """
    found = read(package["registryType"], package["identifier"])
    version = str(package.get("version", ""))
    wanted = found.version if version in NEWEST else version
    exact = wanted.removeprefix("==").strip()
    return Named(found.name, "" if exact in NEWEST else exact, found.extras)


def read(kind: str, identifier: str) -> Named:
    """Parses `@scope/name@1.2`, `name[extra]==1.2`, `name@1.2`, or the URL of the package's page at the
    index.
    """
    text = identifier.strip()
    if page := PAGES.fullmatch(text):
        text = page["name"]
    if kind == "npm":
        found = NPM.fullmatch(text.removeprefix("npm:"))
        return Named(found["name"], found["version"] or "") if found else Named(text)
    if at := PYPI_AT.fullmatch(text):
        text = f"{at['name']}=={at['version']}" if at["version"] not in NEWEST else at["name"]
    return _of_requirement(text)


def _of_requirement(text: str) -> Named:
    if len(text) > LONGEST or ";" in text or "(" in text:  # markers, whose parser recurses with each bracket
        return Named(text)
    try:
        found = Requirement(text)
    except InvalidRequirement:
        return Named(text)
    bounds = list(found.specifier)
    exact = len(bounds) == 1 and bounds[0].operator in ("==", "===")
    if found.url or found.marker or (bounds and not exact):
        return Named(text)
    return Named(found.name, bounds[0].version if bounds else "", tuple(sorted(found.extras)))


def objection(package: Mapping[str, Any]) -> str:
    """Returns why there can be no such package or image; "" if there can."""
    if len(package["identifier"]) > LONGEST:
        return f"Its identifier is longer than {LONGEST} characters."
    try:
        if package["registryType"] == "oci":
            image.parse(reference(package))
        else:
            found = named(package)
            PackageSource(package["registryType"], found.name, found.version).check()
    except SourceError as error:
        return error.message
    return ""


def other_index(package: Mapping[str, Any]) -> str:
    """Returns the index of an npm or PyPI package if it is not the public one, else ""."""
    base = str(package.get("registryBaseUrl", "")).strip().rstrip("/")
    return "" if not base or is_public(package["registryType"], base) else base


def is_public(kind: str, url: str) -> bool:
    """Tells whether the URL belongs to the public index of `kind`."""
    return _host(url) in PUBLIC[kind]


def reference(package: Mapping[str, Any]) -> str:
    """Returns the image reference; some documents keep host, tag or digest beside the identifier."""
    name, version = _image_name(package), str(package.get("version", "")).strip().removeprefix("@")
    last = name.rpartition("/")[2]
    if DIGEST.fullmatch(version):
        return name if "@" in last else f"{name}@{version}"
    return name if not version or ":" in last or "@" in last else f"{name}:{version}"


def family(package: Mapping[str, Any]) -> str:
    """Returns what stays the same in all versions: an image without tag, a package without extras."""
    kind = package.get("registryType")
    if kind == "oci":
        return TAGGED.sub("", _image_name(package))
    if kind in PUBLIC:
        return str(canonicalize_name(named(package).name))
    return str(package.get("identifier", ""))


def _image_name(package: Mapping[str, Any]) -> str:
    identifier = re.sub(r"^(?:oci|docker|docker-image|https?)://", "", str(package["identifier"]).strip())
    for page in ("hub.docker.com/r/", "hub.docker.com/_/"):
        if identifier.startswith(page):
            return "docker.io/" + identifier.removeprefix(page).rstrip("/")
    first, slash, _ = identifier.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host = "" if has_host else _registry(str(package.get("registryBaseUrl", "")).strip())
    return f"{host}/{identifier}" if host else identifier


def _registry(base: str) -> str:
    """Returns `host[:port][/path]` of a registry's URL, without the path of its API."""
    if not base:
        return ""
    if _host(base) in HUB:
        return "docker.io"
    return re.sub(r"/v[12]$", "", base.partition("://")[2].rstrip("/") or base)


def _host(url: str) -> str:
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
