"""What docs/telemetry.md tells, as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.docs import pages

PAGE = pages.text_of("telemetry.md")
SECTIONS = pages.sections(PAGE)
COMMON = "Keys that many events have"
TYPES: dict[str, type] = {"string": str, "int": int, "bool": bool, "list of string": list, "any": object}
Event = dict[str, Any]


def keys_of(section: str) -> dict[str, str]:
    """The keys in the tables of a section, with their type."""
    return {
        pages.code(row[0])[0]: row[1]
        for row in pages.rows(SECTIONS[section])
        if row[1] in TYPES and pages.code(row[0])
    }


def _examples() -> Iterator[tuple[str, Event]]:
    for title, text in SECTIONS.items():
        for block in pages.blocks(text, "jsonl"):
            for line in block.splitlines():
                yield title, json.loads(line)


EXAMPLES = list(_examples())
_SECTION_OF = {event["event_type"]: section for section, event in EXAMPLES}


def undocumented(event: Event) -> list[str]:
    """Keys of an event's details that the page does not tell of, or with another type."""
    known = {**keys_of(COMMON), **keys_of(_SECTION_OF[event["event_type"]])}
    return [
        f"{event['event_type']}: {key}={value!r}"
        for key, value in event["details"].items()
        if key not in known or not (type(value) is TYPES[known[key]] or TYPES[known[key]] is object)
    ]
