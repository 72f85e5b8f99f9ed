"""A server that went down comes back by another run of its build: what may come between, and how it ends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.utils import timezone

from access.actor import PLATFORM, Actor
from gateway import routes
from hosting.runtimes import process_run
from hosting.runtimes.base import Handle
from servers import services
from servers.deploying import deployer, heartbeat, reconciler, restarts, retention, runs, workers
from servers.models import Deployment, LogLine, Run, Server
from servers.models.server import DesiredState
from servers.states import DeploymentStatus, ServerStatus, Trigger
from tests.accounts import make_deployment
from tests.eventually import eventually
from tests.platform import Platform, at_once, hello_files, is_alive, processes_under

pytestmark = pytest.mark.core

ENDS = 'import sys\n\nsys.exit("out of cheese")\n'


def deployed(idle: Platform, server: Server | None = None) -> tuple[Server, Deployment]:
    server = server or idle.hello()
    deployment = idle.request(server)
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    assert deployment.status == DeploymentStatus.SUCCEEDED, deployment.error
    return server, deployment


def kill(deployment: Deployment) -> Run:
    """The run that was, which the next look finds dead."""
    run = Run.objects.live().get(deployment=deployment)
    process = process_run.from_handle(runs.handle_of(run))
    psutil.Process(process.pid).kill()
    eventually(lambda: not process.alive(), what="it is dead")
    return run


def wanted_again(server: Server) -> int:
    """What is to be started after the server went down, its waiting time over."""
    reconciler.look()
    Server.objects.filter(pk=server.pk).update(restart_at=None)
    [run_id] = reconciler.look().restarts
    return run_id


def gone_down(idle: Platform) -> tuple[Server, Deployment, int]:
    """A server that went down, what it should run, and the run that waits to be started."""
    server, deployment = deployed(idle)
    kill(deployment)
    return server, deployment, wanted_again(server)


def broken(server: Server, deployment: Deployment, code: str = ENDS) -> None:
    """What it was built of does not work any more."""
    directory = settings.DATA_DIR / "runs" / str(server.pk) / str(deployment.build.number)
    (directory / "app" / "server.py").write_text(code)


def test_one_that_does_not_come_up_is_told_and_tried_again_later(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    reconciler.look()
    before = idle.fresh(server)
    assert (before.status, before.restarts) == (ServerStatus.DEGRADED, 1)
    broken(server, deployment)
    restarts.restart(wanted_again(server))

    run, now = deployment.runs.first(), idle.fresh(server)
    assert run
    assert (now.status, now.error_kind, now.restarts) == (ServerStatus.ERROR, "runtime", 2)
    assert "out of cheese" in now.error
    assert (run.why, run.ready_at, run.is_live) == (now.error, None, False)
    assert now.restart_at
    assert timedelta(0) < now.restart_at - timezone.now() <= timedelta(seconds=2)
    assert [step.status for step in run.steps.all()] == ["succeeded", "failed"]
    assert Deployment.objects.get() == deployment
    assert deployment.status == DeploymentStatus.SUCCEEDED
    assert idle.events(deployment)[-2:] == ["health_failed", "server_restart_failed"]
    assert not processes_under(settings.DATA_DIR)


def test_it_is_left_alone_after_so_many(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    broken(server, deployment)
    run_id = wanted_again(server)
    Server.objects.filter(pk=server.pk).update(restarts=restarts.MOST_IN_A_ROW - 1)
    restarts.restart(run_id)

    now = idle.fresh(server)
    assert "was restarted 8 times in a row, and is left alone now" in now.error
    Server.objects.filter(pk=server.pk).update(restart_at=None)
    assert reconciler.look().restarts == []


def test_nothing_of_an_earlier_one_is_quoted(idle: Platform) -> None:
    server, deployment = deployed(idle)
    LogLine.objects.create(
        server=server, deployment=deployment, stream="stderr", at=timezone.now(), text="of the one before"
    )
    kill(deployment)
    broken(server, deployment, "raise SystemExit(3)\n")
    restarts.restart(wanted_again(server))
    told = idle.fresh(server).error
    assert "It wrote last: “bridge: " in told
    assert "of the one before" not in told
    assert "It serves HTTP" not in told, "that is the bridge's own line"


def test_a_stop_meanwhile_ends_it(idle: Platform) -> None:
    server, deployment, run_id = gone_down(idle)
    services.stop(server=server, by=PLATFORM)
    reconciler.settle(server.pk)
    assert idle.fresh(server).status == ServerStatus.STOPPED
    restarts.restart(run_id)
    assert not processes_under(settings.DATA_DIR)
    run = Run.objects.get(pk=run_id)
    assert (run.why, run.is_live) == ("It was stopped.", False)
    assert not [event for event in idle.events(deployment) if event.startswith("stop_")], "it never served"


def test_a_stop_while_it_starts_leaves_nothing_that_runs(idle: Platform) -> None:
    """The row is ended between the start and the note of what was started."""
    server, deployment = deployed(idle)
    kill(deployment)
    run = Run.objects.get(pk=wanted_again(server))
    assert Run.objects.claim(run.pk, workers.me())
    run.refresh_from_db()
    services.stop(server=server, by=PLATFORM)
    reconciler.settle(server.pk)
    assert not runs.save(run, Handle("process", "http://127.0.0.1:9/mcp", {}))
    run.refresh_from_db()
    assert (run.handle, run.is_live) == (None, False)


def test_what_was_started_since_the_row_was_read_is_ended_too(idle: Platform) -> None:
    _server, deployment, run_id = gone_down(idle)
    stale = Run.objects.get(pk=run_id)
    restarts.restart(run_id)
    assert is_alive(deployment)
    assert runs.stop(stale, "The test ends it.", grace=0)
    assert not is_alive(deployment)
    assert not runs.stop(stale, "Once more.")


def test_a_redeploy_need_not_wait_for_it(idle: Platform) -> None:
    server, deployment, run_id = gone_down(idle)
    newer = idle.request(server)
    assert idle.fresh(server).status == ServerStatus.PENDING
    restarts.restart(run_id)
    now = idle.fresh(server)
    assert (now.status, now.serving, now.error) == (ServerStatus.PENDING, deployment, "")
    deployer.run(newer.pk)
    assert idle.fresh(server).serving == newer


def test_none_is_asked_for_while_a_deployment_is_on_its_way(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    reconciler.look()
    newer = idle.request(server)
    Server.objects.filter(pk=server.pk).update(restart_at=None)
    assert reconciler.look().restarts == []
    Deployment.objects.filter(pk=newer.pk).update(status=DeploymentStatus.FAILED)
    assert len(reconciler.look().restarts) == 1


def test_a_deployment_that_took_its_place_withdraws_it(idle: Platform) -> None:
    server, _deployment, run_id = gone_down(idle)
    newer = idle.request(server)
    deployer.run(newer.pk)
    restarts.restart(run_id)
    assert Run.objects.get(pk=run_id).why == restarts.NOT_WANTED
    assert idle.fresh(server).serving == newer
    assert idle.fresh(server).restarts == 0, "that is no failure of the server"


def test_of_several_workers_one_starts_it(idle: Platform) -> None:
    _server, deployment, run_id = gone_down(idle)
    at_once(lambda: restarts.restart(run_id))
    assert idle.events(deployment).count("start_started") == 2  # the deployment's own, and this
    assert idle.events(deployment).count("server_restarted") == 1


def test_one_whose_worker_was_lost_is_ended_and_counts(idle: Platform) -> None:
    """Killed between the start and the note of it: what it started goes before the next one begins."""
    server, deployment = deployed(idle)
    first = kill(deployment)
    run_id = wanted_again(server)
    restarts.restart(run_id)
    left = process_run.from_handle(runs.handle_of(Run.objects.get(pk=run_id)))
    gone = f"{socket.gethostname()}/4194303/1"
    Run.objects.filter(pk=run_id).update(worker=gone, handle=None, endpoint="", ready_at=None)
    run = Run.objects.get(pk=run_id)
    run.steps.filter(kind="discover").update(status="running")

    assert reconciler.look().restarts == []
    run.refresh_from_db()
    now = idle.fresh(server)
    assert (run.why, run.reason, run.worker) == ("Its worker was lost.", "worker_lost", "")
    assert (now.status, now.restarts) == (ServerStatus.DEGRADED, 2)
    assert run.steps.get(kind="discover").status == "cancelled"
    assert left.alive()

    again = wanted_again(server)
    restarts.restart(again)
    assert not left.alive(), "two of one server would get in each other's way"
    assert idle.fresh(server).serving == deployment
    assert [each.pk for each in deployment.runs.all()] == [again, run_id, first.pk]


def test_what_no_row_knows_is_ended_though_its_deployment_serves(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    restarts.restart(wanted_again(server))
    lost = Run.objects.live().get()
    left = process_run.from_handle(runs.handle_of(lost))
    Run.objects.filter(pk=lost.pk).update(handle=None, ended_at=timezone.now())
    Run.objects.create(deployment=deployment, runtime="process")
    reconciler.sweep()
    eventually(lambda: not left.alive(), what="the stray is gone")


def test_the_end_of_the_platform_withdraws_it(idle: Platform) -> None:
    server, _deployment, run_id = gone_down(idle)
    heartbeat.interrupted.set()
    try:
        restarts.restart(run_id)
    finally:
        heartbeat.interrupted.clear()
    run = Run.objects.get(pk=run_id)
    assert (run.why, run.is_live) == ("The platform stopped.", False)
    assert idle.fresh(server).restarts == 1
    assert not processes_under(settings.DATA_DIR)
    [again] = reconciler.look().restarts
    restarts.restart(again)
    assert idle.fresh(server).status == ServerStatus.RUNNING


def test_what_it_was_started_from_is_gone(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    deployment.build.keep(directory="")
    reconciler.look()
    Server.objects.filter(pk=server.pk).update(restart_at=None)
    assert reconciler.look().restarts == []
    now = idle.fresh(server)
    assert now.status == ServerStatus.ERROR
    assert "Redeploy it with mode latest" in now.error
    assert reconciler.look().restarts == []


def test_one_that_waits_is_sent_again_and_one_under_way_is_not(idle: Platform) -> None:
    _server, _deployment, run_id = gone_down(idle)
    assert reconciler.look().restarts == [], "its message is on the way"
    old = timezone.now() - timedelta(seconds=11)
    Run.objects.filter(pk=run_id).update(enqueued_at=old)
    assert reconciler.look().restarts == [run_id]
    assert Run.objects.claim(run_id, workers.me())
    assert not Run.objects.claim(run_id, workers.me())
    Run.objects.filter(pk=run_id).update(enqueued_at=old)
    assert reconciler.look().restarts == []


def test_other_tools_than_before_are_known_and_told(idle: Platform) -> None:
    files = {name: text.decode() for name, text in hello_files().items()}
    server, deployment = deployed(idle, idle.server("tools", files))
    kill(deployment)
    broken(server, deployment, files["server.py"].replace('"greet"', '"welcome"'))
    restarts.restart(wanted_again(server))
    deployment.refresh_from_db()
    assert "welcome" in [tool["name"] for tool in deployment.discovery["tools"]]
    assert "not what callers know: greet is gone." in idle.log(deployment)
    assert idle.fresh(server).status == ServerStatus.RUNNING


@pytest.mark.django_db
def test_runs_that_ended_long_ago_are_forgotten_but_for_the_last(server: Server, settings: Any) -> None:
    settings.LOG_RETENTION_DAYS = 1
    old = timezone.now() - timedelta(days=2)
    deployment = make_deployment(server, serves=True, endpoint="http://127.0.0.1:9/mcp")
    last = deployment.run
    for ended_at in (old, timezone.now()):
        Run.objects.create(deployment=deployment, runtime="process", ended_at=ended_at)
    Run.objects.filter(pk=last.pk).update(ended_at=old)  # type: ignore[union-attr]
    retention.trim()
    assert Run.objects.count() == 2
    assert Run.objects.filter(pk=last.pk).exists()  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_deployments_own_run_is_no_restart(server: Server) -> None:
    """It is not started yet, and the worker of the deployment holds it."""
    deployment = make_deployment(server, status=DeploymentStatus.RUNNING, worker=workers.me(), claims=1)
    runs.begin(deployment)
    Server.objects.filter(pk=server.pk).update(desired_state=DesiredState.RUNNING)
    assert not Run.objects.waiting().exists()


def test_a_redeploy_of_what_is_gone_is_left_to_its_work(idle: Platform) -> None:
    """Asking for it forgets the failures, so that the server's turn to be started again has come at once."""
    server, deployment = deployed(idle)
    kill(deployment)
    reconciler.look()
    deployment.build.keep(directory="")
    newer = idle.request(server)
    reconciler.look()
    now = idle.fresh(server)
    assert (now.status, now.restarts) == (ServerStatus.PENDING, 0)
    deployer.run(newer.pk)
    assert idle.fresh(server).serving == newer


