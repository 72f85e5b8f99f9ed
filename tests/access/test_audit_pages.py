"""What services write down, who reads it in the console, and how a change is shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import PLATFORM, Actor
from access.models import AuditEntry
from servers import services
from servers.deploying import retention
from servers.models import Server
from servers.operations import first_run
from tests.accounts import make_server, token_of

LIST = reverse("admin:access_auditentry_changelist")


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def program(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(user)}")
    return client


@pytest.mark.core
def test_a_change_over_the_api_is_written_down_with_who_and_what(server: Server, owner: User) -> None:
    body = {"environment": {"MODE": "fast", "API_TOKEN": "not-for-eyes"}}
    answer = program(owner).patch(f"/api/servers/{server.pk}/", {"limits": {"cpu": 2}, **body})
    assert answer.status_code == 200
    entry = AuditEntry.objects.get(action="server.changed")
    assert (entry.actor, entry.via, entry.server_id) == ("owner", "api", server.pk)
    assert entry.token.startswith("test (mcph_")
    assert entry.before == {"environment": {}, "cpu": 1.0}
    assert entry.after == {"environment": {"MODE": "fast", "API_TOKEN": "***"}, "cpu": 2.0}


def test_a_change_that_changes_nothing_is_not_written_down(server: Server, owner: User) -> None:
    assert program(owner).patch(f"/api/servers/{server.pk}/", {"name": server.name}).status_code == 200
    assert not AuditEntry.objects.filter(action="server.changed").exists()


def test_everything_that_is_done_to_a_server(server: Server, owner: User) -> None:
    client, here = program(owner), f"/api/servers/{server.pk}"
    client.put(f"{here}/secrets/API_KEY/", {"value": "hunter2-hunter2"})
    client.delete(f"{here}/secrets/API_KEY/")
    client.post(f"{here}/redeploy/", {"mode": "latest"})
    client.post(f"{here}/cancel/")
    client.post(f"{here}/stop/")
    token = client.post("/api/tokens/", {"name": "desk", "scope": "mcp", "server": server.pk}).json()
    client.delete(f"/api/tokens/{token['id']}/")
    client.delete(f"{here}/")
    entries = AuditEntry.objects.filter(server_id=server.pk).order_by("id")
    assert [entry.action for entry in entries] == [
        "secret.set", "secret.removed", "deployment.requested", "deployment.cancelled", "server.stopped",
        "token.issued", "token.revoked", "server.deleted",
    ]  # fmt: skip
    assert {(entry.actor, entry.via) for entry in entries} == {("owner", "api")}
    assert entries[0].after == {"name": "API_KEY", "purpose": "environment"}
    assert "hunter2" not in str(list(entries.values()))
    assert token["value"] not in str(list(entries.values()))


def test_who_reads_it(server: Server, owner: User, viewer: User, outsider: User, staff: User) -> None:
    services.stop(server=server, by=PLATFORM)
    other = make_server(staff)
    services.stop(server=other, by=PLATFORM)
    seen = {
        user.username: set(
            logged_in(user).get(LIST).context["cl"].queryset.values_list("server_id", flat=True)
        )
        for user in (owner, viewer, outsider, staff)
    }
    assert seen == {
        "owner": {server.pk}, "viewer": set(), "outsider": set(), "staff": {server.pk, other.pk}
    }  # fmt: skip


def test_what_a_command_does_came_through_the_command_line(server: Server) -> None:
    root = User.objects.create_superuser("root")
    call_command("stop", server.slug)
    call_command("rotate_secrets")
    for action in ("server.stopped", "secrets.sealed_anew"):
        entry = AuditEntry.objects.get(action=action)
        assert (entry.via, entry.by, entry.actor) == ("command", root, "root")
    page = logged_in(root).get(LIST).content.decode()
    assert "Command line" in page


@pytest.mark.django_db
def test_people_whom_a_command_makes_or_changes_are_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct-horse")
    call_command("createsuperuser", "--noinput", "--username", "root", "--email", "")
    call_command("createsuperuser", "--noinput", "--username", "second", "--email", "")
    monkeypatch.setattr("getpass.getpass", lambda prompt: "battery-staple-9")
    call_command("changepassword", "second", stdout=io.StringIO())
    entries = AuditEntry.objects.order_by("id").values_list("action", "target", "actor", "via")
    assert list(entries) == [
        ("user.added", "root", "", "command"),
        ("user.added", "second", "root", "command"),
        ("user.password_set", "second", "root", "command"),
    ]
    assert User.objects.get(username="second").check_password("battery-staple-9")
    kept = str(list(AuditEntry.objects.values()))
    assert "correct-horse" not in kept
    assert "battery-staple" not in kept


@pytest.mark.django_db
def test_the_first_administrator_is_written_down() -> None:
    assert first_run.administrator()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.via) == ("user.added", "admin", "platform")


def test_entries_are_kept_for_their_time(server: Server, settings: Any) -> None:
    services.stop(server=server, by=PLATFORM)
    settings.AUDIT_RETENTION_DAYS = 30
    retention.trim()
    assert AuditEntry.objects.count() == 1
    settings.AUDIT_RETENTION_DAYS = 0
    retention.trim()
    assert not AuditEntry.objects.exists()


def test_an_entry_shows_before_and_after(server: Server, owner: User, viewer: User) -> None:
    services.update_server(server=server, fields={"name": "<b>Renamed</b>"}, by=PLATFORM)
    entry = AuditEntry.objects.get(action="server.changed")
    url = reverse("admin:access_auditentry_change", args=[entry.pk])
    page = logged_in(owner).get(url).content.decode()
    assert "&lt;b&gt;Renamed&lt;/b&gt;" in page
    assert "<b>Renamed</b>" not in page
    assert logged_in(viewer).get(url).status_code == 404
    assert logged_in(owner).post(url, {"action": "x"}).status_code in (403, 405)


def test_the_filters(server: Server, owner: User, staff: User) -> None:
    services.stop(server=server, by=PLATFORM)
    services.set_secret(server=server, name="API_KEY", value="hunter2-hunter2", by=Actor(owner))
    client = logged_in(staff)
    for query, actions in (
        (f"?server={server.pk}", {"server.stopped", "secret.set"}),
        ("?actor=owner", {"secret.set"}),
        ("?action=server.stopped", {"server.stopped"}),
        ("?via__exact=api", set()),
    ):
        found = client.get(LIST + query).context["cl"].queryset
        assert set(found.values_list("action", flat=True)) == actions, query


def test_the_history_of_a_server_is_its_audit(server: Server, owner: User) -> None:
    answer = logged_in(owner).get(reverse("admin:servers_server_history", args=[server.pk]))
    assert answer["Location"] == f"{LIST}?server={server.pk}"
