"""Programs with a token of either scope of the API send whatever the schema allows and forbids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from servers.models.token import REST
from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World, shared

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with shared(django_db_blocker) as made:
        yield made


@pytest.mark.parametrize("label", fuzzing.labels())
@pytest.mark.parametrize("scope", REST)
def test_a_token_gets_no_answer_that_the_schema_does_not_name(scope: str, label: str, world: World) -> None:
    fuzzing.attack(label, Identity(token=world.token_of(world.owner, scope)), world)


@pytest.mark.parametrize("scope", REST)
def test_chains_of_requests_with_a_token(scope: str, world: World) -> None:
    fuzzing.chains(Identity(token=world.token_of(world.owner, scope)), world)
