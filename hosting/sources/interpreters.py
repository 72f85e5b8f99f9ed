"""Finds the Python interpreters that can run a server of the process runtime."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import uv

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import BuildError
from hosting.sources import python_releases
from hosting.sources.plan import Plan
from registry.reasons import Reason

OWN = ".".join(map(str, sys.version_info[:3]))
SHOWN = 8
VERSION_TAG = re.compile(r"(?P<version>\d+(?:\.\d+){0,2})(?P<kind>(?:-[A-Za-z0-9_.-]+)?)")


def found(env: Mapping[str, str], deadline: Deadline, cwd: Path) -> tuple[str, ...]:
    """Returns versions (`3.12.1`) of the interpreters on PATH, newest first; the platform's own is among
    them.
    """
    words = (uv.find_uv_bin(), "python", "list", "--only-installed", "--no-config", "--output-format=json")
    quiet = {**env, "UV_PYTHON_DOWNLOADS": "never"}
    outcome = tooling.run(words, env=quiet, deadline=deadline, log=tooling.no_log, cwd=cwd, keep=10_000)
    try:
        listed = json.loads(outcome.text) if not outcome.code else []
    except ValueError:
        listed = []
    versions = {str(each.get("version", "")) for each in listed if each.get("implementation") == "cpython"}
    return tuple(sorted({OWN, *filter(None, versions)}, key=_order, reverse=True))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def reachable(settings: BuildSettings, *, images: bool, deadline: Deadline, work: Path) -> tuple[str, ...]:
    """Returns the versions of Python that can run a package: those of images or of this machine, and
    downloads.

    () if the image's tag does not tell its version. `work` is a directory for uv to run in.
    """
    base = tagged_python(settings)
    if images and base:  # the image's repository has the other versions, too
        return (base, *python_releases.PYTHONS)
    if settings.python_downloads:
        return (OWN, *python_releases.PYTHONS)
    return () if images else found(tooling.environment(settings, work), deadline, work)


def tagged_python(settings: BuildSettings) -> str:
    """Returns the version in the tag of the Python base image (`python:3.12-slim` gives 3.12);
    "" for none.
    """
    found = VERSION_TAG.fullmatch(split_tag(settings.python_image)[1])
    return found["version"] if found else ""


def split_tag(reference: str) -> tuple[str, str]:
    """Returns repository and tag of an image reference.

    A reference with a digest is not split: its tag means nothing.
    """
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag and "@" not in reference else (reference, "")


def other(plan: Plan, there: tuple[str, ...]) -> str:
    """Returns the newest version in `there` that the plan allows in place of the wanted one; "" for none."""
    fitting = (version for version in there if plan.allowed and python_releases.suits(version, plan.allowed))
    return next(fitting, "")


def asked(wanted: str, there: tuple[str, ...]) -> str:
    """Returns the version or range to ask uv for.

    If no version in `there` fits, that is the release nearest to the platform's own. uv would download the
    newest, for which many packages have no wheels yet.
    """
    if any(python_releases.suits(version, wanted) for version in there):
        return wanted
    return python_releases.nearest(wanted, OWN) or wanted


def missing(wanted: str, there: tuple[str, ...], settings: BuildSettings) -> BuildError:
    """Returns the error for a Python that is asked for and cannot be had.

    `there` are the versions that exist.
    """
    minors = list(dict.fromkeys(".".join(each.split(".")[:2]) for each in there))[:SHOWN]
    downloads = "" if settings.python_downloads else ", or set PYTHON_DOWNLOADS=true"
    tried = ", and uv could not download one" if settings.python_downloads else ""
    return BuildError(
        f"The source asks for Python {wanted}; this machine has {_listed(minors)}{tried}.",
        hint=f"Install that version of Python on the machine of the workers{downloads}; or set the server's "
        "Python to one that there is, if the source runs with it.",
        reason=Reason.UNSATISFIABLE,
        details={"wanted": wanted, "there": list(there)},
    )


def _listed(versions: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(versions[:-1]), versions[-1]))) if versions else "none"
