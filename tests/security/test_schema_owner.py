"""The browser of who owns servers and administers a team sends whatever the schema allows and forbids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World, shared

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with shared(django_db_blocker) as made:
        yield made


@pytest.mark.parametrize("label", fuzzing.labels())
def test_an_owner_gets_no_answer_that_the_schema_does_not_name(label: str, world: World) -> None:
    fuzzing.attack(label, Identity(world.owner), world)


def test_chains_of_requests_of_an_owner(world: World) -> None:
    fuzzing.chains(Identity(world.owner), world)
