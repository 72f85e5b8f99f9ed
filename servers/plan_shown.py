"""Describes the plan of a build (`Build.plan`) in words, for pages, terminals and comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hosting.sources.plan import ECOSYSTEMS

BY_HAND, FOUND = "set by hand", "found"
_EVERYWHERE = ("ecosystem", "root", "command")
# The choices that have an effect for each kind of project.
_USED = {
    "python": (*_EVERYWHERE, "member", "extras", "groups", "with", "python", "build"),
    "node": (*_EVERYWHERE, "member", "node", "build"),
    "dockerfile": (*_EVERYWHERE, "dockerfile", "target", "arguments"),
}


@dataclass(frozen=True)
class Fact:
    """One fact of a plan, with its name.

    `is_code` says that `words` are code. `origin` is FOUND or BY_HAND.
    """

    name: str
    words: str
    origin: str = FOUND
    is_code: bool = True

    @property
    def by_hand(self) -> bool:
        return self.origin == BY_HAND


def facts(plan: Mapping[str, Any]) -> list[Fact]:
    """Returns the facts of a plan in the order in which a build uses them; [] for an empty plan."""
    return [*_where(plan), *_what(plan), *_steps(plan), *_start(plan)] if plan.get("ecosystem") else []


def why(plan: Mapping[str, Any]) -> list[str]:
    """Returns the reasons for the plan as sentences, and one that names choices which have no effect."""
    ecosystem = plan.get("ecosystem", "")
    vain = [key for key in _chosen(plan) if key not in _USED.get(ecosystem, (key,))]
    kind = ECOSYSTEMS.get(ecosystem, ecosystem)
    without = f"set by hand, though a build of the kind {kind} makes no use of it: {', '.join(vain)}"
    return [*plan.get("why", ()), *([without] if vain else [])]


def choices(build: Mapping[str, Any]) -> list[Fact]:
    """Returns what is set by hand in `Server.build`.

    Of build arguments only the names, because not everybody who sees the server may read their values.
    """
    named = {"ecosystem": "Built as", "root": "Root", "build": "Build step", "target": "Stage"}
    return [
        Fact(named.get(key, key.capitalize()), value if isinstance(value, str) else _joined(value), BY_HAND)
        for key, value in build.items()
    ]


def in_short(plan: Mapping[str, Any]) -> str:
    """Returns the tool and the version: “uv, Python 3.12”."""
    kind, version = ECOSYSTEMS.get(plan.get("ecosystem", ""), ""), plan.get("version", "")
    return ", ".join(filter(None, (plan.get("tool", ""), f"{kind} {version}".strip())))


def _where(plan: Mapping[str, Any]) -> Iterator[Fact]:
    root = plan.get("root", "")
    yield Fact("Root", root or "the top of the source", _origin(plan, "root"), is_code=bool(root))
    if member := plan.get("member"):
        yield Fact("Member", member, _origin(plan, "member"))


def _what(plan: Mapping[str, Any]) -> Iterator[Fact]:
    chosen, language = _chosen(plan), str(plan["ecosystem"])
    named = {
        "Built as": ("ecosystem", ECOSYSTEMS.get(chosen.get("ecosystem", ""))),
        "Kept with": ("tool", plan.get("tool")),
        "Lock": ("lock", plan.get("lock")),
        ECOSYSTEMS.get(language, language): (language, plan.get("version")),
        "Tools": ("tools", _joined(plan.get("tools"))),
        "Extras": ("extras", _joined(plan.get("extras"))),
        "Groups": ("groups", _joined(plan.get("groups"))),
        "With": ("with", _joined(chosen.get("with"))),
        "Dockerfile": ("dockerfile", plan.get("dockerfile")),
        "Stage": ("target", plan.get("target")),
        "Arguments": ("arguments", _joined(chosen.get("arguments"))),
    }
    for name, (key, words) in named.items():
        if words:
            yield Fact(name, words, _origin(plan, key))


def _steps(plan: Mapping[str, Any]) -> Iterator[Fact]:
    for step in plan.get("steps", ()):
        by_hand = step["kind"] == "build" and "build" in _chosen(plan)
        yield Fact(step["kind"].capitalize(), shlex.join(step["words"]), BY_HAND if by_hand else FOUND)


def _start(plan: Mapping[str, Any]) -> Iterator[Fact]:
    if command := plan.get("command"):
        yield Fact("Start", shlex.join(command), _origin(plan, "command"))
    elif plan["ecosystem"] == "dockerfile":
        yield Fact("Start", "what the Dockerfile says", is_code=False)


def _origin(plan: Mapping[str, Any], key: str) -> str:
    return BY_HAND if key in _chosen(plan) else FOUND


def _chosen(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    return plan.get("chosen") or {}


def _joined(words: Any) -> str:
    return ", ".join(map(str, words or ()))
