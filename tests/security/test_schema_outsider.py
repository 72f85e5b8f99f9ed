"""The browser of somebody to whom nothing belongs sends whatever the schema allows and forbids."""

from __future__ import annotations

import pytest

from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("label", fuzzing.labels())
def test_an_outsider_gets_no_answer_that_the_schema_does_not_name(label: str) -> None:
    world = World()
    fuzzing.attack(label, Identity(world.outsider), world)


@pytest.mark.django_db
def test_chains_of_requests_of_an_outsider() -> None:
    world = World()
    fuzzing.chains(Identity(world.outsider), world)
