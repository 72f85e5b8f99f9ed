"""Which of a document's packages this platform can run, and why not the others. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog import inputs
from catalog.document import Document
from catalog.inputs import Question, Slot

ECOSYSTEMS = {"npm": "npm", "pypi": "pypi"}
PUBLIC = {
    "npm": ("https://registry.npmjs.org", "https://www.npmjs.com", "https://npmjs.com"),
    "pypi": ("https://pypi.org", "https://pypi.org/simple"),
}
SSE = (
    "It speaks only the old transport, HTTP with SSE, which MCP gave up in 2025. "
    "This platform serves stdio and Streamable HTTP."
)
SEALED_ARGUMENT = (
    "It takes a secret ({}) on its command line, where every process of the machine can read it. "
    "This platform gives secrets in the environment only."
)
# Options of `docker run` that say what the platform does anyway.
DOCKER_USUAL = {"-i", "--interactive", "-t", "--tty", "-it", "--rm", "--init", "--name", "-p", "--publish"}
DOCKER_ENVIRONMENT = {"-e", "--env"}
USUAL = {"npm": {"-y", "--yes"}, "pypi": set[str](), "oci": DOCKER_USUAL}
TAGGED = re.compile(r"(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})\Z")


@dataclass(frozen=True)
class Option:
    """One package of a document. `why_not` is "" where it can be hosted; `notes` say what is left out."""

    index: int
    kind: str
    identifier: str
    version: str
    transport: str
    why_not: str = ""
    notes: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    package: Mapping[str, Any] | None = None

    @property
    def hostable(self) -> bool:
        return not self.why_not

    @property
    def questions(self) -> tuple[Question, ...]:
        return tuple(question for slot in self.slots for question in slot.questions)


def options(document: Document, runtimes: Collection[str]) -> list[Option]:
    """Every package in the document's order; `runtimes` are those of this platform."""
    return [_option(n, package, runtimes) for n, package in enumerate(document.get("packages") or ())]


def preselected(found: Iterable[Option]) -> Option | None:
    """The first that can be hosted."""
    return next((option for option in found if option.hostable), None)


def remotes(document: Document) -> list[dict[str, str]]:
    """What somebody else runs already: shown, never hosted."""
    return [{"type": each["type"], "url": each["url"]} for each in document.get("remotes") or ()]


def reference(package: Mapping[str, Any]) -> str:
    """The image: older documents keep host and tag beside the identifier."""
    identifier, version = package["identifier"], package.get("version", "")
    host = package.get("registryBaseUrl", "").partition("://")[2].rstrip("/")
    first = identifier.partition("/")[0]
    named = "." in first or ":" in first or first == "localhost"
    full = f"{host}/{identifier}" if host and not named else identifier
    return full if TAGGED.search(full.rpartition("/")[2]) or not version else f"{full}:{version}"


def _option(index: int, package: Mapping[str, Any], runtimes: Collection[str]) -> Option:
    found = inputs.slots(package)
    kind = package["registryType"]
    return Option(
        index,
        kind,
        package["identifier"],
        package.get("version", ""),
        package["transport"]["type"],
        why_not=_why_not(package, found, runtimes),
        notes=tuple(_notes(package, found)),
        slots=tuple(slot for slot in found if _is_used(kind, slot)),
        package=package,
    )


def _why_not(package: Mapping[str, Any], found: list[Slot], runtimes: Collection[str]) -> str:
    kind, base = package["registryType"], package.get("registryBaseUrl", "").rstrip("/")
    if kind != "oci" and kind not in ECOSYSTEMS:
        return f"This platform runs packages of npm, PyPI and container images, not of {kind}."
    if kind == "oci" and not {"docker", "kubernetes"} & set(runtimes):
        return "It is a container image, and this platform runs processes only: it needs Docker."
    if kind in ECOSYSTEMS and base and base not in PUBLIC[kind]:
        return f"It comes from {base}, another registry than the one that this platform installs from."
    if package.get("fileSha256"):
        return "It asks for its file to be checked by SHA-256, which this platform does not do for packages."
    if package["transport"]["type"] == "sse":
        return SSE
    return next(filter(None, (_why_not_slot(kind, slot) for slot in found)), "")


def _why_not_slot(kind: str, slot: Slot) -> str:
    if _is_environment(kind, slot):
        return ""
    if slot.secret and slot.place == "package" and slot.required:
        return SEALED_ARGUMENT.format(slot.name or slot.hint)
    if slot.place == "runtime" and slot.required and slot.name not in USUAL.get(kind, set()):
        option = slot.name or slot.hint
        return f"It needs {option} of its own launcher ({_launcher(kind)}), which is not used here."
    return ""


def _notes(package: Mapping[str, Any], found: list[Slot]) -> list[str]:
    kind = package["registryType"]
    said = [
        f"{slot.name or slot.hint or slot.template} is for {_launcher(kind)} and is left out."
        for slot in found
        if slot.place == "runtime" and not _is_environment(kind, slot)
        and slot.name not in USUAL.get(kind, set())
    ]  # fmt: skip
    said += [
        f"{slot.name or slot.hint} is a secret on the command line and is left out."
        for slot in found
        if slot.place == "package" and slot.secret
    ]
    if kind in ECOSYSTEMS and not package.get("version"):
        said.append("It names no version: the newest is looked up at each deployment.")
    return said


def _is_used(kind: str, slot: Slot) -> bool:
    """What is asked and put to use; the rest is told in the notes."""
    if slot.place == "runtime":
        return kind == "oci" and _is_environment(kind, slot)
    return slot.place == "environment" or not slot.secret


def _is_environment(kind: str, slot: Slot) -> bool:
    """An environment variable, also one that is written as `docker run -e NAME=value`."""
    if slot.place == "environment":
        return True
    fits = slot.name in DOCKER_ENVIRONMENT and "=" in (slot.template or "")
    return kind == "oci" and slot.place == "runtime" and fits


def _launcher(kind: str) -> str:
    return {"npm": "npx", "pypi": "uvx", "oci": "docker run"}.get(kind, kind)
