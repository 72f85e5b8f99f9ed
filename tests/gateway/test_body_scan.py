"""What is read off a long body as it passes, in whatever pieces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from bridge.protocol import CAPABILITIES_KEY, VERSION_KEY
from gateway.body_scan import Skeleton


def read(body: str | bytes, size: int = 7) -> dict[str, Any] | None:
    raw = body if isinstance(body, bytes) else body.encode()
    skeleton = Skeleton()
    for at in range(0, len(raw), size):
        skeleton.feed(raw[at : at + size])
    return skeleton.message


ARGUMENTS = {
    "text": 'a "quoted" \\ {[ }] é \u2028 ' * 20,
    "method": "not this one",
    "params": {"name": "nor this"},
    "deep": [[{"name": ["]}", {"x": [1, 2.5, -3e8, True, None, "\\"]}]}], {}, []],
}
META = {VERSION_KEY: "2026-07-28", CAPABILITIES_KEY: {"elicitation": {}}}
CALL = {
    "jsonrpc": "2.0",
    "params": {"arguments": ARGUMENTS, "name": "tell", "_meta": {**META, "other": [1]}},
    "id": 7,
    "extra": None,
    "method": "tools/call",
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_call_is_found_behind_its_arguments(size: int, ascii_only: bool) -> None:
    for indent in (None, 2):
        found = read(json.dumps(CALL, ensure_ascii=ascii_only, indent=indent), size)
        assert found == {
            "id": 7,
            "method": "tools/call",
            "params": {"name": "tell", "_meta": {VERSION_KEY: "2026-07-28", CAPABILITIES_KEY: {}}},
        }


def test_keys_and_values_count_however_they_are_written() -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in "method")
    assert read(f'{{"{escaped}":"tools\\/call"}}') == {"method": "tools/call"}
    assert read('{"method":"a","method":"a"}') == {"method": "a"}
    assert read('{"id":1.5, "params":[1,[2]], "method":null}') == {"id": 1.5, "params": [], "method": None}
    assert read('{"params":"text","x":"y"}') == {"params": ""}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        '[{"method":"a"}]',
        '"text"',
        "1",
        '{"method":"a"}{',
        '{"method":"a"} x',
        '{"method" "a"}',
        '{"method":"a",:}',
        '{"method":"a","method":"b"}',
        '{"method":"a","m\\u0065thod":"b"}',
        '{"params":{"name":"a"},"params":{}}',
        '{"params":{"name":"a","name":["b"]}}',
        '{"params":1,"params":{"name":"a"}}',
        '{"params":{"name":"a"},"params":1}',
        '{"method":"\\x"}',
        '{"method":tools}',
        '{"method":"' + "a" * 20_000 + '"}',
        '{"params":{"name":"a"}]}',
        '\ufeff{"method":"a"}',
        '{"method":"a"}'.encode("utf-16"),
        b'{"method":"\xff"}',
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read_at_all(body: str | bytes) -> None:
    assert read(body, 5) is None


def test_a_key_too_long_to_matter_does_not() -> None:
    assert read('{"' + "k" * 5000 + '":1,"method":"a"}') == {"method": "a"}


def test_random_bodies_in_random_pieces() -> None:
    dice = random.Random(4)

    def value(depth: int) -> Any:
        kind = dice.randrange(7 if depth else 4)
        if kind < 4:
            return [None, dice.random(), "".join(dice.choices('ab"\\{}[]:,é\n', k=dice.randrange(12))), True][
                kind
            ]
        if kind == 4:
            return [value(depth - 1) for _ in range(dice.randrange(4))]
        return {
            "".join(dice.choices('nm"\\{[', k=dice.randrange(1, 5))): value(depth - 1)
            for _ in range(dice.randrange(4))
        }

    for _ in range(300):
        message = {
            "x": value(4),
            "method": "m",
            "params": {"arguments": value(5), "name": "n"},
            "y": value(3),
        }
        text = json.dumps(message, ensure_ascii=dice.random() < 0.5)
        assert read(text, dice.randrange(1, 40)) == {"method": "m", "params": {"name": "n"}}
