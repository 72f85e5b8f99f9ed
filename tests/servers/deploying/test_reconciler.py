"""Rows against reality: crashes, lost workers, stops, deletions, strays."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.utils import timezone

from access.actor import PLATFORM, Actor
from hosting.runtimes import process_run
from servers import services, uploads
from servers.deploying import deployer, reconciler, restarts, runs, watching, workers
from servers.models import Build, Deployment, Run, Server, Step
from servers.states import DeploymentStatus, Mode, ServerStatus, StepKind, StepStatus, Trigger
from tests.eventually import eventually
from tests.platform import Platform, at_once, processes_under

pytestmark = pytest.mark.core


def test_a_server_that_dies_is_started_again(platform: Platform) -> None:
    server = platform.hello()
    deployment = platform.deploy(server)
    assert deployment.run
    first = deployment.run
    psutil.Process(runs.handle_of(first).data["pid"]).kill()

    again = eventually(
        lambda: deployment.runs.filter(ready_at__isnull=False).exclude(pk=first.pk).first(),
        what="it is back",
    )
    platform.becomes(server, ServerStatus.RUNNING)
    first.refresh_from_db()
    assert "killed" in first.why
    assert server.deployments.get() == deployment, "a restart is no deployment"
    assert platform.fresh(server).serving == deployment
    assert platform.events(deployment)[-7:] == [
        "start_started", "start_succeeded", "health_started", "health_succeeded", "discover_started",
        "discover_succeeded", "server_restarted",
    ]  # fmt: skip
    assert [step.kind for step in again.steps.all()] == ["start", "health", "discover"]
    assert "is started again" in platform.log(deployment)


def test_stopping_ends_its_processes_and_starting_brings_it_back(platform: Platform) -> None:
    server = platform.hello()
    platform.deploy(server)
    services.stop(server=server, by=PLATFORM)
    stopped = platform.becomes(server, ServerStatus.STOPPED)
    assert stopped.serving is None
    assert not processes_under(settings.DATA_DIR)

    started = platform.ended(services.start(server=server, by=Actor(platform.owner), trigger=Trigger.API))
    assert (started.status, started.mode) == (DeploymentStatus.SUCCEEDED, Mode.SAME_DIGEST)
    assert platform.fresh(server).status == ServerStatus.RUNNING


def test_what_is_written_after_another_had_a_look_is_taken_too(idle: Platform) -> None:
    """The collector may have looked since the row was read here: the last words are not lost, nor doubled."""
    server = idle.hello()
    deployer.run(idle.request(server).pk)
    ours, others = server.deployments.get(), server.deployments.get()
    written = process_run.from_handle(runs.handle_of(ours.run)).file("err")
    for row, word in ((others, "one"), (ours, "two"), (ours, "three")):
        with written.open("a") as file:
            file.write(f"{word}\n")
        assert row.run
        runs.collect(row.run)
    assert idle.log(ours).splitlines()[-3:] == ["one", "two", "three"]


def test_several_that_stop_it_at_once_tell_of_it_once(idle: Platform) -> None:
    server = idle.hello()
    deployment = idle.request(server)
    deployer.run(deployment.pk)
    services.stop(server=server, by=PLATFORM)
    at_once(lambda: reconciler.settle(server.pk))

    told = [event for event in idle.events(deployment) if event.startswith("stop_")]
    assert told == ["stop_started", "stop_succeeded"]
    assert idle.fresh(server).status == ServerStatus.STOPPED


def test_deleting_leaves_nothing(platform: Platform) -> None:
    server = platform.hello()
    platform.deploy(server)
    services.delete(server=server, by=PLATFORM)

    eventually(lambda: not Server.objects.filter(pk=server.pk).exists(), what="the row is gone")
    assert not processes_under(settings.DATA_DIR)
    assert not (settings.DATA_DIR / "runs" / str(server.pk)).exists()
    assert not (settings.DATA_DIR / "uploads" / str(server.pk)).exists()


def test_deleting_during_a_deployment_waits_for_its_end(platform: Platform) -> None:
    server = platform.server("slow", {"requirements.txt": "", "server.py": "import time\ntime.sleep(600)\n"})
    deployment = platform.request(server)
    eventually(lambda: deployment.steps.filter(kind="health").exists())
    services.delete(server=server, by=PLATFORM)

    eventually(lambda: not Server.objects.filter(pk=server.pk).exists(), what="the row is gone")
    assert not processes_under(settings.DATA_DIR)


def test_a_deployment_that_lost_its_worker_is_taken_up_again(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    lose_worker(deployment)

    due = reconciler.look()
    assert deployment.pk in due.deployments
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.status, deployment.claims) == (DeploymentStatus.SUCCEEDED, 2)
    assert "Taken up again" in idle.log(deployment)


def test_a_worker_that_is_lost_again_and_again_ends_the_deployment(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    lose_worker(deployment, claims=reconciler.MOST_CLAIMS)

    assert reconciler.look().deployments == []
    deployment.refresh_from_db()
    assert (deployment.status, deployment.error_kind) == (DeploymentStatus.FAILED, "internal")
    assert idle.fresh(server).status == ServerStatus.ERROR
    assert idle.events(deployment) == ["deploy_failed"]


@pytest.mark.parametrize("claims", [1, reconciler.MOST_CLAIMS])
def test_what_a_lost_worker_had_begun_is_not_in_progress(idle: Platform, claims: int) -> None:
    deployment = services.deploy(server=idle.hello(), by=Actor(idle.owner), trigger=Trigger.API)
    lose_worker(deployment, claims=claims)
    step = Step.objects.create(deployment=deployment, kind=StepKind.BUILD)
    done = Step.objects.create(deployment=deployment, kind=StepKind.CLONE, status=StepStatus.SUCCEEDED)

    reconciler.look()
    step.refresh_from_db()
    done.refresh_from_db()
    assert (step.status, step.error) == (StepStatus.CANCELLED, "The worker was lost.")
    assert step.finished_at
    assert (done.status, done.error) == (StepStatus.SUCCEEDED, "")


def test_a_lost_deployment_yields_to_a_newer_request(idle: Platform) -> None:
    server = idle.hello()
    lost = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    lose_worker(lost)
    newer = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)

    reconciler.look()
    lost.refresh_from_db()
    assert lost.status == DeploymentStatus.SUPERSEDED
    assert idle.events(lost) == ["deploy_cancelled"], "what had begun has an end"
    Deployment.objects.filter(pk=newer.pk).update(enqueued_at=None)
    assert reconciler.look().deployments == [newer.pk]


def test_a_run_that_a_lost_worker_could_not_save_is_ended(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    pid = runs.handle_of(deployment.run).data["pid"]
    Run.objects.all().delete()

    reconciler.sweep()
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_what_a_lost_worker_left_on_the_disk_is_cleared_up(idle: Platform) -> None:
    server = idle.hello()
    given_up = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    claims = reconciler.MOST_CLAIMS
    scratch = settings.DATA_DIR / "work" / f"{given_up.pk}-{claims}"
    build = settings.DATA_DIR / "runs" / "x" / "1"
    for directory in (scratch, build):
        directory.mkdir(parents=True)
    lose_worker(given_up, claims=claims)
    Build.objects.filter(pk=given_up.build_id).update(directory=str(build))

    reconciler.sweep()
    assert scratch.exists()
    assert build.exists()
    reconciler.look()
    reconciler.sweep()
    assert not scratch.exists()
    assert not build.exists()


def test_an_upload_that_never_ended_goes(idle: Platform) -> None:
    incoming = settings.DATA_DIR / "uploads" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / "of-another-machine").touch()
    os.utime(incoming / "of-another-machine", (0, 0))
    with uploads.received([b"half"], "a.zip") as arriving:
        reconciler.trim()
        assert list(incoming.iterdir()) == [arriving.path]


def test_what_stopped_with_the_platform_comes_back_with_it(idle: Platform) -> None:
    server = idle.hello()
    first = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    deployer.run(first.pk)
    reconciler.suspend()
    assert not processes_under(settings.DATA_DIR)
    assert idle.fresh(server).serving is None

    due = reconciler.look()
    assert due.deployments == []
    (again,) = due.restarts
    restarts.restart(again)
    assert idle.fresh(server).serving == first
    assert idle.fresh(server).status == ServerStatus.RUNNING


def test_old_builds_go_and_the_newest_stay(idle: Platform, settings) -> None:  # type: ignore[no-untyped-def]
    settings.KEEP_DEPLOYMENTS = 1
    server = idle.hello()
    done = []
    for _ in range(3):
        deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
        deployer.run(deployment.pk)
        done.append(deployment)
    for deployment in done[:2]:
        deployment.refresh_from_db()
        runs.stop(deployment.run, "The test ends it.")
    reconciler.trim()

    kept = [Deployment.objects.get(pk=d.pk).build.can_start for d in done]
    assert kept == [False, True, True]


def lose_worker(deployment: Deployment, claims: int = 1) -> None:
    """As a kill -9 leaves it: running by its row, held by a process that is no more."""
    gone = f"{socket.gethostname()}/4194303/1"
    Deployment.objects.filter(pk=deployment.pk).update(
        status=DeploymentStatus.RUNNING,
        worker=gone,
        claims=claims,
        started_at=timezone.now() - timedelta(seconds=2),
        heartbeat_at=timezone.now() - timedelta(seconds=1),
    )


def test_what_waits_for_a_worker_is_looked_at_soon(idle: Platform) -> None:
    """A worker without a free slot asks for another message, and no event says so."""
    server = idle.hello()
    deployment = idle.request(server)
    assert reconciler.look().under_way
    assert reconciler.look().under_way, "its message is on the way"
    deployer.run(deployment.pk)
    assert not reconciler.look().under_way


def test_what_is_new_to_the_watcher_is_polled_again(idle: Platform) -> None:
    """It may have ended after it was polled, before it was watched."""
    deployer.run(idle.request(idle.hello()).pk)
    told: list[int] = []
    watcher = watching.Watcher()
    running = reconciler.look().running
    for _ in range(2):
        watcher.watch(running, lambda: told.append(1))
    watcher.watch([], lambda: None)
    assert told == [1]


def test_a_cancelled_wait_leaves_the_server_as_it_was(idle: Platform) -> None:
    server = idle.hello()
    first = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    services.cancel(deployment=first, by=PLATFORM)
    assert idle.fresh(server).status == ServerStatus.STOPPED

    second = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    deployer.run(second.pk)
    third = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    assert idle.fresh(server).status == ServerStatus.PENDING
    services.cancel(deployment=third, by=PLATFORM)
    assert (idle.fresh(server).status, idle.fresh(server).serving) == (ServerStatus.RUNNING, second)
    assert reconciler.look().deployments == []


def test_a_build_that_was_started_again_goes_with_the_last_that_needs_it(idle: Platform, settings) -> None:  # type: ignore[no-untyped-def]
    settings.KEEP_DEPLOYMENTS = 1
    server = idle.hello()
    done = []
    for mode in (Mode.LATEST, Mode.SAME_DIGEST, Mode.LATEST, Mode.LATEST):
        deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API, mode=mode)
        deployer.run(deployment.pk)
        done.append(deployment)
    for deployment in done[:3]:
        deployment.refresh_from_db()
        runs.stop(deployment.run, "The test ends it.")
    reconciler.trim()

    assert [Deployment.objects.get(pk=d.pk).build.can_start for d in done] == [False, False, True, True]


def test_a_living_worker_is_known_by_what_no_clock_changes() -> None:
    assert not workers.is_gone(workers.me())
    host, pid, _ = workers.me().rsplit("/", 2)
    assert workers.is_gone(f"{host}/{pid}/1")
    assert not workers.is_gone("another-host/1/1")
