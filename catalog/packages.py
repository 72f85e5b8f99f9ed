"""Decides which packages of a document this platform can run, and says why not the others. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from catalog import document as documents
from catalog import identifiers, inputs, launch
from catalog.document import Document
from catalog.identifiers import reference as reference
from catalog.inputs import Question, Slot
from catalog.launch import Launch
from hosting.runtimes import kinds

INDEXES = ("npm", "pypi")
TRANSPORTS = ("stdio", "streamable-http")
SSE = (
    "It speaks only the old transport, HTTP with SSE, which MCP gave up in 2025. "
    "This platform serves stdio and Streamable HTTP."
)
SEALED_ARGUMENT = (
    "It takes a secret ({}) on its command line, where every process of the machine can read it. "
    "This platform gives secrets in the environment only."
)
NOT_READ = Launch()


@dataclass(frozen=True)
class Option:
    """A package of a document. `why_not` is "" if it can be hosted.

    `notes` are sentences about the launcher's options that were read or left out.
    """

    index: int
    kind: str
    identifier: str
    version: str
    transport: str
    why_not: str = ""
    notes: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    package: Mapping[str, Any] | None = None
    launch: Launch = NOT_READ

    @property
    def hostable(self) -> bool:
        """Tells whether this platform can run the package."""
        return not self.why_not

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions for a person, in the order of the slots."""
        return tuple(question for slot in self.slots for question in slot.questions)


def options(document: Document, runtimes: Collection[str]) -> list[Option]:
    """Returns all packages in the document's order; `runtimes` are those of this platform."""
    return [_option(n, package, runtimes) for n, package in enumerate(document.get("packages") or ())]


def slots(package: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Returns the slots of a canonical package, variables first; () for a kind that cannot be hosted."""
    if package.get("registryType") not in (*INDEXES, "oci"):
        return ()
    return launch.read(package, inputs.slots(package)).slots


def preselected(found: Iterable[Option]) -> Option | None:
    """Returns the first package that can be hosted; None if there is none."""
    return next((option for option in found if option.hostable), None)


def remotes(document: Document) -> list[dict[str, str]]:
    """Returns the servers that the publisher runs itself: they are shown, but not hosted."""
    found = (each for each in document.get("remotes") or () if isinstance(each, Mapping))
    told = ({key: str(each.get(key, "")) for key in ("type", "url")} for each in found)
    return [each for each in told if each["url"]]


def _option(index: int, package: Any, runtimes: Collection[str]) -> Option:
    given: Mapping[str, Any] = package if isinstance(package, Mapping) else {}
    said = {key: str(given.get(key, "")) for key in ("registryType", "identifier", "version")}
    transport = str((given.get("transport") or {}).get("type", ""))
    option = Option(index, said["registryType"], said["identifier"], said["version"], transport)
    if flaw := documents.flaw_of_package(package):
        return replace(option, why_not=flaw)
    if why_not := _why_not_at_all(package, runtimes):
        return replace(option, why_not=why_not, package=package)
    found = launch.read(package, inputs.slots(package))
    found = replace(found, slots=tuple(inputs.with_unique_keys(found.slots)))
    return replace(
        option,
        why_not=_why_not_so(package, found),
        notes=tuple(_notes(package, found)),
        slots=tuple(slot for slot in found.slots if not _is_sealed_argument(slot)),
        package=package,
        launch=found,
    )


def _why_not_at_all(package: Mapping[str, Any], runtimes: Collection[str]) -> str:
    """Returns why the package cannot be hosted with any arguments; "" if it can."""
    kind, transport = package["registryType"], package["transport"]["type"]
    if kind != "oci" and kind not in INDEXES:
        return f"This platform runs packages of npm, PyPI and container images, not of {kind[:40]}."
    if kind == "oci" and not any(kinds.needs_image(name) for name in runtimes):
        return "It is a container image, and this platform runs processes only: it needs Docker."
    if kind in INDEXES and (base := identifiers.other_index(package)):
        return f"It comes from {base}, another registry than the one that this platform installs from."
    if package.get("fileSha256"):
        return "It asks for its file to be checked by SHA-256, which this platform does not do for packages."
    if transport == "sse":
        return SSE
    if transport not in TRANSPORTS:
        return f"It speaks {transport[:40]}. This platform serves stdio and Streamable HTTP."
    return ""


def _why_not_so(package: Mapping[str, Any], found: Launch) -> str:
    """Returns why the package cannot be hosted with its arguments; "" if it can."""
    sealed = next(filter(None, map(_why_not_slot, found.slots)), "")
    return found.refusal or sealed or identifiers.objection(package)


def _why_not_slot(slot: Slot) -> str:
    if _is_sealed_argument(slot) and slot.required:
        return SEALED_ARGUMENT.format(slot.name or slot.hint)
    return ""


def _is_sealed_argument(slot: Slot) -> bool:
    return slot.place == "package" and slot.secret


def _notes(package: Mapping[str, Any], found: Launch) -> list[str]:
    kind = package["registryType"]
    said = [*found.read, *found.left_out]
    said += [
        f"{slot.name or slot.hint} is a secret on the command line and is left out."
        for slot in found.slots
        if _is_sealed_argument(slot)
    ]
    if kind in INDEXES and not (identifiers.named(package).version or found.version):
        said.append("It names no version: the newest is looked up at each deployment.")
    return said