def test_one_that_waits_for_a_worker_is_on_its_way(idle: Platform) -> None:
    """All that stopped with the platform come back together, and some wait for long: their callers too."""
    server, _ = deployed(idle)
    reconciler.suspend()
    [run_id] = reconciler.look().restarts
    route = routes.find(server.slug)
    assert route
    assert (route.status, route.comes) == (ServerStatus.STARTING, True)
    restarts.restart(run_id)
    assert idle.fresh(server).status == ServerStatus.RUNNING


def lose(run_id: int) -> None:
    """Its worker took it up and was killed."""
    Run.objects.filter(pk=run_id).update(worker=f"{socket.gethostname()}/4194303/1")


def test_one_that_is_lost_too_often_is_left_alone_and_says_so(idle: Platform) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    lose(wanted_again(server))
    Server.objects.filter(pk=server.pk).update(
        restarts=restarts.MOST_IN_A_ROW - 1, status=ServerStatus.STARTING
    )
    reconciler.look()
    now = idle.fresh(server)
    assert now.status == ServerStatus.ERROR
    assert now.error.startswith(
        "The worker that started it again was lost. It was restarted 8 times in a row"
    )


def test_one_that_is_lost_after_it_was_replaced_is_no_trouble_of_the_server(idle: Platform) -> None:
    server, _deployment, run_id = gone_down(idle)
    newer = idle.request(server)
    deployer.run(newer.pk)
    lose(run_id)
    reconciler.look()
    now = idle.fresh(server)
    assert not Run.objects.get(pk=run_id).is_live
    assert (now.status, now.error, now.restarts, now.serving) == (ServerStatus.RUNNING, "", 0, newer)


