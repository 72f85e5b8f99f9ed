"""Intent: who gets what queued, superseded, cancelled, stopped, shown, sealed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from access.actor import PLATFORM, Actor
from hosting.errors import Conflict, Invalid
from hosting.runtimes.base import OutputLine
from metrics.models import UsageMetric
from servers import intake, logbook, queue, secretbox, services, states
from servers.deploying import reconciler, runs
from servers.models import Deployment, LogLine, Run, Secret, Server, Token
from servers.models.server import DesiredState
from servers.models.token import Scope
from servers.states import DEPLOYING, DeploymentStatus, Mode, ServerStatus, StepStatus, Trigger
from tests.accounts import make_deployment, make_server

# What a person, or a newer deployment, makes of one that is over for every worker.
DECIDED = {DeploymentStatus.HELD: {DeploymentStatus.SUPERSEDED, DeploymentStatus.CANCELLED}}

pytestmark = [pytest.mark.core, pytest.mark.django_db]


def deploy(server: Server, **options: Any) -> Deployment:
    return services.deploy(server=server, by=Actor(server.owner), trigger=Trigger.API, **options)


def now_running(deployment: Deployment) -> Deployment:
    Deployment.objects.filter(pk=deployment.pk).update(status=DeploymentStatus.RUNNING)
    deployment.refresh_from_db()
    return deployment


def fresh(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def test_a_request_waits_in_the_queue_with_the_next_number(server: Server) -> None:
    first = deploy(server)
    assert (first.number, first.status, first.mode) == (1, DeploymentStatus.QUEUED, Mode.LATEST)
    assert first.requested_by == server.owner
    assert fresh(server).status == ServerStatus.PENDING
    assert list(Deployment.objects.claimable()) == [first]


def test_a_newer_request_takes_the_place_of_a_queued_one(server: Server) -> None:
    first, second = deploy(server), deploy(server)
    assert fresh(first).status == DeploymentStatus.SUPERSEDED
    assert fresh(first).finished_at
    assert (second.number, fresh(second).status) == (2, DeploymentStatus.QUEUED)


def test_behind_a_running_one_it_waits(server: Server) -> None:
    running, waiting = now_running(deploy(server)), deploy(server)
    assert fresh(running).status == DeploymentStatus.RUNNING
    assert not Deployment.objects.claimable().exists()
    Deployment.objects.move(running.pk, DeploymentStatus.FAILED)
    assert list(Deployment.objects.claimable()) == [waiting]


@pytest.mark.parametrize(
    "act",
    [
        deploy,
        lambda server: services.start(server=server, by=Actor(server.owner), trigger=Trigger.API),
        lambda server: services.stop(server=server, by=PLATFORM),
        lambda server: services.delete(server=server, by=PLATFORM),
        lambda server: services.update_server(server=server, fields={"name": "Other"}, by=PLATFORM),
        lambda server: intake.change(server=server, fields={}, token="", by=Actor(server.owner)),
        lambda server: services.set_secret(server=server, name="KEY", value="x", by=Actor(server.owner)),
    ],
)
def test_who_comes_after_the_deletion_is_told_so(server: Server, act: Callable[[Server], object]) -> None:
    Server.objects.filter(pk=server.pk).delete()
    with pytest.raises(Conflict, match="was deleted meanwhile"):
        act(server)


@pytest.mark.parametrize("status", [DeploymentStatus.RUNNING, DeploymentStatus.QUEUED])
def test_the_database_itself_holds_one_of_each_per_server(server: Server, status: str) -> None:
    make_deployment(server, status=status)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_deployment(server, status=status)
    make_deployment(make_server(server.owner), status=status)


def test_what_was_never_built_cannot_start_again(server: Server) -> None:
    with pytest.raises(Conflict, match="no built deployment"):
        deploy(server, mode=Mode.SAME_DIGEST)
    assert not server.deployments.exists()


def test_a_start_uses_what_was_built_and_refuses_what_serves(server: Server) -> None:
    built = make_deployment(server, image="sha256:abc", serves=True, endpoint="http://127.0.0.1:1/mcp")
    with pytest.raises(Conflict, match="is running already"):
        services.start(server=server, by=PLATFORM, trigger=Trigger.COMMAND)
    Run.objects.filter(deployment=built).update(endpoint="")
    started = services.start(server=server, by=PLATFORM, trigger=Trigger.COMMAND)
    assert (started.mode, started.based_on) == (Mode.SAME_DIGEST, built)


def test_a_start_without_a_build_deploys(server: Server) -> None:
    assert services.start(server=server, by=PLATFORM, trigger=Trigger.COMMAND).mode == Mode.LATEST


def test_a_rollback_starts_an_earlier_success_and_nothing_else(server: Server) -> None:
    good, bad = make_deployment(server, image="x"), make_deployment(server, status="failed", image="x")
    other = make_deployment(make_server(server.owner), image="x")
    back = services.roll_back(server=server, to=good, by=Actor(server.owner))
    assert (back.mode, back.based_on, back.trigger) == (Mode.SAME_DIGEST, good, Trigger.ROLLBACK)
    for wrong in (bad, other):
        with pytest.raises(Conflict, match="no successful deployment"):
            services.roll_back(server=server, to=wrong, by=Actor(server.owner))


def test_cancelling_ends_a_queued_one_and_asks_a_running_one(server: Server) -> None:
    queued = services.cancel(deployment=deploy(server), by=PLATFORM)
    assert (queued.status, queued.error_kind) == (DeploymentStatus.CANCELLED, "cancelled")
    running = services.cancel(deployment=now_running(deploy(server)), by=PLATFORM)
    assert (running.status, running.cancel_requested) == (DeploymentStatus.RUNNING, True)
    with pytest.raises(Conflict, match="nothing to cancel"):
        services.cancel(deployment=queued, by=PLATFORM)


def test_stopping_cancels_what_is_open(server: Server) -> None:
    running, queued = now_running(deploy(server)), deploy(server)
    services.stop(server=server, by=PLATFORM)
    assert fresh(running).cancel_requested
    assert (fresh(queued).status, fresh(queued).error_kind) == (DeploymentStatus.CANCELLED, "cancelled")
    assert "stopped" in fresh(queued).error
    assert (fresh(server).status, fresh(server).desired_state) == ("stopping", DesiredState.STOPPED)


def cancel(server: Server) -> None:
    services.cancel(deployment=server.deployments.get(status=DeploymentStatus.QUEUED), by=PLATFORM)


ENDS = {
    "cancel": (cancel, "Cancelled on request."),
    "stop": (
        lambda server: services.stop(server=server, by=PLATFORM),
        "The server was stopped or deleted meanwhile.",
    ),
    "delete": (
        lambda server: services.delete(server=server, by=PLATFORM),
        "The server was stopped or deleted meanwhile.",
    ),
    "newer": (deploy, "A newer deployment takes its place."),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_had_begun_and_waits_again_has_an_end(server: Server, end: str) -> None:
    """A worker was lost: it has a `deploy_started`."""
    act, why = ENDS[end]
    waiting = deploy(server)
    Deployment.objects.filter(pk=waiting.pk).update(
        started_at=timezone.now() - timedelta(seconds=2), claims=1
    )
    act(server)
    (told,) = UsageMetric.objects.filter(deployment=waiting)
    assert told.event_type == "deploy_cancelled"
    assert {"number": 1, "error": why, "error_kind": "cancelled"}.items() <= told.details.items()
    assert told.details["duration_ms"] >= 2_000


@pytest.mark.parametrize("end", ENDS)
def test_what_never_began_has_none(server: Server, end: str) -> None:
    deploy(server)
    ENDS[end][0](server)
    assert not UsageMetric.objects.exists()


def test_a_rollback_that_waits_again_ends_within_its_deployment(server: Server) -> None:
    good = make_deployment(server, image="x")
    back = services.roll_back(server=server, to=good, by=Actor(server.owner))
    Deployment.objects.filter(pk=back.pk).update(started_at=timezone.now(), claims=1)
    services.cancel(deployment=back, by=PLATFORM)
    told = UsageMetric.objects.filter(deployment=back).order_by("pk")
    assert [metric.event_type for metric in told] == ["rollback_failed", "deploy_cancelled"]
    assert told[0].details["to"] == good.number


def test_a_deletion_is_not_undone(server: Server) -> None:
    services.delete(server=server, by=PLATFORM)
    with pytest.raises(Conflict, match="being deleted"):
        deploy(server)
    services.stop(server=server, by=PLATFORM)
    assert fresh(server).status == ServerStatus.DELETING


@pytest.mark.parametrize("status", sorted(DEPLOYING))
def test_a_lost_deployment_goes_back_to_the_queue_with_its_server(server: Server, status: str) -> None:
    lost = now_running(deploy(server))
    Server.objects.filter(pk=server.pk).update(status=status)
    assert Deployment.objects.put_back(lost)
    assert fresh(lost).status == DeploymentStatus.QUEUED
    assert fresh(server).status == ServerStatus.PENDING


def test_a_lost_deployment_of_a_server_that_stops_leaves_it_stopping(server: Server) -> None:
    lost = now_running(deploy(server))
    services.stop(server=server, by=PLATFORM)
    Deployment.objects.put_back(lost)
    assert fresh(server).status == ServerStatus.STOPPING


def test_what_another_worker_has_taken_meanwhile_is_not_put_back(server: Server) -> None:
    lost = now_running(deploy(server))
    step = lost.steps.create(kind="build", status=StepStatus.RUNNING, started_at=timezone.now())
    Server.objects.filter(pk=server.pk).update(status=ServerStatus.BUILDING)
    Deployment.objects.filter(pk=lost.pk).update(worker="another", claims=lost.claims + 1)
    assert not Deployment.objects.put_back(lost)
    assert fresh(lost).status == DeploymentStatus.RUNNING
    assert fresh(server).status == ServerStatus.BUILDING
    step.refresh_from_db()
    assert step.status == StepStatus.RUNNING


@pytest.mark.parametrize("final", sorted(states.FINAL))
def test_what_is_over_stays_over(server: Server, final: DeploymentStatus) -> None:
    over = make_deployment(server, status=final)
    for wanted in set(DeploymentStatus) - DECIDED.get(final, set()):
        assert not Deployment.objects.move(over.pk, wanted)
    assert fresh(over).status == final


def test_what_is_held_can_only_be_decided(server: Server) -> None:
    for wanted in DECIDED[DeploymentStatus.HELD]:
        held = make_deployment(server, status=DeploymentStatus.HELD)
        assert Deployment.objects.move(held.pk, wanted)


def test_without_a_worker_in_this_process_no_message_is_counted_on(server: Server, settings: Any) -> None:
    """A command beside a platform without a broker: the row is due at once."""
    settings.BROKER_URL = ""
    waiting = deploy(server)
    assert reconciler.look().deployments == [waiting.pk]


def test_a_server_is_seen_by_its_owner_and_staff(server: Server, outsider: User, staff: User) -> None:
    seen = {user.username: list(Server.objects.visible_to(user)) for user in (server.owner, outsider, staff)}
    assert seen == {"owner": [server], "outsider": [], "staff": [server]}
    assert [server.is_visible_to(user) for user in (server.owner, outsider, staff)] == [True, False, True]


def test_a_slug_is_taken_once(server: Server) -> None:
    fields = {"name": "x", "slug": server.slug, "source_kind": "image", "source": {"reference": "a/b:1"}}
    with pytest.raises(ValidationError, match="slug"):
        services.create_server(by=Actor(server.owner), fields=fields)
    for bad in ("-a", "A", "a_b", "a" * 49, "", "a\n"):
        with pytest.raises(ValidationError, match="slug"):
            services.create_server(by=Actor(server.owner), fields={**fields, "slug": bad})


def test_a_token_is_shown_once_and_kept_as_a_digest(server: Server) -> None:
    token, value = services.issue_token(owner=server.owner, name="ci", server=server, by=PLATFORM)
    assert value not in str(Token.objects.filter(pk=token.pk).values().get())
    assert Token.objects.matching(value, Scope.MCP).get() == token
    assert not Token.objects.matching(value, Scope.API).exists()
    services.revoke_token(token=token, by=PLATFORM)
    assert not Token.objects.matching(value, Scope.MCP).exists()


def test_a_token_ends_with_its_time_and_with_its_owner(server: Server) -> None:
    past = timezone.now() - timedelta(seconds=1)
    _, old = services.issue_token(owner=server.owner, name="old", expires_at=past, by=PLATFORM)
    assert not Token.objects.matching(old, Scope.MCP).exists()
    _, value = services.issue_token(owner=server.owner, name="ci", by=PLATFORM)
    User.objects.filter(pk=server.owner_id).update(is_active=False)
    assert not Token.objects.matching(value, Scope.MCP).exists()


def test_a_token_opens_no_server_that_its_owner_cannot_see(server: Server, outsider: User) -> None:
    with pytest.raises(Invalid, match="no such server"):
        services.issue_token(owner=outsider, name="x", server=server, by=PLATFORM)


def test_a_secret_is_sealed_replaced_and_named_like_a_variable(server: Server) -> None:
    for value in ("first-value", "second-value"):
        services.set_secret(server=server, name="API_KEY", value=value, by=Actor(server.owner))
    secret = Secret.objects.get()
    assert (secret.reveal(), secret.updated_by) == ("second-value", server.owner)
    assert b"second-value" not in bytes(secret.sealed)
    with pytest.raises(Invalid, match="needs a value"):
        services.set_secret(server=server, name="API_KEY", value="", by=Actor(server.owner))
    with pytest.raises(ValidationError):
        services.set_secret(server=server, name="1 KEY", value="x", by=Actor(server.owner))


def test_keys_rotate(server: Server, settings: Any) -> None:
    services.set_secret(server=server, name="API_KEY", value="kept", by=Actor(server.owner))
    old, new = settings.SECRET_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    settings.SECRET_ENCRYPTION_KEYS = [new, old]
    call_command("rotate_secrets")
    settings.SECRET_ENCRYPTION_KEYS = [new]
    assert Secret.objects.get().reveal() == "kept"


def test_a_secret_that_no_key_opens_is_named(server: Server, settings: Any) -> None:
    services.set_secret(server=server, name="API_KEY", value="lost", by=Actor(server.owner))
    settings.SECRET_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(secretbox.Unreadable):
        Secret.objects.get().reveal()
    with pytest.raises(CommandError, match=f"{server.slug}/API_KEY"):
        call_command("rotate_secrets")


def test_the_queue_counts_per_server(server: Server) -> None:
    other = make_server(server.owner)
    assert [deploy(one).number for one in (server, other, server)] == [1, 1, 2]
    added = queue.add(server=other, requested_by=None, trigger=Trigger.RECONCILER, mode=Mode.LATEST)
    assert added.requested_by is None


@pytest.mark.django_db(transaction=True)
def test_a_cancel_and_the_output_that_is_written_meanwhile_do_not_wait_for_each_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both can be at work at once (PostgreSQL), each has a row that the other wants next."""
    deployment = make_deployment(server, status=DeploymentStatus.RUNNING, runtime="process", endpoint="")
    outputs = iter([([OutputLine(timezone.now(), "stdout", "up")], "1"), ([], "1")])
    monkeypatch.setattr(runs, "runtime_of", lambda _: SimpleNamespace(output=lambda *_: next(outputs)))
    writing, locked = threading.Event(), threading.Event()
    keep, lock = logbook.keep, services.locked

    def keeps(server_id: int, lines: Iterable[LogLine]) -> None:
        writing.set()
        locked.wait(1)  # on SQLite it is not, before the lines are written
        keep(server_id, lines)

    def locks(wanted: Server) -> Server:
        found = lock(wanted)
        locked.set()
        return found

    def collect() -> None:
        runs.collect(Run.objects.get(deployment=deployment))
        connection.close()

    monkeypatch.setattr(logbook, "keep", keeps)
    monkeypatch.setattr(services, "locked", locks)
    collecting = threading.Thread(target=collect)
    collecting.start()
    assert writing.wait(60)
    services.cancel(deployment=deployment, by=PLATFORM)
    collecting.join(60)
    assert fresh(deployment).cancel_requested
    assert [line.text for line in deployment.log_lines.all()] == ["up"]
