"""Bytes of a push: whatever an engine says, no number falls back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from registry.engine import PushLog
from registry.errors import RegistryError
from registry.progress import PushProgress

FIXTURES = Path(__file__).parent / "fixtures"
Told = tuple[int, int, bool]


def replayed(*messages: tuple[str, str, int, int]) -> list[Told]:
    """`messages`: layer, status, bytes sent, size."""
    told: list[Told] = []
    sent = PushProgress(lambda *now: told.append(now))
    for message in messages:
        sent.update(*message)
    return told


def test_a_layer_that_waits_leaves_the_total_open() -> None:
    assert replayed(
        ("a", "Preparing", 0, 0),
        ("b", "Waiting", 0, 0),
        ("a", "Pushing", 5, 10),
        ("b", "Layer already exists", 0, 0),
        ("a", "Pushed", 0, 0),
    ) == [(0, 0, False), (0, 0, False), (5, 10, False), (5, 10, True), (10, 10, True)]


def test_what_is_sent_anew_stays_counted() -> None:
    told = replayed(
        ("a", "Pushing", 8, 10),
        ("a", "Retrying", 0, 0),
        ("a", "Preparing", 0, 0),
        ("a", "Pushing", 2, 10),
        ("a", "Pushing", 9, 10),
    )
    assert told == [(8, 10, True), (8, 10, True), (8, 10, True), (8, 10, True), (9, 10, True)]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/push-*.jsonl")), ids=lambda path: path.stem)
def test_no_captured_stream_makes_it_fall(path: Path) -> None:
    told: list[Told] = []
    sent = PushProgress(lambda *now: told.append(now))
    for _ in range(2):  # a second attempt says the same again
        log = PushLog(lambda _: None, sent)
        for text in path.read_text().splitlines():
            try:
                log.take(json.loads(text))
            except RegistryError:
                break
    for earlier, later in itertools.pairwise(told):
        assert earlier[:2] <= later[:2]
        assert later[0] <= later[1]
