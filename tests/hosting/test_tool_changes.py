"""What a change of a tool's schemas means for who calls it."""

from __future__ import annotations

from typing import Any

import pytest

from hosting import tool_changes
from hosting.tool_changes import Change, ToolChanges

Json = dict[str, Any]


def tool(properties: Json | None = None, required: list[str] | None = None, **more: Any) -> Json:
    schema = {"type": "object", "properties": properties or {}, "required": required or []}
    return {"name": "add", "inputSchema": schema, **more}


def output(properties: Json, required: list[str] | None = None) -> Json:
    return tool(outputSchema={"type": "object", "properties": properties, "required": required or []})


def change(before: Json, after: Json) -> Change:
    changes = tool_changes.compare([before], [after])
    assert (changes.added, changes.removed) == ((), ())
    (only,) = changes.changed
    return only


STRING, NUMBER, INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}
OPTIONAL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
POINT = {"type": "object", "properties": {"x": NUMBER}, "required": ["x"]}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (tool(), tool({"a": STRING}, ["a"]), "a is required now"),
        (tool({"a": STRING}), tool({"a": STRING}, ["a"]), "a is required now"),
        (tool({"a": STRING, "b": STRING}), tool({"b": STRING}), "a is gone"),
        (tool({"a": NUMBER}), tool({"a": INTEGER}), "a no longer takes number"),
        (tool({"a": {"type": ["string", "null"]}}), tool({"a": STRING}), "a no longer takes null"),
        (tool({"a": OPTIONAL}), tool({"a": STRING}), "a no longer takes null"),
        (tool({"a": {}}), tool({"a": STRING}), "a no longer takes anything but string"),
        (
            tool({"a": {"enum": ["x", "y"]}}),
            tool({"a": {"enum": ["x", "z"]}}),
            'a no longer takes "y"',
        ),
        (tool({"a": STRING}), tool({"a": {**STRING, "enum": ["x"]}}), 'a no longer takes anything but "x"'),
        (tool({"a": STRING}), tool({"a": {**STRING, "maxLength": 3}}), "a has a tighter limit: maxLength 3"),
        (
            tool({"a": {**NUMBER, "minimum": 1}}),
            tool({"a": {**NUMBER, "minimum": 2}}),
            "a has a tighter limit: minimum 2",
        ),
        (
            tool({"a": POINT}),
            tool({"a": {**POINT, "required": ["x", "y"], "properties": {"x": NUMBER, "y": NUMBER}}}),
            "a.y is required now",
        ),
        (
            tool({"a": {"type": "array", "items": STRING}}),
            tool({"a": {"type": "array", "items": INTEGER}}),
            "a[] no longer takes string",
        ),
        (output({"a": STRING}, ["a"]), output({"a": STRING}), "a may be missing in the result"),
        (output({"a": STRING}), output({"a": OPTIONAL}), "a in the result may be null now"),
        (output({"a": INTEGER}), output({"a": NUMBER}), "a in the result may be number now"),
        (output({"a": {"enum": [1]}}), output({"a": {"enum": [1, 2]}}), "a in the result may be 2 now"),
        (output({"a": STRING}), tool(), "it no longer tells the shape of its result"),
    ],
)
def test_what_breaks(before: Json, after: Json, reason: str) -> None:
    found = change(before, after)
    assert found.breaking
    assert reason in found.broken


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (tool(), tool({"a": STRING}), "it also takes a"),
        (tool({"a": INTEGER}), tool({"a": NUMBER}), "its input changed in ways that break nothing"),
        (tool({"a": STRING}), tool({"a": OPTIONAL}), "its input changed in ways that break nothing"),
        (tool({"a": STRING}, ["a"]), tool({"a": STRING}), "its input changed in ways that break nothing"),
        (
            tool({"a": {"enum": ["x"]}}),
            tool({"a": {"enum": ["x", "y"]}}),
            "its input changed in ways that break nothing",
        ),
        (
            tool({"a": {**STRING, "maxLength": 3}}),
            tool({"a": {**STRING, "maxLength": 9}}),
            "its input changed in ways that break nothing",
        ),
        (
            output({"a": STRING}),
            output({"a": STRING, "b": STRING}, ["b"]),
            "its result changed in ways that break nothing",
        ),
        (tool(), output({"a": STRING}), "its result changed in ways that break nothing"),
        (tool(description="Adds."), tool(description="Adds two."), "its description changed"),
    ],
)
def test_what_breaks_nothing(before: Json, after: Json, reason: str) -> None:
    found = change(before, after)
    assert not found.breaking
    assert reason in found.other


def test_tools_that_come_and_go() -> None:
    one, two = {"name": "one"}, {"name": "two"}
    changes = tool_changes.compare([one], [two])
    assert (changes.added, changes.removed) == (("two",), ("one",))
    assert changes.breaking == ["one is gone."]


def test_the_same_is_no_change() -> None:
    same = [tool({"a": STRING}, ["a"]), {"name": "none"}]
    assert not tool_changes.compare(same, [dict(one) for one in same])
    assert tool_changes.compare([], []) == ToolChanges()


def test_definitions_are_followed_even_where_only_they_changed() -> None:
    def with_definition(definition: Json) -> Json:
        schema = {
            "type": "object",
            "properties": {"p": {"$ref": "#/$defs/Point"}},
            "$defs": {"Point": definition},
        }
        return {"name": "add", "inputSchema": schema}

    narrower = {**POINT, "properties": {"x": INTEGER}}
    assert change(with_definition(POINT), with_definition(narrower)).broken == ("p.x no longer takes number",)


def test_a_definition_that_holds_itself_ends() -> None:
    def tree(leaf: Json) -> Json:
        node = {"type": "object", "properties": {"value": leaf, "next": {"$ref": "#/$defs/Node"}}}
        return {"name": "add", "inputSchema": {"$ref": "#/$defs/Node", "$defs": {"Node": node}}}

    assert "value no longer takes number" in change(tree(NUMBER), tree(INTEGER)).broken


@pytest.mark.parametrize("odd", [True, None, 3, "x", [], {"type": 3}, {"properties": []}, {"enum": "x"}])
def test_what_is_no_schema_breaks_nothing_here(odd: Any) -> None:
    tool_changes.compare([{"name": "a", "inputSchema": odd}], [tool({"a": STRING})])
    tool_changes.compare([tool({"a": odd})], [tool({"a": odd or {}})])


def test_schemas_that_were_made_to_take_long_do_not() -> None:
    def nested(leaf: Json) -> Json:
        node = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Node"}]}
        branches = {f"branch{n}": node for n in range(12)}
        return {
            "name": "add",
            "inputSchema": {
                "$ref": "#/$defs/Node",
                "$defs": {"Node": {"type": "object", "properties": {**branches, "value": leaf}}},
            },
        }

    assert "value no longer takes number" in change(nested(NUMBER), nested(INTEGER)).broken
