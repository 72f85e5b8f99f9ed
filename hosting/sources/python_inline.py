"""Plans a script that lists its dependencies in a comment block (PEP 723)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hosting.errors import SourceError
from hosting.sources import manifests
from hosting.sources.plan import BESIDE, Choices, Step
from hosting.sources.python_layout import Place, relative
from hosting.sources.python_poetry import declared
from hosting.sources.python_steps import DEPENDENCIES, INSTALL, LOCKED, PACKAGES, Installation


def installation(place: Place, script: str, metadata: dict[str, Any], choices: Choices) -> Installation:
    """Plans the installation of a script's dependencies. `metadata` is that of `python_scripts.inline`.

    Raises `SourceError`.
    """
    why = f"{script} says what it needs (PEP 723)"
    lines, local = _parts(place, script, metadata)
    if manifests.has(place.project, f"{script}.lock") and not local:
        return _locked(place, script, why)
    if not (lines or local or choices.additional):
        return Installation(why=(why,))
    words = ("-r", f"../{BESIDE}/{DEPENDENCIES}", *local, *choices.additional)
    step = Step("install", (*INSTALL, *words), PACKAGES, early=not local)
    return Installation((step,), (), {DEPENDENCIES: "".join(f"{line}\n" for line in lines)}, why=(why,))


def _locked(place: Place, script: str, why: str) -> Installation:
    name = relative(place.project / script, place.root)
    plain = ("--quiet", "--frozen", "--no-header", "--no-annotate")
    export = ("uv", "export", *plain, "--script", name, "-o", f"../{BESIDE}/{LOCKED}")
    install = (*INSTALL, "--no-deps", "-r", f"../{BESIDE}/{LOCKED}")
    steps = (Step("install", export, f"Reading {script}.lock"), Step("install", install, PACKAGES))
    return Installation(steps, (), {}, f"{script}.lock", False, (why, f"{script}.lock found"))


def _parts(place: Place, script: str, metadata: dict[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """Returns requirements for an index or git, and local directories.

    `uv pip install` does not read the table [tool.uv.sources] of a script, so it is read here.
    """
    sources: dict[str, dict[str, Any]] = {
        canonicalize_name(name): told
        for name, told in manifests.within(metadata, "tool", "uv", "sources").items()
        if isinstance(told, dict)
    }
    lines, local = list[str](), list[str]()
    for text in manifests.texts(metadata, "dependencies"):
        name = _name(text, script)
        found = (
            declared({name: sources[name]}, f"The block “# /// script” of {script}")
            if name in sources
            else None
        )
        if found and found.local:
            local.append(_inside(place, found.local[0][1]))
        elif found and "index" not in sources[name]:
            lines += found.requirements
        else:
            lines.append(text)
    return lines, tuple(local)


def _name(text: str, script: str) -> str:
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement as error:
        raise SourceError(f"The block “# /// script” of {script} cannot be read: {error}.") from None


def _inside(place: Place, name: str) -> str:
    path = Path(os.path.normpath(place.project / name))
    if not path.resolve().is_relative_to(place.root) or not path.exists():
        raise SourceError(f"The script depends on {name}, which is not in the source.")
    return f"./{relative(path, place.root)}"
