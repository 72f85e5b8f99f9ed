"""The browser of a viewer of the team sends whatever the schema allows and forbids."""

from __future__ import annotations

import pytest

from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("label", fuzzing.labels())
def test_a_viewer_gets_no_answer_that_the_schema_does_not_name(label: str) -> None:
    world = World()
    fuzzing.attack(label, Identity(world.viewer), world)


@pytest.mark.django_db
def test_chains_of_requests_of_a_viewer() -> None:
    world = World()
    fuzzing.chains(Identity(world.viewer), world)
