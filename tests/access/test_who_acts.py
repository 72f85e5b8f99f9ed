"""What the audit says of each door: what was done, by whom, through which door, with which token, from where.

One case goes in at each door that there is, as a person or a program does, and says all that was written.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.models import AuditEntry, Team
from hooks.models import Delivery
from servers.models import Server, Token
from servers.operations import first_run
from tests.accounts import make_server, person, token_of
from tests.catalog import documents
from tests.hooks import payloads

HERE = "192.0.2.7"
CHANNEL = {"name": "Mine", "url": "https://chat.example/hook"}
WEATHER = documents.document(documents.SEARCH)
pytestmark = pytest.mark.django_db
Entry = tuple[str, str, str, str, str | None]


def written() -> list[Entry]:
    fields = ("action", "actor", "via", "token", "address")
    return list(AuditEntry.objects.order_by("id").values_list(*fields))


def forget() -> None:
    """What was written before the case began."""
    AuditEntry.objects.all().delete()


@pytest.fixture
def browser(owner: User) -> Client:
    """The owner at the console."""
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def administrator(root: User) -> Client:
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def program(owner: User) -> APIClient:
    """The owner's script, with a token."""
    client = APIClient(REMOTE_ADDR=HERE)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(owner)}")
    forget()
    return client


def used() -> str:
    return str(Token.objects.get(name="test"))


def at_api(*actions: str) -> list[Entry]:
    return [(action, "owner", "api", used(), HERE) for action in actions]


def at_console(*actions: str, who: str = "owner") -> list[Entry]:
    return [(action, who, "admin", "", HERE) for action in actions]


def by_command(*actions: str) -> list[Entry]:
    return [(action, "root", "command", "", None) for action in actions]


# --- The console


def test_buttons_of_a_server(browser: Client, server: Server) -> None:
    page = f"/admin/servers/server/{server.pk}"
    browser.post(f"{page}/secret/", {"name": "KEY", "value": "x"})
    browser.post(f"{page}/secrets/{server.secrets.get().pk}/remove/")
    browser.post(f"{page}/redeploy/", {"mode": "latest"})
    browser.post(f"/admin/servers/deployment/{server.deployments.get().pk}/cancel/")
    browser.post(f"{page}/start/")
    browser.post(f"{page}/stop/")
    browser.post(f"{page}/token/", {"name": "desk"})
    browser.post(f"/admin/servers/token/{Token.objects.get().pk}/revoke/")
    browser.post("/admin/servers/server/redeploy/", {"ids": server.pk, "mode": "latest"})
    browser.post(f"{page}/remove/")
    assert written() == at_console(
        "secret.set", "secret.removed", "deployment.requested", "deployment.cancelled",
        "deployment.requested", "server.stopped", "token.issued", "token.revoked", "deployment.requested",
        "server.deleted",
    )  # fmt: skip


def test_runbooks_of_the_console(browser: Client, server: Server) -> None:
    browser.post(f"/admin/servers/server/{server.pk}/redeploy/", {"mode": "latest"})
    made = server.deployments.get()
    server.deployments.update(status="failed", error_kind="internal")
    forget()
    browser.post(f"/admin/servers/deployment/{made.pk}/runbook/redeploy/")
    assert written() == at_console("deployment.requested", "runbook.redeploy")


def test_forms_of_people_teams_and_tokens(administrator: Client, owner: User) -> None:
    administrator.post(
        reverse("admin:auth_user_add"),
        {"username": "ada", "password1": "correct-horse-9", "password2": "correct-horse-9"},
    )
    ada = User.objects.get(username="ada")
    page = reverse("admin:auth_user_change", args=[ada.pk])
    administrator.post(page, {"username": "ada", "first_name": "Ada", "is_active": "on"})
    words = {"password1": "battery-staple-9", "password2": "battery-staple-9"}
    administrator.post(reverse("admin:auth_user_password_change", args=[ada.pk]), words)
    administrator.post(reverse("admin:access_team_add"), team_form(name="Maps"))
    team = Team.objects.get(name="Maps")
    change = reverse("admin:access_team_change", args=[team.pk])
    login = {"logins-0-host": "registry.example.org", "logins-0-username": "x", "logins-0-password": "y"}
    administrator.post(change, team_form(name="Charts", username="ada", login=login))
    administrator.post(reverse("admin:access_team_delete", args=[team.pk]), {"post": "yes"})
    administrator.post(
        reverse("admin:servers_token_add"),
        {"name": "by hand", "owner": owner.pk, "scope": "api", "calls_per_minute": "0"},
    )
    assert written() == at_console(
        "user.added", "user.changed", "user.password_set", "team.created", "team.renamed", "member.added",
        "registry_login.set", "team.deleted", "token.issued", who="root",
    )  # fmt: skip
    assert not LogEntry.objects.exists()  # the admin's own log would be a second one


