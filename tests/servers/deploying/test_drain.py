"""How long a deployment that was replaced is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from servers.deploying import drain, reconciler
from servers.models import CallsInFlight, Deployment, Run, Server
from servers.models.server import DesiredState
from servers.states import DeploymentStatus
from tests.accounts import make_deployment

pytestmark = [pytest.mark.core, pytest.mark.django_db]


@pytest.fixture
def replaced(server: Server, settings: Any) -> Deployment:
    """The first of two deployments, replaced a minute ago."""
    settings.DRAIN_SECONDS, settings.DRAIN_CALLS_SECONDS = 5, 300
    old = made(server, 1)
    current = made(server, 2)
    Server.objects.filter(pk=server.pk).update(current_deployment=current, desired_state=DesiredState.RUNNING)
    return old


def made(server: Server, number: int, ago: float = 60) -> Deployment:
    at = timezone.now() - timedelta(seconds=ago)
    about = {"trigger": "api", "status": DeploymentStatus.SUCCEEDED, "finished_at": at}
    handle = {"endpoint": "http://127.0.0.1:1/mcp", "data": {}}
    return make_deployment(server, number=number, handle=handle, **about)


def awaited(deployment: Deployment) -> bool:
    return drain.is_awaited(Server.objects.get(pk=deployment.server_id), deployment)


def say(deployment: Deployment, gateway: str = "a", calls: int = 1, ago: float = 0) -> None:
    at = timezone.now() - timedelta(seconds=ago)
    CallsInFlight.objects.create(gateway=gateway, deployment=deployment, calls=calls, at=at)


def test_it_is_kept_for_the_calls_of_any_gateway(replaced: Deployment) -> None:
    assert not awaited(replaced)
    say(replaced, "a", calls=0)
    say(replaced, "b")
    assert awaited(replaced)
    CallsInFlight.objects.filter(gateway="b").delete()
    assert not awaited(replaced)


def test_a_gateway_that_is_gone_keeps_nothing(replaced: Deployment) -> None:
    say(replaced, ago=30)
    assert not awaited(replaced)


def test_not_for_ever_and_not_when_the_server_stops(replaced: Deployment, settings: Any) -> None:
    say(replaced)
    settings.DRAIN_CALLS_SECONDS = 50
    assert not awaited(replaced)
    settings.DRAIN_CALLS_SECONDS = 60
    assert awaited(replaced)
    Server.objects.update(desired_state=DesiredState.STOPPED)
    assert not awaited(replaced)


def test_a_newer_deployment_does_not_begin_it_again(replaced: Deployment, settings: Any) -> None:
    say(replaced)
    settings.DRAIN_CALLS_SECONDS = 50
    newest = made(replaced.server, 3, ago=1)
    Server.objects.update(current_deployment=newest)
    assert not awaited(replaced)


def test_gateways_have_a_moment_to_hear_of_it_and_to_say_what_they_have(
    replaced: Deployment, settings: Any
) -> None:
    settings.DRAIN_SECONDS = 59
    assert awaited(replaced)
    settings.DRAIN_SECONDS = 57
    assert not awaited(replaced)


def test_it_takes_no_new_calls_while_it_is_kept(replaced: Deployment) -> None:
    say(replaced)
    Run.objects.filter(deployment=replaced).update(endpoint="http://127.0.0.1:1/mcp")
    reconciler.settle(replaced.server_id)
    replaced.refresh_from_db()
    assert not replaced.takes_calls
    assert replaced.live_run
