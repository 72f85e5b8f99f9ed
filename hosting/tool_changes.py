"""How the tools of a server differ between two deployments, and which differences break a client.

A change breaks clients when a tool is gone; when an argument is gone, is required now, or accepts fewer
values than before (type, values, limits); and when a result may hold what its old schema excluded or lack
what it promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hosting.schema_fit import Comparison, Mismatch, Schema

Tool = Mapping[str, Any]
"""One entry of a `tools/list` result (MCP, "Tools"): `name`, `inputSchema`, `outputSchema`, `title` …"""

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
    """What changed in a tool that both deployments have. `broken` lists what can make an existing call fail,
    `other` the rest; each entry is half a sentence.
    """

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
    """Names of tools, in the order in which the servers list them. False where nothing changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def breaking(self) -> list[str]:
        """A sentence for each tool whose clients may break; empty where none may."""
        gone = [f"{name} is gone." for name in self.removed]
        return gone + [f"{one.name}: {'; '.join(one.broken)}." for one in self.changed if one.breaking]


def compare(before: Iterable[Tool], after: Iterable[Tool]) -> ToolChanges:
    """Compares two lists of tools by name. Entries without a name are ignored."""
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
    for mismatch in Comparison(_schema(old, "inputSchema"), _schema(new, "inputSchema")).mismatches():
        yield _words(INPUT, mismatch, "the input")


def _output(old: Tool, new: Tool) -> Iterator[str]:
    """For results the comparison goes the other way: the new results must fit the old schema."""
    if not old.get("outputSchema"):
        return
    if not new.get("outputSchema"):
        yield "it no longer tells the shape of its result"
        return
    for mismatch in Comparison(_schema(new, "outputSchema"), _schema(old, "outputSchema")).mismatches():
        if mismatch.what in OUTPUT:  # a new member of a result breaks no client
            yield _words(OUTPUT, mismatch, "a value")


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


def _words(sentences: Mapping[str, str], mismatch: Mismatch, whole: str) -> str:
    return sentences[mismatch.what].format(at=mismatch.at or whole, detail=mismatch.detail)