def team_form(name: str, username: str = "", login: dict[str, str] | None = None) -> dict[str, str]:
    form = {"name": name}
    for prefix, count in (("memberships", bool(username)), ("registry_logins", bool(login))):
        form |= {f"{prefix}-TOTAL_FORMS": str(int(count)), f"{prefix}-INITIAL_FORMS": "0"}
    if username:
        form |= {"memberships-0-username": username, "memberships-0-role": "viewer"}
    return form | {key.replace("logins", "registry_logins"): value for key, value in (login or {}).items()}


def test_the_form_of_a_server(administrator: Client) -> None:
    form = {
        "name": "Clock", "slug": "clock", "source_kind": "image", "image_reference": "example/clock:1",
        "cpu": "1", "memory_mb": "512", "pids": "128", "calls_per_minute": "0", "port": "8000",
        "secret_name_1": "KEY", "secret_value_1": "x", "deploy": "on", "path": "/mcp",
    }  # fmt: skip
    answer = administrator.post("/admin/servers/server/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    assert written() == at_console("secret.set", "server.created", "deployment.requested", who="root")


def test_channels_of_the_console(browser: Client, owner: User) -> None:
    form = {**CHANNEL, "kind": "generic", "scope": "all", "enabled": "on"}
    browser.post("/admin/notices/channel/add/", form)
    page = f"/admin/notices/channel/{owner.channels.get().pk}"  # type: ignore[attr-defined]
    browser.post(f"{page}/edit/", {**form, "name": "Ours", "url": "https://other.example/"})
    for button in ("test", "rotate", "remove"):
        browser.post(f"{page}/{button}/")
    assert written() == at_console(
        "channel.added", "channel.secret_dropped", "channel.changed", "channel.tested",
        "channel.secret_rotated", "channel.removed",
    )  # fmt: skip


def test_one_s_own_password(client: Client) -> None:
    ada = person("ada")
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    words = {
        "old_password": "ada-password",
        "new_password1": "horse-9-battery",
        "new_password2": "horse-9-battery",
    }
    client.post(reverse("admin:password_change"), words, REMOTE_ADDR=HERE)
    assert written() == at_console("user.password_changed", who="ada")


def test_signing_in(client: Client) -> None:
    """Who failed is nobody known."""
    person("ada")
    for password in ("guess", "ada-password"):
        client.post("/admin/login/", {"username": "ada", "password": password}, REMOTE_ADDR=HERE)
    assert written() == [*at_console("login.failed", who=""), *at_console("login.succeeded", who="ada")]


# --- REST


def test_servers_over_the_api(program: APIClient, server: Server) -> None:
    here = f"/api/servers/{server.pk}"
    program.patch(f"{here}/", {"name": "Other"})
    program.put(f"{here}/secrets/KEY/", {"value": "x"})
    program.delete(f"{here}/secrets/KEY/")
    program.post(f"{here}/redeploy/", {"mode": "latest"})
    program.post(f"{here}/cancel/")
    program.post(f"{here}/start/")
    program.post(f"{here}/stop/")
    program.delete(f"{here}/")
    assert written() == at_api(
        "server.changed", "secret.set", "secret.removed", "deployment.requested", "deployment.cancelled",
        "deployment.requested", "server.stopped", "server.deleted",
    )  # fmt: skip


def test_a_server_that_is_made_over_the_api(program: APIClient) -> None:
    source = {"kind": "image", "reference": "example/clock:1"}
    made = program.post("/api/servers/", {"name": "Clock", "secrets": {"KEY": "x"}, "source": source})
    assert made.status_code == 201, made.content
    assert written() == at_api("secret.set", "server.created", "deployment.requested")


def test_a_session_at_the_api_sends_no_token(browser: Client, server: Server) -> None:
    browser.post(f"/api/servers/{server.pk}/stop/")
    assert written() == [("server.stopped", "owner", "api", "", HERE)]


def test_tokens_and_channels_over_the_api(program: APIClient, owner: User) -> None:
    token = program.post("/api/tokens/", {"name": "desk", "scope": "mcp"}).json()
    program.delete(f"/api/tokens/{token['id']}/")
    where = f"/api/channels/{program.post('/api/channels/', CHANNEL).json()['id']}"
    program.patch(f"{where}/", {"name": "Ours"})
    for button in ("test", "rotate"):
        program.post(f"{where}/{button}/")
    program.delete(f"{where}/")
    assert written() == at_api(
        "token.issued", "token.revoked", "channel.added", "channel.changed", "channel.tested",
        "channel.secret_rotated", "channel.removed",
    )  # fmt: skip


def test_teams_over_the_api(root: User, owner: User) -> None:
    client = APIClient(REMOTE_ADDR=HERE)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(root)}")
    forget()
    where = f"/api/teams/{client.post('/api/teams/', {'name': 'Maps'}).json()['id']}"
    client.patch(f"{where}/", {"name": "Charts"})
    client.put(f"{where}/members/owner/", {"role": "viewer"})
    client.put(f"{where}/registry-logins/registry.example.org/", {"username": "x", "password": "y"})
    client.delete(f"{where}/registry-logins/registry.example.org/")
    client.delete(f"{where}/members/owner/")
    client.delete(f"{where}/")
    actions = [
        "team.created", "team.renamed", "member.added", "registry_login.set", "registry_login.removed",
        "member.removed", "team.deleted",
    ]  # fmt: skip
    assert written() == [(action, "root", "api", used(), HERE) for action in actions]


