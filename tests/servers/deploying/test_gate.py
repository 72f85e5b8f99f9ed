"""Deployments whose tools break callers: told, or held until a person decides. On real processes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import PLATFORM, Actor
from access.models import AuditEntry
from hosting.errors import Conflict
from metrics.models import UsageMetric
from notices.models import Notice
from servers import approvals, channels, services
from servers.deploying import reconciler, retention
from servers.models import Deployment, Server
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger
from tests.accounts import make_deployment
from tests.eventually import eventually
from tests.platform import Platform, hello_files, is_alive

pytestmark = pytest.mark.core
CHANGES = {
    "against": 1,
    "gate": "hold",
    "added": [],
    "removed": ["add"],
    "changed": [],
    "breaking": ["add is gone."],
}


def without_add() -> dict[str, str | bytes]:
    """The example's next version: the tool `add` is gone."""
    files = hello_files()
    source = files["server.py"]
    assert isinstance(source, bytes)
    before, found, rest = source.decode().partition('        Tool(\n            "add",')
    assert found
    return {**files, "server.py": before + rest.partition("        ),\n")[2]}


@pytest.fixture
def held_one(platform: Platform) -> tuple[Server, Deployment, Deployment]:
    """A server, what serves, and the deployment without `add` that waits."""
    server = platform.hello(schema_gate="hold")
    first = platform.deploy(server)
    platform.upload(server, without_add())
    return server, first, platform.deploy(server)


def details(deployment: Deployment, event_type: str) -> dict[str, Any]:
    return UsageMetric.objects.get(deployment=deployment, event_type=event_type).details


def tools_of(deployment: Deployment) -> set[str]:
    return {tool["name"] for tool in deployment.discovery["tools"]}


def test_warn_lets_it_pass_and_tells(platform: Platform) -> None:
    server = platform.hello()
    first = platform.deploy(server)
    platform.upload(server, without_add())
    second = platform.deploy(server)

    assert second.status == DeploymentStatus.SUCCEEDED
    assert first.tool_changes == {}
    assert second.tool_changes == {**CHANGES, "gate": "warn"}
    assert details(second, "schema_changed") == {**CHANGES, "gate": "warn", "number": 2}
    eventually(lambda: "add is gone." in platform.log(second), what="its log is kept")


def test_off_keeps_the_difference_and_says_nothing(platform: Platform) -> None:
    server = platform.hello(schema_gate="off")
    platform.deploy(server)
    platform.upload(server, without_add())
    second = platform.deploy(server)
    assert (second.status, second.tool_changes["removed"]) == (DeploymentStatus.SUCCEEDED, ["add"])
    assert "schema_changed" not in platform.events(second)


def test_hold_ends_the_new_run_and_keeps_what_it_built(
    platform: Platform, held_one: tuple[Server, Deployment, Deployment]
) -> None:
    server, first, second = held_one
    assert (second.status, second.error_kind, second.live_run) == (DeploymentStatus.HELD, "", None)
    assert second.tool_changes == CHANGES
    assert "add is gone." in second.error
    assert platform.events(second)[-2:] == ["schema_changed", "deploy_held"]
    assert details(second, "deploy_held")["breaking"] == ["add is gone."]
    server = platform.fresh(server)
    assert (server.status, server.serving, server.error) == (ServerStatus.RUNNING, first, "")
    assert is_alive(first)

    for look in (
        reconciler.look,
        reconciler.sweep,
        reconciler.trim,
        retention.clear_up_after_lost_workers,
    ):
        look()
    reconciler.settle(server.pk)
    second.refresh_from_db()
    assert second.status == DeploymentStatus.HELD
    assert Path(second.build.directory).is_dir()


def test_channels_are_told_of_what_waits(platform: Platform) -> None:
    about = {"name": "On call", "url": "http://127.0.0.1:9/hook"}
    channels.create(by=Actor(platform.owner), fields=about)
    server = platform.hello(schema_gate="hold")
    platform.deploy(server)
    platform.upload(server, without_add())
    platform.deploy(server)
    (notice,) = Notice.objects.filter(event="held")
    assert "waits for approval" in str(notice.payload)
    assert "add is gone." in str(notice.payload)


def test_approved_it_goes_on_as_a_deployment_of_its_own(
    platform: Platform, held_one: tuple[Server, Deployment, Deployment]
) -> None:
    server, first, second = held_one
    third = platform.ended(
        approvals.approve(deployment=second, by=Actor(platform.owner), trigger=Trigger.API)
    )

    assert (third.status, third.mode, third.based_on) == ("succeeded", Mode.SAME_DIGEST, second)
    assert third.build.directory == second.build.directory
    assert "build_started" not in platform.events(third)
    assert "schema_changed" not in platform.events(third)
    assert platform.fresh(server).serving == third
    assert tools_of(first) - tools_of(third) == {"add"}
    second.refresh_from_db()
    assert second.status == DeploymentStatus.SUPERSEDED
    assert details(second, "schema_approved") == {"number": 2, "as": 3}
    assert AuditEntry.objects.get(action="deployment.approved").by == platform.owner
    reconciler.settle(server.pk)
    assert Path(third.build.directory).is_dir()
    with pytest.raises(Conflict):
        approvals.approve(deployment=second, by=Actor(platform.owner), trigger=Trigger.API)


