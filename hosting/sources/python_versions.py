"""Finds which Python a project asks for, and passes on a version that its build would ask git for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from hosting.sources import manifests
from hosting.sources.python_manifest import Manifest

PINNED = re.compile(r"(?:python-|cpython-?|cpython@)?(?P<version>3(?:\.\d{1,3}){0,2})\b")
FILES = (".python-version", "runtime.txt", ".tool-versions")
UNKNOWN = "0.0.0"


def pinned(directories: Iterable[Path]) -> tuple[str, str]:
    """Returns a version (`3.12`) and the name of the file that pins it; ("", "") for none.

    The third number of a pin is dropped: the machine decides which bug fix release there is.
    """
    for directory in directories:
        for name in FILES:
            if manifests.has(directory, name) and (
                version := _version(manifests.read(directory, name), name)
            ):
                return version, name
    return "", ""


def _version(text: str, name: str) -> str:
    for line in map(str.strip, text.splitlines()):
        if name == ".tool-versions":
            tool, _, line = line.partition(" ")
            line = line.strip() if tool == "python" else ""
        if found := PINNED.match(line):
            return ".".join(found["version"].split(".")[:2])
    return ""


def scm_environment(manifests_: Iterable[Manifest], version: str) -> dict[str, str]:
    """Returns variables that tell build backends the version that they would ask git for.

    The source has no git history, so git cannot answer. {} if no project asks. The variable of setuptools-scm
    contains the project's name: without it, a dependency that is built from its source would get this
    version, too. `version` "" means `UNKNOWN`.
    """
    found: dict[str, str] = {}
    for manifest in manifests_:
        found |= _told(manifest, version or UNKNOWN)
    return found


def _told(manifest: Manifest, version: str) -> dict[str, str]:
    data: dict[str, Any] = dict(manifest.pyproject)
    tools = manifests.table(data, "tool")
    needs = " ".join(manifests.texts(manifests.table(data, "build-system"), "requires")).lower()
    hatch = manifests.within(tools, "hatch", "version").get("source", "")
    found: dict[str, str] = {}
    suffix = canonicalize_name(manifest.name).replace("-", "_").upper()
    if re.search(r"setuptools[-_]scm|vcs[-_]versioning|hatch[-_]vcs", needs) or _uses_scm(manifest.path):
        found[
            f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{suffix}" if suffix else "SETUPTOOLS_SCM_PRETEND_VERSION"
        ] = version
    if hatch == "vcs" or "hatch-vcs" in needs:
        found["SETUPTOOLS_SCM_PRETEND_VERSION"] = version  # Hatch's plugin does not pass the project's name
    if hatch == "uv-dynamic-versioning" or "uv-dynamic-versioning" in needs:
        found["UV_DYNAMIC_VERSIONING_BYPASS"] = version
    if "poetry-dynamic-versioning" in needs or "poetry-dynamic-versioning" in tools:
        found["POETRY_DYNAMIC_VERSIONING_BYPASS"] = version
    if manifests.within(tools, "pdm", "version").get("source") == "scm":
        found["PDM_BUILD_SCM_VERSION"] = version
    if re.search(r"\bpbr\b", needs) or _uses_pbr(manifest.path):
        found["PBR_VERSION"] = version
    return found


def _uses_scm(path: Path) -> bool:
    text = manifests.read(path, "setup.py") if manifests.has(path, "setup.py") else ""
    return "use_scm_version" in text


def _uses_pbr(path: Path) -> bool:
    text = manifests.read(path, "setup.py") if manifests.has(path, "setup.py") else ""
    return bool(re.search(r"\bpbr\s*=\s*True", text))


def said_of(environment: Mapping[str, str], version: str) -> tuple[str, ...]:
    """Returns a sentence about the variables of `scm_environment` in a tuple; () where there are none."""
    if not environment:
        return ()
    if version:
        return (f"its version is {version}, of the tags of the repository",)
    return (f"its version is taken as {UNKNOWN}: it is in tags of git, which the source does not have",)
