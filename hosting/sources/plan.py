"""What is to be done with a source: one plan, which every executor carries out alike.

An executor (the process environment, the Dockerfile template, whatever builds images later) copies `root`
of the source to a directory, puts `beside` into its sibling `plan/`, has the interpreter and the `tools`,
and runs the steps in their order, each with the same words. None decides anything about a project by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

ECOSYSTEMS = {"python": "Python", "node": "Node", "dockerfile": "Dockerfile"}  # and how pages name them
BESIDE = "plan"  # a step names what lies there as ../plan/<file>


@dataclass(frozen=True)
class Choices:
    """What a person set by hand; what is empty is recognised.

    `ecosystem`: of a source that is several things, which it is built as (see `Plan`). `root`: the directory
    that is installed in, from the source's top ("." is the top itself). `member`: the directory or the name
    of the workspace's part that is started. `additional`: requirements that are installed besides, and so
    bound what the server brings (`mcp<2`, as uvx --with). `python`, `node`: a version or a range. `build`: a
    command line. `dockerfile`: from the source's top; `target` and `arguments` are of its build. `command`:
    the words that start the server.
    """

    ecosystem: str = ""
    root: str = ""
    member: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    python: str = ""
    node: str = ""
    build: str = ""
    dockerfile: str = ""
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any], command: tuple[str, ...] = ()) -> Choices:
        """Of `Server.build` (see `servers.models.build_choices`) and the server's command."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        if "with" in known:
            known["additional"] = known.pop("with")
        return cls(**known, command=command)

    def told(self) -> dict[str, Any]:
        """What was set, by the names of `Server.build` and `command`; of the arguments the names alone."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        held["with"] = held.pop("additional")
        return {
            name: value if isinstance(value, str) else list(value) for name, value in held.items() if value
        }


NO_CHOICES = Choices()


@dataclass(frozen=True)
class Tool:
    """A program that the project's own tool is: `version` is exact, or "" for whichever there is."""

    name: Literal["uv", "npm", "pnpm", "yarn", "bun"]
    version: str = ""


@dataclass(frozen=True)
class Step:
    """Words to run in the plan's root; the first is a program that an executor has or a plan's tool.

    `early`: it needs the plan's `files` and what lies beside, not the rest of the source, so that its layer
    outlives changes of the source.
    """

    kind: Literal["install", "build", "prune"]
    argv: tuple[str, ...]
    says: str
    early: bool = False


@dataclass(frozen=True)
class Plan:
    """How a source becomes a server.

    `root` is from the source's top, `member` from the root; the server runs in the member. `tool` is the one
    that the project itself is kept with (uv, poetry, pnpm …), `lock` its lock from the root, as far as there
    is one; `tools` are what the steps run. `version` is what is asked of Python or Node: a version or a
    range, "" for any; `allowed` is a range of which another may be taken where that version is not to be had,
    "" for none. `environment` is set for the steps. `command` starts the server with the bin
    directories of the environment first on PATH; () where the Dockerfile's own command does. `why` says what
    led to all that, a sentence each.
    """

    ecosystem: Literal["python", "node", "dockerfile"]
    command: tuple[str, ...] = ()
    root: str = ""
    member: str = ""
    tool: str = ""
    lock: str = ""
    tools: tuple[Tool, ...] = ()
    version: str = ""
    allowed: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    dockerfile: str = ""
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    why: tuple[str, ...] = ()

    def told(self, choices: Choices = NO_CHOICES) -> dict[str, Any]:
        """What is kept of it and shown (`Deployment.plan`); values of arguments are the server's own.

        `chosen` is what a person set by hand, and so was not recognised.
        """
        shown = ("ecosystem", "root", "member", "tool", "lock", "version", "dockerfile", "target")
        return {
            **{name: getattr(self, name) for name in shown if getattr(self, name)},
            **{name: list(getattr(self, name)) for name in ("command", "extras", "groups", "why")},
            "tools": [f"{tool.name}@{tool.version}" if tool.version else tool.name for tool in self.tools],
            "steps": [{"kind": step.kind, "words": list(step.argv)} for step in self.steps],
            "chosen": choices.told(),
        }

    @property
    def builds(self) -> bool:
        """Whether a step leaves behind what the running server does not need."""
        return any(step.kind != "install" for step in self.steps)
