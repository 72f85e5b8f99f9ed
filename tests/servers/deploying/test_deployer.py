"""A deployment's walk on the process runtime: real processes, the bundled example, no network."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from pytest_django.fixtures import Settings

from access.actor import PLATFORM, Actor
from hosting.errors import UserError
from servers import logbook, services
from servers.deploying import deployer, runtimes
from servers.models import Deployment, Server
from servers.states import FINAL, DeploymentStatus, Mode, ServerStatus, Trigger
from servers.timeline import Timeline
from tests.eventually import eventually
from tests.platform import Platform, at_once, hello_files, is_alive, processes_under

pytestmark = pytest.mark.core

WALK = [
    "deploy_started", "clone_started", "clone_succeeded", "build_started", "build_succeeded",
    "start_started", "start_succeeded", "health_started", "health_succeeded",
    "discover_started", "discover_succeeded", "deploy_succeeded",
]  # fmt: skip
EXITS = {
    "requirements.txt": "",
    "server.py": "import sys\nsys.stderr.write('no licence key\\n')\nsys.exit(3)\n",
}
SLEEPS = {"requirements.txt": "", "server.py": "import time\ntime.sleep(600)\n"}


def test_a_source_becomes_a_healthy_server(platform: Platform) -> None:
    server = platform.hello()
    deployment = platform.deploy(server)

    assert (deployment.status, deployment.error) == (DeploymentStatus.SUCCEEDED, "")
    assert platform.events(deployment) == WALK
    server = platform.fresh(server)
    assert (server.status, server.serving) == (ServerStatus.RUNNING, deployment)
    assert deployment.run.endpoint.startswith("http://127.0.0.1:")
    assert {tool["name"] for tool in deployment.discovery["tools"]} >= {"greet", "add", "now", "count"}
    assert deployment.facts["era"] == "both"
    scratch = settings.DATA_DIR / "work"
    eventually(lambda: not list(scratch.iterdir()), what="the scratch space is gone")


def test_the_bridge_has_the_platforms_limits_or_its_servers(platform: Platform, settings: Settings) -> None:
    settings.BRIDGE_SESSIONS, settings.GATEWAY_BODY_LIMIT = 7, 100_000
    server = platform.hello(environment={"BRIDGE_MAX_BODY": "200000"})
    platform.deploy(server)
    its_own = settings.DATA_DIR / "runs" / str(server.pk)
    seen = [process.environ() for process in processes_under(its_own)]
    limits = [(each.get("BRIDGE_MAX_SESSIONS"), each.get("BRIDGE_MAX_BODY")) for each in seen]
    assert ("7", "200000") in limits


def test_a_failed_redeploy_never_takes_a_healthy_server_down(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    platform.upload(server, EXITS)
    second = platform.deploy(server)

    assert (second.status, second.error_kind) == (DeploymentStatus.FAILED, "runtime")
    assert "no licence key" in second.error
    server = platform.fresh(server)
    assert (server.status, server.serving) == (ServerStatus.ERROR, first)
    assert platform.events(second)[-1] == "deploy_failed"
    its_own = settings.DATA_DIR / "runs" / str(server.pk) / "2"
    assert not processes_under(its_own)
    assert not its_own.exists()


def test_the_next_good_deployment_takes_over_and_the_old_one_goes(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    second = platform.deploy(server)

    server = platform.fresh(server)
    assert server.serving == second
    eventually(lambda: Deployment.objects.get(pk=first.pk).live_run is None, what="the old run is drained")
    eventually(lambda: "stop_succeeded" in platform.events(first), what="its end is told of")
    assert Deployment.objects.get(pk=second.pk).live_run is not None


def test_a_server_that_never_answers_says_so_and_leaves_nothing(platform: Platform, settings) -> None:  # type: ignore[no-untyped-def]
    settings.HEALTH_TIMEOUT = 2
    server = platform.server("mute", SLEEPS)
    deployment = platform.deploy(server)

    assert deployment.status == DeploymentStatus.FAILED
    assert deployment.error_kind in ("runtime", "timeout")
    assert platform.fresh(server).status == ServerStatus.ERROR
    eventually(lambda: not processes_under(settings.DATA_DIR), what="its processes are gone")


def test_a_source_that_cannot_be_recognised_names_what_was_looked_for(platform: Platform) -> None:
    deployment = platform.deploy(platform.server("empty", {"notes.txt": "nothing to run"}))

    assert (deployment.status, deployment.error_kind) == (DeploymentStatus.FAILED, "source")
    for name in ("requirements.txt", "pyproject.toml", "package.json"):
        assert name in deployment.error


def test_same_digest_starts_what_was_built_without_building(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    again = platform.deploy(server, Mode.SAME_DIGEST)

    assert again.status == DeploymentStatus.SUCCEEDED
    assert "build_started" not in platform.events(again)
    assert (again.build.directory, again.build.revision) == (first.build.directory, first.build.revision)


def test_rolling_back_starts_the_older_build(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    changed = {**hello_files(), "extra.txt": "another revision"}
    platform.upload(server, changed)
    second = platform.deploy(server)
    assert second.build.revision != first.build.revision

    back = platform.ended(services.roll_back(server=server, to=first, by=Actor(platform.owner)))
    assert (back.status, back.trigger, back.build.revision) == (
        "succeeded",
        Trigger.ROLLBACK,
        first.build.revision,
    )
    assert platform.fresh(server).serving == back


def test_a_newer_request_supersedes_a_queued_one_and_waits_behind_a_running_one(platform: Platform) -> None:
    server = platform.server("slow", SLEEPS)
    running = platform.request(server)
    eventually(lambda: Deployment.objects.get(pk=running.pk).status == DeploymentStatus.RUNNING)
    waiting = platform.request(server)
    newest = platform.request(server)

    assert Deployment.objects.get(pk=waiting.pk).status == DeploymentStatus.SUPERSEDED
    assert Deployment.objects.get(pk=newest.pk).status == DeploymentStatus.QUEUED
    services.cancel(deployment=running, by=PLATFORM)
    assert platform.ended(running).status == DeploymentStatus.CANCELLED
    eventually(lambda: Deployment.objects.get(pk=newest.pk).status == DeploymentStatus.RUNNING)
    services.cancel(deployment=newest, by=PLATFORM)
    platform.ended(newest)


def test_a_cancel_ends_the_work_and_what_serves_goes_on(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    platform.upload(server, SLEEPS)
    second = platform.request(server)
    eventually(lambda: second.steps.filter(kind="health").exists(), what="it waits for health")
    services.cancel(deployment=second, by=PLATFORM)

    assert platform.ended(second).status == DeploymentStatus.CANCELLED
    server = platform.fresh(server)
    assert (server.status, server.serving) == (ServerStatus.RUNNING, first)
    assert platform.events(second)[-1] == "deploy_cancelled"


def test_two_servers_deploy_side_by_side(platform: Platform) -> None:
    one, two = platform.server("one", SLEEPS), platform.server("two", SLEEPS)
    running = [platform.request(one), platform.request(two)]
    eventually(
        lambda: Deployment.objects.filter(status=DeploymentStatus.RUNNING, steps__kind="health").count() == 2
    )
    for deployment in running:
        services.cancel(deployment=deployment, by=PLATFORM)
    for deployment in running:
        platform.ended(deployment)


def test_a_deployment_is_claimed_once(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    at_once(lambda: deployer.run(deployment.pk))

    deployment.refresh_from_db()
    assert (deployment.status, deployment.claims) == (DeploymentStatus.SUCCEEDED, 1)
    assert deployment.steps.filter(kind="start").count() == 1


def test_secrets_reach_the_server_and_no_log(platform: Platform) -> None:
    tells = "import os, sys\nsys.stderr.write('key=' + os.environ['API_KEY'] + '\\n')\nsys.exit(1)\n"
    server = platform.server("teller", {"requirements.txt": "", "server.py": tells})
    services.set_secret(server=server, name="API_KEY", value="s3cr3t-value-1234", by=Actor(platform.owner))
    deployment = platform.deploy(server)

    assert "key=***" in platform.log(deployment)
    assert (
        "s3cr3t" not in platform.log(deployment) + deployment.error + Server.objects.get(pk=server.pk).error
    )


def test_a_secret_that_no_key_opens_ends_the_deployment_with_what_to_do(idle: Platform, settings) -> None:  # type: ignore[no-untyped-def]
    server = idle.hello()
    services.set_secret(server=server, name="API_KEY", value="s3cr3t-value-1234", by=Actor(idle.owner))
    settings.SECRET_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    deployer.run(deployment.pk)

    deployment.refresh_from_db()
    assert (deployment.status, deployment.claims) == (DeploymentStatus.FAILED, 1)
    assert "SECRET_ENCRYPTION_KEYS" in deployment.error


def test_cancelling_what_runs_leaves_what_waits_behind_it_alone(platform: Platform) -> None:
    server = platform.server("slow", SLEEPS)
    running = platform.request(server)
    eventually(lambda: running.steps.filter(kind="health").exists(), what="it waits for health")
    platform.upload(server, hello_files())
    waiting = platform.request(server)
    services.cancel(deployment=running, by=PLATFORM)

    assert platform.ended(running).status == DeploymentStatus.CANCELLED
    assert platform.ended(waiting).status == DeploymentStatus.SUCCEEDED
    server = platform.fresh(server)
    assert (server.status, server.serving) == (ServerStatus.RUNNING, waiting)


def test_a_worker_that_was_taken_for_dead_leaves_its_successor_alone(idle: Platform, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    server = idle.hello()
    deployment = services.deploy(server=server, by=Actor(idle.owner), trigger=Trigger.API)
    switch = deployer._switch

    def taken_over_before(job, run) -> None:  # type: ignore[no-untyped-def]
        if Deployment.objects.filter(pk=deployment.pk, claims=1).exists():
            assert Deployment.objects.put_back(job.deployment)
            deployer.run(deployment.pk)
        switch(job, run)

    monkeypatch.setattr(deployer, "_switch", taken_over_before)
    deployer.run(deployment.pk)

    deployment.refresh_from_db()
    assert (deployment.status, deployment.claims) == (DeploymentStatus.SUCCEEDED, 2)
    assert Path(deployment.build.directory).is_dir()
    assert idle.fresh(server).serving == deployment
    assert is_alive(deployment)


@pytest.mark.parametrize("fails", [False, True])
def test_the_log_is_written_when_the_end_is_told(
    idle: Platform, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Else a page that hears of the end shows, and goes on to show, a reason without its last words."""
    monkeypatch.setattr(logbook, "FLUSH_SECONDS", 600)
    deployment = services.deploy(server=idle.hello(), by=Actor(idle.owner), trigger=Trigger.API)
    found: list[bool] = []

    def last_words(_: Deployment, timeline: Timeline) -> None:
        timeline.say("its last words")
        if fails:
            raise UserError("It does not work.")

    def told(server_id: int) -> None:
        if Deployment.objects.get(pk=deployment.pk).status in FINAL:
            found.append("its last words" in idle.log(deployment))

    monkeypatch.setattr(deployer.gate, "check", last_words)
    monkeypatch.setattr(deployer.events, "status_changed", told)
    deployer.run(deployment.pk)
    assert found == [True]


def test_what_a_lost_worker_left_is_gone_before_its_deployment_is_done_again(idle: Platform) -> None:
    deployment = services.deploy(server=idle.hello(), by=Actor(idle.owner), trigger=Trigger.API)
    Deployment.objects.filter(pk=deployment.pk).update(claims=1)
    left = runtimes.scratch_directory() / f"{deployment.pk}-1"
    left.mkdir(parents=True)
    deployer.run(deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.status, deployment.claims) == (DeploymentStatus.SUCCEEDED, 2)
    assert not left.exists()


def test_rebuild_takes_the_archive_that_was_deployed_not_the_newest(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    platform.upload(server, {**hello_files(), "extra.txt": "newer"})
    again = platform.deploy(server, Mode.REBUILD)

    assert (again.status, again.build.revision) == (DeploymentStatus.SUCCEEDED, first.build.revision)