def test_declined_it_is_given_up_and_what_serves_goes_on(
    platform: Platform, held_one: tuple[Server, Deployment, Deployment]
) -> None:
    server, first, second = held_one
    declined = approvals.decline(deployment=second, by=Actor(platform.owner))
    assert (declined.status, declined.live_run) == (DeploymentStatus.CANCELLED, None)
    assert declined.error.startswith("Declined by operator: ")
    assert platform.fresh(server).serving == first
    directory = Path(second.build.directory)
    retention.clear_up_after_lost_workers()
    assert not directory.exists()


def test_a_rollback_and_a_restart_are_not_gated_and_leave_what_waits(
    platform: Platform, held_one: tuple[Server, Deployment, Deployment]
) -> None:
    server, first, second = held_one
    back = platform.ended(services.roll_back(server=server, to=first, by=Actor(platform.owner)))
    again = platform.deploy(server, Mode.SAME_DIGEST)
    assert [back.status, again.status] == ["succeeded", "succeeded"]
    second.refresh_from_db()
    assert second.status == DeploymentStatus.HELD
    assert Path(second.build.directory).is_dir()


def test_a_newer_deployment_takes_the_place_of_what_waits(
    platform: Platform, held_one: tuple[Server, Deployment, Deployment]
) -> None:
    server, _, second = held_one
    directory = Path(second.build.directory)
    platform.upload(server, {**hello_files(), "extra.txt": "add is back"})
    third = platform.deploy(server)
    assert (third.status, third.tool_changes) == (DeploymentStatus.SUCCEEDED, {})
    second.refresh_from_db()
    assert second.status == DeploymentStatus.SUPERSEDED
    eventually(lambda: not directory.exists(), what="it is cleared up")


def test_a_tool_that_only_comes_does_not_hold(platform: Platform) -> None:
    server = platform.server("hello", without_add(), schema_gate="hold")
    platform.deploy(server)
    platform.upload(server, hello_files())
    second = platform.deploy(server)
    assert (second.status, second.tool_changes["added"]) == (DeploymentStatus.SUCCEEDED, ["add"])
    assert second.tool_changes["breaking"] == []


# --- Doors, on rows


@pytest.fixture
def waiting(server: Server) -> Deployment:
    make_deployment(server, serves=True, image="x", directory="")
    return make_deployment(server, status=DeploymentStatus.HELD, image="y", tool_changes=CHANGES)


def test_the_api_approves_and_declines(
    waiting: Deployment, owner: User, outsider: User, viewer: User, api: Callable[[User], APIClient]
) -> None:
    for verb in ("approve", "decline"):
        path = f"/api/deployments/{waiting.pk}/{verb}/"
        assert api(outsider).post(path).status_code == 404
        assert api(viewer).post(path).status_code == 403
    answer = api(owner).post(f"/api/deployments/{waiting.pk}/approve/")
    assert (answer.status_code, answer.json()["number"], answer.json()["based_on"]) == (202, 3, 2)
    assert api(owner).post(f"/api/deployments/{waiting.pk}/decline/").status_code == 409
    body = api(owner).get(f"/api/deployments/{waiting.pk}/").json()
    assert (body["status"], body["tool_changes"]["removed"]) == ("superseded", ["add"])


def test_the_console_shows_the_difference_and_asks(waiting: Deployment, staff: User) -> None:
    browser = Client()
    browser.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    page = browser.get(reverse("admin:servers_deployment_change", args=[waiting.pk])).content.decode()
    assert "Waits for approval" in page
    assert "Tools, compared with #1" in page
    approve = reverse("admin:servers_deployment_runbook", args=[waiting.pk, "approve"])
    assert approve in page
    asked = browser.get(approve).content.decode()
    assert "add is gone." in asked
    assert "Waits for approval" in browser.get(reverse("admin:index")).content.decode()
    told = browser.get(reverse("admin:servers_server_change", args=[waiting.server_id])).content.decode()
    assert "#2 waits for approval" in told
    browser.post(reverse("admin:servers_deployment_runbook", args=[waiting.pk, "decline"]))
    waiting.refresh_from_db()
    assert waiting.status == DeploymentStatus.CANCELLED


def test_the_command_approves_and_declines(waiting: Deployment, staff: User) -> None:
    slug, out = waiting.server.slug, io.StringIO()
    call_command("approve", slug, stdout=out)
    assert "#3 is queued" in out.getvalue()
    with pytest.raises(CommandError, match="waits for approval"):
        call_command("approve", slug, "--decline")


def test_a_stopped_server_keeps_what_waits(waiting: Deployment) -> None:
    services.stop(server=waiting.server, by=PLATFORM)
    waiting.refresh_from_db()
    assert waiting.status == DeploymentStatus.HELD
