"""Errors, and who is kept out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.actor import PLATFORM
from servers import services
from servers.models import Server, Token
from servers.models.deployment import Deployment
from tests.accounts import make_deployment, token_of

Api = Callable[[User], APIClient]
PACKAGE = {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"}


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(body)
    return body


def doors(server: Server, deployment: Deployment, token: Token) -> list[tuple[str, str, object]]:
    one = f"/api/servers/{server.pk}/"
    return [
        ("get", one, None),
        ("put", one, {"name": "x", "source": PACKAGE}),
        ("patch", one, {"name": "x"}),
        ("delete", one, None),
        *(("post", f"{one}{action}/", {}) for action in ("start", "stop", "redeploy", "cancel", "archive")),
        ("post", f"{one}rollback/", {"to": 1}),
        ("get", f"{one}deployments/", None),
        ("get", f"{one}logs/", None),
        ("get", f"{one}secrets/", None),
        ("put", f"{one}secrets/A/", {"value": "x"}),
        ("delete", f"{one}secrets/A/", None),
        ("get", f"{one}metrics/", None),
        ("post", f"{one}metrics/", {"event_type": "custom.x"}),
        ("get", f"/api/deployments/{deployment.pk}/", None),
        ("post", f"/api/deployments/{deployment.pk}/cancel/", {}),
        ("get", f"/api/tokens/{token.pk}/", None),
        ("delete", f"/api/tokens/{token.pk}/", None),
    ]


@pytest.fixture
def every_door(server: Server, owner: User) -> list[tuple[str, str, object]]:
    token, _ = services.issue_token(owner=owner, name="mine", by=PLATFORM)
    return doors(server, make_deployment(server), token)


def test_an_outsider_finds_nothing_behind_any_door(
    api: Api, outsider: User, every_door: list[tuple[str, str, object]], server: Server
) -> None:
    before = Server.objects.values().get()
    client = api(outsider)
    for method, path, body in every_door:
        form = "multipart" if path.endswith("archive/") else None
        answer = getattr(client, method)(path, body, **({"format": form} if form else {}))
        assert problem(answer, 404)["instance"] == path
    assert Server.objects.values().get() == before
    assert client.get("/api/servers/").json()["results"] == []
    assert client.get("/api/deployments/").json()["results"] == []


def test_nobody_gets_in_without_a_name(every_door: list[tuple[str, str, object]]) -> None:
    for method, path, body in [*every_door, ("get", "/api/servers/", None), ("post", "/api/tokens/", {})]:
        answer = getattr(APIClient(), method)(path, body)
        problem(answer, 401)
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_staff_sees_what_others_own(api: Api, staff: User, server: Server) -> None:
    assert api(staff).get(f"/api/servers/{server.pk}/").json()["owner"] == "owner"


def test_a_session_works_with_a_csrf_token_only(
    session: Callable[[User], Client], owner: User, server: Server
) -> None:
    browser = session(owner)
    where = f"/api/servers/{server.pk}/redeploy/"
    assert browser.get(f"/api/servers/{server.pk}/").status_code == 200
    problem(browser.post(where, {}, content_type="application/json"), 403)
    browser.get("/admin/login/")
    browser.cookies["mcphost_csrf"] = "a" * 32
    allowed = browser.post(where, {}, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert allowed.status_code == 202


def test_what_is_wrong_with_a_request(api: Api, owner: User, server: Server) -> None:
    client = api(owner)
    one = f"/api/servers/{server.pk}/"
    problem(client.post(one, {}), 405)
    problem(client.generic("POST", "/api/servers/", "{", content_type="application/json"), 400)
    problem(client.generic("POST", "/api/servers/", "a", content_type="text/csv"), 415)
    problem(client.generic("POST", "/api/servers/", "[1]", content_type="application/json"), 400)
    problem(client.generic("POST", "/api/servers/", b"\xff", content_type="application/json"), 400)
    surrogate = b'{"name": "\\ud800"}'
    problem(client.generic("POST", "/api/servers/", surrogate, content_type="application/json"), 400)
    problem(client.get(one, HTTP_ACCEPT="image/png"), 406)
    problem(client.get("/api/servers/999999/"), 404)
    problem(client.get("/api/servers/99999999999999999999/"), 404)
    problem(client.get("/api/nothing/"), 404)
    assert "slash" in problem(client.get("/api/servers"), 404)["detail"]
    big = '{"name": "' + "x" * 3_000_000 + '"}'
    problem(client.generic("POST", "/api/servers/", big, content_type="application/json"), 413)


@pytest.mark.parametrize("door", ["metrics/", "logs/", "logs/download/", "usage/"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "now"])
def test_moments_that_no_calendar_has(api: Api, owner: User, server: Server, door: str, moment: str) -> None:
    body = problem(api(owner).get(f"/api/servers/{server.pk}/{door}", {"until": moment}), 400)
    assert body["errors"][0]["field"] == "until"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "0001-01-15T00:00:00Z"])
def test_usage_before_the_calendar_begins(api: Api, owner: User, server: Server, moment: str) -> None:
    asked = {"until": moment, "interval": "day"}
    body = problem(api(owner).get(f"/api/servers/{server.pk}/usage/", asked), 400)
    assert body["errors"][0]["field"] == "until"


@pytest.mark.parametrize("number", ["-1", "x", "9" * 5000])
def test_numbers_that_are_none(api: Api, owner: User, server: Server, number: str) -> None:
    client = api(owner)
    for door, name in [
        ("", "limit"),
        (f"{server.pk}/metrics/", "deployment"),
        (f"{server.pk}/logs/", "tail"),
    ]:
        body = problem(client.get(f"/api/servers/{door}", {name: number}), 400)
        assert body["errors"][0]["field"] == name


def test_fields_at_fault_have_pointers(api: Api, owner: User) -> None:
    body = problem(api(owner).post("/api/servers/", {"name": "A", "source": {"kind": "git"}}), 400)
    assert body["errors"] == [
        {"field": "source.url", "pointer": "#/source/url", "detail": "A git source needs a URL."}
    ]


def test_an_error_of_ours_is_logged_and_shown_with_a_reference(
    api: Api, owner: User, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(services, "stop", broken)
    body = problem(api(owner).post(f"/api/servers/{server.pk}/stop/"), 500)
    assert body["reference"] in body["detail"]
    assert "hunter2" not in str(body)
    logged = next(
        record for record in caplog.records if getattr(record, "reference", "") == body["reference"]
    )
    assert logged.exc_info


def test_a_token_in_the_wrong_scheme_or_twice(owner: User, server: Server) -> None:
    value = token_of(owner)
    for header in (f"Basic {value}", value, "Bearer", "Bearer "):
        problem(APIClient().get("/api/servers/", HTTP_AUTHORIZATION=header), 401)
