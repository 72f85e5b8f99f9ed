"""Does every value of one JSON Schema fit another? Knows the keywords that tools use, no more. Pure.

What is not understood (not, if, patternProperties …) is taken to fit: a warning too few, not a false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Schema = Mapping[str, Any]
ANYTHING: Schema = {}
DEPTH = 40
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True)
class Misfit:
    """`what` is type, value, required, unknown or limit; `at` the place, `detail` what does not fit there."""

    what: str
    at: str
    detail: str = ""


class Fitting:
    """Both schemas are whole documents: their own `$defs` are looked up in them. Each pair of places is
    compared once, so that schemas which hold themselves end, and those made to take long do not."""

    def __init__(self, given: Schema, taken: Schema) -> None:
        self._given, self._taken = given, taken
        self._known: dict[tuple[int, int], list[Misfit]] = {}

    def misfits(self) -> list[Misfit]:
        """Where a value that `given` describes is none of `taken`."""
        return [] if self._given == self._taken else self._between(self._given, self._taken, DEPTH)

    def _between(self, given: Any, taken: Any, depth: int) -> list[Misfit]:
        given, taken = _resolved(given, self._given), _resolved(taken, self._taken)
        pair = id(given), id(taken)
        if depth and pair not in self._known:
            self._known[pair] = []  # what holds itself fits as far as the rest of it does
            self._known[pair] = list(dict.fromkeys(self._nearest(given, taken, depth)))
        return self._known.get(pair, [])

    def _nearest(self, given: Schema, taken: Schema, depth: int) -> Iterator[Misfit]:
        if (several := _alternatives(given)) or _alternatives(taken):
            for one in several or [given]:
                choices = [self._between(one, each, depth - 1) for each in _alternatives(taken) or [taken]]
                yield from min(choices, key=_badness)
        else:
            yield from self._single(given, taken, depth)

    def _single(self, given: Schema, taken: Schema, depth: int) -> Iterator[Misfit]:
        if lost := _lost_types(given, taken):
            yield Misfit("type", "", ", ".join(lost))
            return
        yield from _values(given, taken)
        yield from _limits(given, taken)
        yield from self._members(given, taken, depth)
        if isinstance(given.get("items"), dict) and isinstance(taken.get("items"), dict):
            yield from _below("[]", self._between(given["items"], taken["items"], depth - 1))

    def _members(self, given: Schema, taken: Schema, depth: int) -> Iterator[Misfit]:
        known, wanted = _properties(given), _properties(taken)
        for name in sorted(_required(taken) - _required(given)):
            yield Misfit("required", name)
        for name, schema in known.items():
            if name in wanted:
                yield from _below(name, self._between(schema, wanted[name], depth - 1))
            elif "properties" in taken or taken.get("additionalProperties") is False:
                yield Misfit("unknown", name)


def _badness(misfits: list[Misfit]) -> tuple[int, int]:
    """Of several alternatives the nearest tells best what is wrong: one of the same type first."""
    return sum(m.what == "type" for m in misfits), len(misfits)


def _below(name: str, misfits: list[Misfit]) -> Iterator[Misfit]:
    for one in misfits:
        joint = "." if one.at and not one.at.startswith("[") else ""
        yield replace(one, at=f"{name}{joint}{one.at}")


def _resolved(schema: Any, document: Schema) -> Schema:
    """Follows `$ref` into the same document; what is no object says nothing."""
    for _ in range(DEPTH):
        if not isinstance(schema, Mapping):
            return ANYTHING
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = document
        for part in reference[2:].split("/"):
            target = target.get(part) if isinstance(target, Mapping) else None
        schema = target
    return ANYTHING


def _alternatives(schema: Schema) -> list[Any]:
    several = schema.get("anyOf") or schema.get("oneOf")
    return several if isinstance(several, list) else []


def _types(schema: Schema) -> set[str]:
    named = schema.get("type")
    if isinstance(named, str):
        return {named}
    if isinstance(named, list):
        return {one for one in named if isinstance(one, str)}
    return set(TYPES)


def _lost_types(given: Schema, taken: Schema) -> list[str]:
    accepted = _types(taken)
    if "number" in accepted:
        accepted.add("integer")
    lost = _types(given) - accepted
    if lost == set(TYPES) - accepted:  # nothing was said before: name what is left instead
        return [f"anything but {' or '.join(sorted(_types(taken)))}"] if lost else []
    return sorted(lost)


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _values(given: Schema, taken: Schema) -> Iterator[Misfit]:
    accepted, possible = _allowed(taken), _allowed(given)
    if accepted is None:
        return
    if possible is None:
        yield Misfit("value", "", "anything but " + ", ".join(map(json.dumps, accepted)))
        return
    lost = [value for value in possible if value not in accepted]
    if lost:
        yield Misfit("value", "", ", ".join(map(json.dumps, lost)))


def _limits(given: Schema, taken: Schema) -> Iterator[Misfit]:
    if _allowed(given) is not None:
        return
    for name in (*LEAST, *MOST):
        limit, before = taken.get(name), given.get(name)
        if not isinstance(limit, int | float) or limit == before or (limit == 0 and name in LEAST[2:]):
            continue
        if not isinstance(before, int | float) or (before < limit) == (name in LEAST):
            yield Misfit("limit", "", f"{name} {limit}")
    if isinstance(taken.get("pattern"), str) and taken["pattern"] != given.get("pattern"):
        yield Misfit("limit", "", f"pattern {taken['pattern']}")


def _properties(schema: Schema) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _required(schema: Schema) -> set[str]:
    found = schema.get("required")
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
