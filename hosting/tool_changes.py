"""What became of a server's tools between two deployments, and what of it breaks a client. Pure.

Incompatible: a tool that is gone; an argument that is gone, is required now, or takes less than it did
(type, values, limits); a result that may hold what its schema excluded, or lacks what it promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hosting.schema_fit import Fitting, Misfit, Schema

Tool = Mapping[str, Any]
"""As listed by `tools/list`: `name`, `description`, `inputSchema`, `outputSchema`, `annotations` …"""

INPUT = {
    "type": "{at} no longer takes {detail}",
    "value": "{at} no longer takes {detail}",
    "required": "{at} is required now",
    "unknown": "{at} is gone",
    "limit": "{at} has a tighter limit: {detail}",
}
OUTPUT = {
    "type": "{at} in the result may be {detail} now",
    "value": "{at} in the result may be {detail} now",
    "required": "{at} may be missing in the result",
    "limit": "{at} in the result no longer keeps to {detail}",
}
TOLD = {"title": "its title", "description": "its description", "annotations": "its annotations"}


@dataclass(frozen=True)
class Change:
    """One tool that both have. `broken` tells what an existing call may trip over, `other` the rest."""

    name: str
    broken: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def breaking(self) -> bool:
        return bool(self.broken)

    @property
    def reasons(self) -> list[str]:
        return [*self.broken, *self.other]


@dataclass(frozen=True)
class ToolChanges:
    """Names in the order of their lists."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def breaking(self) -> list[str]:
        """A sentence for each tool that breaks; empty where every client can go on."""
        gone = [f"{name} is gone." for name in self.removed]
        return gone + [f"{one.name}: {'; '.join(one.broken)}." for one in self.changed if one.breaking]


def compare(before: Iterable[Tool], after: Iterable[Tool]) -> ToolChanges:
    old, new = _by_name(before), _by_name(after)
    both = [_change(name, old[name], new[name]) for name in old if name in new]
    return ToolChanges(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(change for change in both if change.reasons),
    )


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    return {str(tool["name"]): tool for tool in tools if "name" in tool}


def _change(name: str, old: Tool, new: Tool) -> Change:
    broken = [*_input(old, new), *_output(old, new)]
    return Change(name, tuple(broken), tuple(_others(old, new, bool(broken))))


def _input(old: Tool, new: Tool) -> Iterator[str]:
    for misfit in Fitting(_schema(old, "inputSchema"), _schema(new, "inputSchema")).misfits():
        yield _words(INPUT, misfit, "the input")


def _output(old: Tool, new: Tool) -> Iterator[str]:
    """The other way round: what is answered now must be what was promised."""
    if not old.get("outputSchema"):
        return
    if not new.get("outputSchema"):
        yield "it no longer tells the shape of its result"
        return
    for misfit in Fitting(_schema(new, "outputSchema"), _schema(old, "outputSchema")).misfits():
        if misfit.what in OUTPUT:  # a further member of the result hurts nobody
            yield _words(OUTPUT, misfit, "a value")


def _others(old: Tool, new: Tool, broken: bool) -> Iterator[str]:
    before, after = _schema(old, "inputSchema"), _schema(new, "inputSchema")
    added = [name for name in after.get("properties", {}) if name not in before.get("properties", {})]
    optional = [name for name in added if name not in after.get("required", [])]
    if optional:
        yield f"it also takes {', '.join(optional)}"
    elif before != after and not broken:
        yield "its input changed in ways that break nothing"
    if _schema(old, "outputSchema") != _schema(new, "outputSchema") and not broken:
        yield "its result changed in ways that break nothing"
    for key, words in TOLD.items():
        if old.get(key) != new.get(key):
            yield f"{words} changed"


def _schema(tool: Tool, key: str) -> Schema:
    found = tool.get(key)
    return found if isinstance(found, Mapping) else {}


def _words(sentences: Mapping[str, str], misfit: Misfit, whole: str) -> str:
    return sentences[misfit.what].format(at=misfit.at or whole, detail=misfit.detail)
