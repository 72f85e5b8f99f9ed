"""What is told of the runtimes before they are loaded is what they are; a new one needs no other place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosting.runtimes.kinds import KINDS, Kind
from servers.deploying import runtimes
from servers.models import Server

README = Path(__file__).parents[3] / "README.md"


def test_every_runtime_can_be_made() -> None:
    assert list(runtimes.MAKERS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_runtime_is_what_is_told_of_it(kind: Kind, settings: Any) -> None:
    settings.REGISTRY = "registry.example"
    made = runtimes.MAKERS[kind.name]()
    assert (made.name, made.needs_image) == (kind.name, kind.needs_image)


def test_rows_can_hold_every_name() -> None:
    field = Server._meta.get_field("runtime")
    assert {value for value, _ in field.flatchoices} == {"", *KINDS}
    assert all(len(name) <= field.max_length for name in KINDS)


def test_the_readme_names_every_runtime() -> None:
    [row] = [line for line in README.read_text().splitlines() if line.startswith("| `CONTAINER_RUNTIME`")]
    assert not [name for name in KINDS if name not in row]
