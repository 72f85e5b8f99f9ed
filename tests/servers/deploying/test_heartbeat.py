"""Why a deployment stops: somebody asked, the platform ends, or another worker has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from access.actor import PLATFORM
from hosting.deadline import Deadline
from hosting.errors import Cancelled
from metrics.models import UsageMetric
from servers import services
from servers.deploying import deployer, heartbeat, workers
from servers.models import Deployment, Server
from servers.states import DeploymentStatus
from tests.accounts import make_deployment
from tests.eventually import eventually
from tests.platform import Platform

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(server: Server, settings: Any) -> Deployment:
    settings.HEARTBEAT_SECONDS = 0.01
    return make_deployment(server, status=DeploymentStatus.RUNNING, worker=workers.me(), claims=1)


@pytest.fixture
def interrupted() -> Iterator[None]:
    heartbeat.interrupted.set()
    yield
    heartbeat.interrupted.clear()


def reason(deadline: Deadline) -> str:
    eventually(deadline.cancelled, what="the deadline is pulled")
    with pytest.raises(Cancelled) as stopped:
        deadline.check()
    return str(stopped.value)


def test_somebody_asked(held: Deployment) -> None:
    with heartbeat.beating(held) as deadline:
        services.cancel(deployment=held, by=PLATFORM)
        assert reason(deadline) == "Cancelled on request."


def test_another_worker_has_it(held: Deployment) -> None:
    with heartbeat.beating(held) as deadline:
        Deployment.objects.filter(pk=held.pk).update(claims=2)
        assert reason(deadline) == heartbeat.TAKEN_OVER


@pytest.mark.usefixtures("interrupted")
def test_the_platform_ends(held: Deployment) -> None:
    with heartbeat.beating(held) as deadline:
        assert "The platform is shutting down" in reason(deadline)


@pytest.mark.usefixtures("interrupted")
def test_a_step_that_the_end_of_the_platform_stops_says_so(idle: Platform) -> None:
    deployment = idle.request(idle.hello())
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    assert deployment.status == DeploymentStatus.QUEUED
    told = UsageMetric.objects.filter(deployment=deployment, event_type__endswith="_failed")
    errors = {metric.details["error"] for metric in told}
    assert errors == {heartbeat.SHUTS_DOWN}


@pytest.mark.usefixtures("interrupted")
def test_a_cancel_while_the_platform_ends_is_a_cancel(idle: Platform) -> None:
    deployment = idle.request(idle.hello())
    Deployment.objects.filter(pk=deployment.pk).update(cancel_requested=True)
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.status, deployment.error) == (DeploymentStatus.CANCELLED, "Cancelled on request.")
