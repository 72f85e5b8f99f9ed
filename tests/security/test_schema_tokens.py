"""Programs with a token of each scope, and one without any, send whatever the schema allows and forbids."""

from __future__ import annotations

import pytest

from servers.models.token import Scope
from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World


@pytest.mark.django_db
@pytest.mark.parametrize("label", fuzzing.labels())
@pytest.mark.parametrize("scope", Scope.values)
def test_a_token_gets_no_answer_that_the_schema_does_not_name(scope: str, label: str) -> None:
    world = World()
    fuzzing.attack(label, Identity(token=world.token_of(world.owner, scope)), world)


@pytest.mark.django_db
@pytest.mark.parametrize("scope", Scope.values)
def test_chains_of_requests_with_a_token(scope: str) -> None:
    world = World()
    fuzzing.chains(Identity(token=world.token_of(world.owner, scope)), world)


@pytest.mark.django_db
@pytest.mark.parametrize("label", fuzzing.labels())
def test_nobody_gets_an_answer_that_the_schema_does_not_name(label: str) -> None:
    fuzzing.attack(label, Identity(), World())
