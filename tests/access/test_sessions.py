"""Logins by password: cookies, the proxy in front, lockout, and what is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from access.models import AuditEntry
from servers.operations import first_run
from tests.accounts import person

LOGIN, INDEX = reverse("admin:login"), reverse("admin:index")
pytestmark = pytest.mark.django_db


def log_in(client: Client, name: str, password: str = "", **headers: Any) -> int:
    form = {"username": name, "password": password or f"{name}-password"}
    return client.post(LOGIN, form, **headers).status_code


def said() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("action", "target"))


@pytest.mark.slow
def test_behind_a_proxy_that_ends_tls(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "PUBLIC_URL": "https://mcp.example.org",
        "BEHIND_PROXY": "true",
        "DJANGO_SETTINGS_MODULE": "mcphost.settings",
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.access.proxied"], env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["session"] == {"secure": True, "httponly": True, "samesite": "Lax"}
    assert (seen["csrf"]["secure"], seen["csrf"]["samesite"]) == (True, "Lax")
    assert "max-age=31536000" in seen["hsts"]
    assert seen["codes"] == {
        "https://evil.example.org": 403, "http://mcp.example.org": 403, "null": 403,
        "https://mcp.example.org": 302,
    }  # fmt: skip
    assert seen["plain"] == [301, "https://mcp.example.org/admin/login/"]
    assert seen["users"] == 0  # nobody is there by default


def test_a_login_that_failed_says_so_and_keeps_the_name(client: Client) -> None:
    person("ada")
    text = client.post(LOGIN, {"username": "ada", "password": "wrong"}).text
    assert "Nobody may enter with this user name and password." in text
    assert "staff" not in text
    assert 'value="ada"' in text


def test_cookies_without_tls_are_kept_from_scripts_and_other_sites(client: Client) -> None:
    person("ada")
    assert log_in(client, "ada") == 302
    cookie = client.cookies["mcphost_session"]
    assert (bool(cookie["httponly"]), cookie["samesite"], bool(cookie["secure"])) == (True, "Lax", False)


def test_what_a_client_says_about_tls_is_not_believed_without_a_proxy(client: Client) -> None:
    answer = client.get(LOGIN, HTTP_X_FORWARDED_PROTO="https")
    assert not answer.wsgi_request.is_secure()


def test_a_login_changes_the_session(client: Client) -> None:
    person("ada")
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["mcphost_session"] = session.session_key
    assert log_in(client, "ada") == 302
    assert client.cookies["mcphost_session"].value != session.session_key


def test_whoever_is_active_may_enter_and_nobody_else(client: Client) -> None:
    user = person("ada")
    assert log_in(client, "ada") == 302
    assert client.get(INDEX).status_code == 200
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert client.get(INDEX).status_code == 302
    assert log_in(Client(), "ada") == 200


def test_failed_logins_lock_the_name_for_that_address(client: Client) -> None:
    person("ada")
    person("grace")
    codes = [log_in(client, "ada", "guess") for _ in range(12)]
    assert codes[:9] == [200] * 9
    assert codes[-1] == 429
    assert log_in(client, "ada") == 429  # the right one is of no use now
    assert log_in(Client(), "grace") == 302
    assert log_in(Client(), "ada", REMOTE_ADDR="192.0.2.9") == 302
    page = client.post(LOGIN, {"username": "ada", "password": "guess"}).content.decode()
    assert "Too many failed logins" in page
    assert [action for action, _ in said()].count("login.locked") == 1


def test_logins_are_written_down_with_their_address(client: Client) -> None:
    person("ada")
    log_in(client, "ada", "guess", REMOTE_ADDR="192.0.2.7")
    log_in(client, "ada", REMOTE_ADDR="192.0.2.7")
    assert said() == [("login.failed", "ada"), ("login.succeeded", "ada")]
    assert set(AuditEntry.objects.values_list("address", flat=True)) == {"192.0.2.7"}
    assert AuditEntry.objects.get(action="login.failed").actor == ""


def test_what_is_no_name_of_anybody_is_not_written_down(client: Client) -> None:
    """People type passwords into the wrong field."""
    log_in(client, "hunter2-hunter2", "x")
    assert said() == []


def test_changing_ones_password_ends_the_other_sessions(client: Client) -> None:
    user, elsewhere = person("ada"), Client()
    log_in(client, "ada")
    log_in(elsewhere, "ada")
    new = {"new_password1": "a-new-word-of-hers", "new_password2": "a-new-word-of-hers"}
    wrong = client.post(reverse("admin:password_change"), {"old_password": "guess", **new})
    assert wrong.status_code == 200
    given = {"old_password": "ada-password", **new}
    assert client.post(reverse("admin:password_change"), given).status_code == 302
    user.refresh_from_db()
    assert user.check_password("a-new-word-of-hers")
    assert client.get(INDEX).status_code == 200
    assert elsewhere.get(INDEX).status_code == 302
    assert said()[-1] == ("user.password_changed", "ada")


def test_the_first_administrator_has_a_password_of_their_own() -> None:
    first = first_run.administrator()
    assert first
    User.objects.all().delete()
    second = first_run.administrator()
    assert second
    assert first.password != second.password
    assert len(first.password) >= 20
    assert first_run.administrator() is None
