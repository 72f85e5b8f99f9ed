"""Tells whether every value that fits one JSON Schema also fits another.

It knows the keywords of JSON Schema that tools use. Other keywords (not, if, patternProperties …) count as
compatible: a missing warning is better than a false one.
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
class Mismatch:
    """One place where a value may not fit. `what` is type, value, required, unknown or limit; `at` is the
    path of the place, such as `filter.tags[]`, and "" at the top; `detail` says in words what does not fit.
    """

    what: str
    at: str
    detail: str = ""


class Comparison:
    """Compares two JSON Schemas. `given` describes the values that one side sends, `taken` those
    that the other side accepts.

    Both are whole documents, in which their own `$ref` are resolved. Each pair of places is compared once, so
    that the comparison of recursive and of hostile schemas ends soon.
    """

    def __init__(self, given: Schema, taken: Schema) -> None:
        self._given, self._taken = given, taken
        self._known: dict[tuple[int, int], list[Mismatch]] = {}

    def mismatches(self) -> list[Mismatch]:
        """The places where a value that fits `given` may not fit `taken`; [] where each one fits."""
        return [] if self._given == self._taken else self._between(self._given, self._taken, DEPTH)

    def _between(self, given: Any, taken: Any, depth: int) -> list[Mismatch]:
        given, taken = _resolved(given, self._given), _resolved(taken, self._taken)
        pair = id(given), id(taken)
        if depth and pair not in self._known:
            self._known[pair] = []  # a recursive reference fits where the rest fits
            self._known[pair] = list(dict.fromkeys(self._nearest(given, taken, depth)))
        return self._known.get(pair, [])

    def _nearest(self, given: Schema, taken: Schema, depth: int) -> Iterator[Mismatch]:
        if (several := _alternatives(given)) or _alternatives(taken):
            for one in several or [given]:
                choices = [self._between(one, each, depth - 1) for each in _alternatives(taken) or [taken]]
                yield from min(choices, key=_badness)
        else:
            yield from self._single(given, taken, depth)

    def _single(self, given: Schema, taken: Schema, depth: int) -> Iterator[Mismatch]:
        if lost := _lost_types(given, taken):
            yield Mismatch("type", "", ", ".join(lost))
            return
        yield from _values(given, taken)
        yield from _limits(given, taken)
        yield from self._members(given, taken, depth)
        if isinstance(given.get("items"), dict) and isinstance(taken.get("items"), dict):
            yield from _below("[]", self._between(given["items"], taken["items"], depth - 1))

    def _members(self, given: Schema, taken: Schema, depth: int) -> Iterator[Mismatch]:
        known, wanted = _properties(given), _properties(taken)
        for name in sorted(_required(taken) - _required(given)):
            yield Mismatch("required", name)
        for name, schema in known.items():
            if name in wanted:
                yield from _below(name, self._between(schema, wanted[name], depth - 1))
            elif "properties" in taken or taken.get("additionalProperties") is False:
                yield Mismatch("unknown", name)


def _badness(mismatches: list[Mismatch]) -> tuple[int, int]:
    """The sort key by which the nearest of several alternatives is found: the same type comes first."""
    return sum(m.what == "type" for m in mismatches), len(mismatches)


def _below(name: str, mismatches: list[Mismatch]) -> Iterator[Mismatch]:
    for one in mismatches:
        joint = "." if one.at and not one.at.startswith("[") else ""
        yield replace(one, at=f"{name}{joint}{one.at}")


def _resolved(schema: Any, document: Schema) -> Schema:
    """Follows `$ref` within the document. A schema that is no object counts as one that allows anything."""
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
    if lost == set(TYPES) - accepted:  # `given` has no type: name the types that are accepted
        return [f"anything but {' or '.join(sorted(_types(taken)))}"] if lost else []
    return sorted(lost)


def _allowed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _values(given: Schema, taken: Schema) -> Iterator[Mismatch]:
    accepted, possible = _allowed(taken), _allowed(given)
    if accepted is None:
        return
    if possible is None:
        yield Mismatch("value", "", "anything but " + ", ".join(map(json.dumps, accepted)))
        return
    lost = [value for value in possible if value not in accepted]
    if lost:
        yield Mismatch("value", "", ", ".join(map(json.dumps, lost)))


def _limits(given: Schema, taken: Schema) -> Iterator[Mismatch]:
    if _allowed(given) is not None:
        return
    for name in (*LEAST, *MOST):
        limit, before = taken.get(name), given.get(name)
        if not isinstance(limit, int | float) or limit == before or (limit == 0 and name in LEAST[2:]):
            continue
        if not isinstance(before, int | float) or (before < limit) == (name in LEAST):
            yield Mismatch("limit", "", f"{name} {limit}")
    if isinstance(taken.get("pattern"), str) and taken["pattern"] != given.get("pattern"):
        yield Mismatch("limit", "", f"pattern {taken['pattern']}")


def _properties(schema: Schema) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _required(schema: Schema) -> set[str]:
    found = schema.get("required")
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