def test_one_that_is_stopped_while_it_is_looked_at_has_not_failed(
    idle: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, deployment = deployed(idle)
    Server.objects.filter(pk=server.pk).update(restarts=restarts.MOST_IN_A_ROW - 1)
    asked = runs.survey

    def stopped_meanwhile(of: Any) -> Any:
        services.stop(server=server, by=PLATFORM)
        reconciler.settle(server.pk)
        return asked(of)

    monkeypatch.setattr(runs, "survey", stopped_meanwhile)
    reconciler.look()
    now = idle.fresh(server)
    assert (now.status, now.error, now.restarts) == (ServerStatus.STOPPED, "", 0)
    assert deployment.runs.get().why == "It was stopped."


@pytest.mark.parametrize("waits", [False, True])
def test_a_cancelled_redeploy_of_one_that_is_down_leaves_it_to_its_restart(
    idle: Platform, waits: bool
) -> None:
    server, deployment = deployed(idle)
    kill(deployment)
    if waits:
        wanted_again(server)
    reconciler.look()
    services.cancel(deployment=idle.request(server), by=PLATFORM)
    now = idle.fresh(server)
    assert (now.desired_state, now.status) == (DesiredState.RUNNING, ServerStatus.ERROR)
    reconciler.look()
    restarts.restart(Run.objects.live().get().pk)
    now = idle.fresh(server)
    assert (now.status, now.error, now.serving) == (ServerStatus.RUNNING, "", deployment)


def test_a_cancelled_start_of_one_that_was_stopped_leaves_it_stopped(idle: Platform) -> None:
    server, _ = deployed(idle)
    services.stop(server=server, by=PLATFORM)
    reconciler.settle(server.pk)
    started = services.start(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    services.cancel(deployment=started, by=PLATFORM)
    now = idle.fresh(server)
    assert (now.desired_state, now.status) == (DesiredState.STOPPED, ServerStatus.STOPPED)
    assert reconciler.look().restarts == []


def test_none_is_begun_by_halves(idle: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live run that its deployment does not know would keep every later one from beginning."""
    _, deployment = deployed(idle)
    reconciler.suspend()
    deployment.refresh_from_db()
    with monkeypatch.context() as patched:
        patched.setattr(Deployment, "keep", raises(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            runs.begin(deployment)
    assert runs.begin(deployment).is_live


def raises(error: Exception) -> Callable[..., None]:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising
