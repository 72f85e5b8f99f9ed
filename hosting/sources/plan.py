"""The plan of a source: what is done to install and start its server.

An executor (the process environment, the Dockerfile template) copies `root` of the source to a directory and
writes `beside` into the sibling directory `plan/`. It provides the interpreter and the `tools`, and runs the
steps in their order, with the same words as every other executor. Executors decide nothing about a project
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

ECOSYSTEMS = {"python": "Python", "node": "Node", "dockerfile": "Dockerfile"}  # and the names that pages show
BESIDE = "plan"  # the directory of `beside`; a step names a file in it as ../plan/<file>


@dataclass(frozen=True)
class Choices:
    """What a person set by hand. An empty field is recognised from the source.

    `ecosystem` is one of `ECOSYSTEMS`, for a source that could be built as several. `root` is the directory
    to install in, from the source's top ("." is the top). `member` is the directory or the name of the
    workspace's package that is started. `additional` are requirements that are installed as well, and so
    bound the versions of dependencies (`mcp<2`, as `uvx --with`). `python` and `node` are a version or a
    range. `build` is a command line. `dockerfile` is a path from the source's top; `target` and `arguments`
    belong to its build. `command` are the words that start the server.
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
        """Reads `Server.build` (see `servers.models.build_choices`) and the server's command."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        if "with" in known:
            known["additional"] = known.pop("with")
        return cls(**known, command=command)

    def as_json(self) -> dict[str, Any]:
        """Returns what was set, with the keys of `Server.build` and `command`; of the arguments, only the
        names.
        """
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        held["with"] = held.pop("additional")
        return {
            name: value if isinstance(value, str) else list(value) for name, value in held.items() if value
        }


NO_CHOICES = Choices()


@dataclass(frozen=True)
class Tool:
    """A program that steps run. `version` is exact, or "" for any version."""

    name: Literal["uv", "npm", "pnpm", "yarn", "bun"]
    version: str = ""


@dataclass(frozen=True)
class Step:
    """A command to run in the plan's root. The first word is a program of the executor or one of the plan's
    tools.

    `says` is the log line. `early`: the step needs only the plan's `files` and `beside`, not the rest of the
    source; so its image layer stays valid when the source changes.
    """

    kind: Literal["install", "build", "prune"]
    argv: tuple[str, ...]
    says: str
    early: bool = False


@dataclass(frozen=True)
class Plan:
    """How a source becomes a server.

    `root` is a directory from the source's top, `member` one from the root; the server runs in the member.
    `tool` is the tool that the project is kept with (uv, poetry, pnpm …), `lock` its lock file from the root,
    "" for none; `tools` are the programs that the steps run. `version` is the version or range of Python or
    Node that is wanted, "" for any; `allowed` is a range from which another version may be taken if that one
    cannot be had, "" for none. `files` are the files that early steps read, `beside` the contents of files to
    write into `plan/`. `environment` holds variables for the steps. `command` starts the server, with the
    environment's bin directories first on PATH; () means the command of the Dockerfile. `why` are sentences
    that explain these choices to people.
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

    def as_json(self, choices: Choices = NO_CHOICES) -> dict[str, Any]:
        """Returns what is stored and shown of the plan (`Build.plan`), without the values of arguments.

        Its key `chosen` holds what a person set by hand and was therefore not recognised.
        """
        shown = ("ecosystem", "root", "member", "tool", "lock", "version", "dockerfile", "target")
        return {
            **{name: getattr(self, name) for name in shown if getattr(self, name)},
            **{name: list(getattr(self, name)) for name in ("command", "extras", "groups", "why")},
            "tools": [f"{tool.name}@{tool.version}" if tool.version else tool.name for tool in self.tools],
            "steps": [{"kind": step.kind, "words": list(step.argv)} for step in self.steps],
            "chosen": choices.as_json(),
        }

    @property
    def builds(self) -> bool:
        """Tells whether a step leaves files behind that the running server does not need."""
        return any(step.kind != "install" for step in self.steps)