def test_the_catalog_over_the_api(program: APIClient) -> None:
    body = {"document": WEATHER, "answers": {"SEARCH_API_KEY": "x"}}
    assert program.post("/api/catalog/import/", body).status_code == 201
    assert written() == at_api("secret.set", "server.created", "deployment.requested", "catalog.imported")


# --- Forges


@pytest.fixture
def hooked(program: APIClient, owner: User) -> dict[str, Any]:
    """A webhook, as its maker got it."""
    url = "https://github.com/octo/hello.git"
    server = make_server(owner, source_kind="git", source={"url": url})
    made = program.post(f"/api/servers/{server.pk}/hooks/", {"kind": "github"}).json()
    assert written() == at_api("webhook.added")
    forget()
    return dict(made)


def pushed(hooked: dict[str, Any]) -> None:
    body = json.dumps(payloads.github()).encode()
    headers = payloads.github_headers(hooked["secret"], body, "d1")
    rest = {name: value for name, value in headers.items() if name != "content-type"}
    path = "/hooks/" + hooked["url"].partition("/hooks/")[2]
    answer = Client().post(
        path, body, content_type="application/json", headers=rest, REMOTE_ADDR="198.51.100.3"
    )
    assert answer.status_code == 202, answer.content


def test_a_push_has_an_address_and_no_person(hooked: dict[str, Any]) -> None:
    pushed(hooked)
    assert written() == [("deployment.requested", "", "webhook", "", "198.51.100.3")]


def test_a_push_that_a_program_delivers_again(hooked: dict[str, Any], program: APIClient) -> None:
    pushed(hooked)
    forget()
    where = f"/api/hooks/{hooked['id']}/deliveries/{Delivery.objects.get().pk}/redeliver/"
    assert program.post(where).status_code == 202
    assert written() == [
        *at_api("webhook.delivered_again"),
        ("deployment.requested", "owner", "webhook", used(), HERE),
    ]


def test_a_push_that_a_person_delivers_again(hooked: dict[str, Any], browser: Client) -> None:
    pushed(hooked)
    forget()
    browser.post(f"/admin/hooks/delivery/{Delivery.objects.get().pk}/again/")
    assert written() == [
        *at_console("webhook.delivered_again"),
        ("deployment.requested", "owner", "webhook", "", HERE),
    ]


def test_webhooks_of_the_console(hooked: dict[str, Any], browser: Client) -> None:
    page = f"/admin/hooks/webhook/{hooked['id']}"
    browser.post(f"{page}/edit/", {"branches": "main", "paths": "src/**"})
    browser.post(f"{page}/rotate/")
    browser.post(f"{page}/remove/")
    browser.post(f"/admin/hooks/webhook/for/{Server.objects.get().pk}/", {"kind": "github"})
    assert written() == at_console(
        "webhook.changed", "webhook.secret_rotated", "webhook.removed", "webhook.added"
    )


# --- Commands, and the platform itself


def test_commands_act_for_the_first_administrator(root: User, server: Server) -> None:
    call_command("redeploy", server.slug, "--python", "3.12")
    call_command("stop", server.slug)
    call_command("start", server.slug)
    call_command("deploy", "clock", "--image", "example/clock:1")
    assert written() == by_command(
        "server.changed", "deployment.requested", "server.stopped", "deployment.requested", "server.created",
        "deployment.requested",
    )  # fmt: skip


def test_a_command_without_an_administrator(server: Server) -> None:
    call_command("stop", server.slug)
    assert written() == [("server.stopped", "", "command", "", None)]


def test_the_catalog_s_command(root: User, tmp_path: Any) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(WEATHER))
    call_command("import_server", str(file), "--set", "SEARCH_API_KEY=x")
    assert written() == by_command("secret.set", "server.created", "deployment.requested", "catalog.imported")


def test_the_first_start(settings: Any, tmp_path: Any) -> None:
    """The example belongs to the administrator whom the platform has just made."""
    settings.DATA_DIR = tmp_path
    assert first_run.administrator()
    assert first_run.example()
    assert written() == [
        ("user.added", "", "platform", "", None),
        ("server.created", "admin", "platform", "", None),
        ("server.changed", "", "platform", "", None),
        ("deployment.requested", "admin", "platform", "", None),
        ("token.issued", "", "platform", "", None),
    ]
