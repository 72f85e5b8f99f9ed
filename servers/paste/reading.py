"""The result of reading a text, and the draft that the readers fill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["package", "git", "image", "document", ""]
LONGEST_NAME = 100


@dataclass(frozen=True)
class Asked:
    """An environment variable whose value the text does not give."""

    name: str
    secret: bool = True
    required: bool = True
    description: str = ""


@dataclass(frozen=True)
class Candidate:
    """One server that the text describes.

    `source`, `transport` ("": the usual one for the source), `port`, `path`, `command`, `environment` and
    `build` are as in `servers.models.Server`. For the kind "document", `source` is `{document}`, `{url}` or
    `{name, version}` of a server.json. `sealed` are values that look like secrets, and `token` is that of a
    git URL; neither is ever shown. `read` and `unknown` are sentences: what was understood, and what was left
    out or needs a check. `gaps` are placeholders among the arguments. `why_not` says why it cannot be hosted,
    or "". `incidental` is a step on the way (`pip install`, a program of the user's machine), which counts
    only if nothing else is found.
    """

    name: str
    kind: Kind = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    transport: str = ""
    port: int = 0
    path: str = ""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    asked: tuple[Asked, ...] = ()
    read: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    why_not: str = ""
    incidental: bool = False

    @property
    def hostable(self) -> bool:
        return not self.why_not

    @property
    def description(self) -> Mapping[str, Any]:
        """What two candidates must have in common to be the same, whatever their names are."""
        return {
            "kind": self.kind, "source": self.source, "command": self.command, "build": self.build,
            "environment": self.environment, "asked": self.asked, "transport": self.transport,
            "why_not": self.why_not,
        }  # fmt: skip

    def fields(self) -> dict[str, Any]:
        """Returns arguments for `intake.create` without a slug; usual values are left out."""
        told = {
            "transport": self.transport,
            "port": self.port,
            "path": self.path,
            "command": list(self.command),
            "environment": dict(self.environment),
            "build": dict(self.build),
        }
        made = {"name": self.name, "source_kind": self.kind, "source": dict(self.source)}
        return {**made, **{key: value for key, value in told.items() if value}}


@dataclass(frozen=True)
class Reading:
    """The candidates, each with its own name, and notes about the whole text."""

    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()

    def picked(self, name: str = "") -> Candidate | None:
        """Returns the candidate with this name; without a name the only candidate. None if there is none."""
        if name:
            return next((each for each in self.candidates if each.name == name), None)
        return self.candidates[0] if len(self.candidates) == 1 else None


@dataclass(frozen=True)
class Prompt:
    """A value that VS Code asks for, written as `${input:id}`."""

    description: str = ""
    secret: bool = False


@dataclass
class Draft:
    """A candidate that is not finished. The value of a variable is None if only its name is written."""

    name: str = ""
    kind: Kind = ""
    source: dict[str, Any] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    transport: str = ""
    port: int = 0
    path: str = ""
    command: list[str] = field(default_factory=list)
    build: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    token: str = ""
    read: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    why_not: str = ""
    incidental: bool = False

    def say(self, *sentences: str) -> None:
        """Adds sentences about what was understood."""
        self.read += sentences

    def leave(self, *sentences: str) -> None:
        """Adds sentences about what was left out or needs a check."""
        self.unknown += sentences

    def refuse(self, sentence: str) -> Draft:
        """Says why it cannot be hosted, unless a reason was given before."""
        self.why_not = self.why_not or sentence
        return self

    def set(self, name: str, value: str | None) -> None:
        """Sets a variable.

        A bare name (`docker run -e NAME`) does not remove a value that was given before.
        """
        if value is not None or self.variables.get(name) is None:
            self.variables[name] = value


def distinct(found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Returns the candidates without duplicates, each with its own name.

    Incidental ones, and those that cannot be hosted, are left out if there are others.
    """
    every = list(found)
    chosen = [each for each in every if each.hostable and not each.incidental] and [
        each for each in every if not each.incidental
    ]
    kept: list[Candidate] = []
    seen: list[Mapping[str, Any]] = []
    for each in chosen or [each for each in every if each.hostable] or every:
        if each.description not in seen:
            seen.append(each.description)
            kept.append(replace(each, name=_free(each.name, {one.name for one in kept})))
    return tuple(kept)


def _free(name: str, taken: set[str]) -> str:
    name = name[:LONGEST_NAME].strip() or "server"
    numbered = (f"{name[: LONGEST_NAME - 5]}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)
