"""Whoever has no business at the API: nobody, and a token of the gateway. Each gets 401, documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from servers.models.token import Scope
from tests.security import fuzzing
from tests.security.fuzzing import Identity
from tests.security.world import World, shared

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    with shared(django_db_blocker) as made:
        yield made


@pytest.mark.parametrize("label", fuzzing.labels())
def test_nobody_gets_an_answer_that_the_schema_does_not_name(label: str, world: World) -> None:
    fuzzing.attack(label, Identity(), world, examples=1)


@pytest.mark.parametrize("label", fuzzing.labels())
def test_a_token_of_the_gateway_gets_no_answer_that_the_schema_does_not_name(
    label: str, world: World
) -> None:
    fuzzing.attack(label, Identity(token=world.token_of(world.owner, Scope.MCP)), world, examples=1)
