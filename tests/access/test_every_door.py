"""Whatever is reachable below /admin/ and /api/: an outsider finds nothing there, a viewer changes nothing.

The addresses come from Django's resolver, so a door that is added later is tested without being named here.
One that takes a row of a new kind needs a line in `ROWS`; one that is for everybody, a line with its reason in
`OPEN` or `FOR_ALL`.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access import audit
from access.models import Role, Team
from metrics.models import UsageMetric
from servers import services
from servers.models import LogLine
from servers.models.token import Scope
from tests.access.doors import Door, every
from tests.accounts import make_deployment, make_server, token_of, with_member

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
REFUSED = (403, 404, 405)
MISSING = 999_999_999

# Nothing of a server is behind these.
OPEN = {
    "": "leads to the console",
    "admin:login": "the way in",
    "admin:logout": "one's own session",
    "admin:password_change": "one's own password",
    "admin:password_change_done": "one's own password",
    "admin:jsi18n": "words for scripts",
    "admin:view_on_site": "no model of ours has a page of its own elsewhere",
    "admin:app_list": "names of pages",
    "admin/(?P<url>.*)$": "adds a slash, or is not found",
    "api:health": "for load balancers; names no server",
    "api:schema": "the API's description",
    "api:docs": "the API's description",
    "api/": "whatever is not there",
}
# Changes that anybody may make, for they are about nobody else.
FOR_ALL = {
    ("admin:servers_token_add", "POST"): "a token of one's own",
    ("api:token-list", "POST"): "a token of one's own",
}
# A viewer may call a server, and needs a token for that.
FOR_VIEWERS = {**FOR_ALL, ("admin:servers_server_token", "POST"): "a token of one's own for what one sees"}

# What the parameters of an address stand for: by the beginning of its route, else by the parameter's name.
ROWS = {
    "admin/servers/server/": "server",
    "admin/servers/deployment/": "deployment",
    "admin/servers/logline/": "line",
    "admin/servers/token/": "token",
    "admin/metrics/usagemetric/": "metric",
    "admin/auth/user/": "owner",
    "admin/access/team/": "team",
    "admin/access/auditentry/": "entry",
    "api/^servers/": "server",
    "api/servers/": "server",
    "api/^deployments/": "deployment",
    "api/^tokens/": "token",
}
BY_NAME = {"secret": "secret", "name": "secret_name"}

DOORS = [pytest.param(door, id=door.name) for door in every() if door.name not in OPEN]


@pytest.fixture
def zebra(db: None) -> dict[str, Any]:
    """One server with everything that belongs to one; whatever has a name is called zebra."""
    owner, team = User.objects.create_user("zebra"), Team.objects.create(name="Zebra team")
    server = make_server(owner, name="Zebra", slug="zebra", team=team)
    deployment = make_deployment(server, summary="zebra")
    secret = services.set_secret(server=server, name="ZEBRA_KEY", value="zebra-zebra", by=owner)
    token, _ = services.issue_token(owner=owner, name="zebra", server=server)
    line = LogLine.objects.create(
        server=server, deployment=deployment, stream="build", at=timezone.now(), text="zebra"
    )
    metric = UsageMetric.objects.create(
        server=server, timestamp=timezone.now(), event_type="custom.zebra", details={}
    )
    return {
        "server": server.pk,
        "deployment": deployment.pk,
        "secret": secret.pk,
        "secret_name": secret.name,
        "token": token.pk,
        "line": line.pk,
        "metric": metric.pk,
        "owner": owner.pk,
        "team": team.pk,
        "entry": audit.record(action="server.zebra", target=server, by=owner).pk,
    }


def address_of(door: Door, rows: dict[str, Any]) -> str:
    return door.address({name: rows[_stands_for(door, name)] for name in door.parameters})


def _stands_for(door: Door, parameter: str) -> str:
    if parameter in BY_NAME:
        return BY_NAME[parameter]
    kind = next((kind for beginning, kind in ROWS.items() if door.route.startswith(beginning)), None)
    assert kind, f"{door.name}: say in ROWS what <{parameter}> of {door.route} stands for"
    return kind


def client_of(user: User, door: Door, scope: str = Scope.API) -> Client:
    """A browser for the console, a token for the API."""
    client = APIClient() if door.route.startswith("api/") else Client()
    client.raise_request_exception = True
    if isinstance(client, APIClient):
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(user, scope)}")
    else:
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def answer_of(client: Client, method: str, address: str) -> HttpResponse:
    given: dict[str, Any] = {} if isinstance(client, APIClient) else {"content_type": "application/json"}
    if method == "POST" and not isinstance(client, APIClient):
        given = {}
    answer: Any = getattr(client, method.lower())(address, **given)
    return answer  # type: ignore[no-any-return]


def everything() -> dict[str, list[Any]]:
    """All rows of ours but for when a token was used last."""
    models = [
        model
        for app in ("access", "servers", "metrics", "auth")
        for model in apps.get_app_config(app).get_models()
    ]
    unsteady = {"last_used_at", "last_login"}
    return {
        model.__name__: list(
            model._default_manager.order_by("pk").values_list(
                *[field.name for field in model._meta.concrete_fields if field.name not in unsteady]
            )
        )
        for model in models
    }


def is_detour(answer: HttpResponse) -> bool:
    """The admin's old address of a row leads to its page, which is tested by itself."""
    return answer.status_code in (301, 302) and answer["Location"].endswith("/change/")


@pytest.mark.parametrize("door", DOORS)
def test_an_outsider_finds_nothing(door: Door, zebra: dict[str, Any], outsider: User) -> None:
    client, address = client_of(outsider, door), address_of(door, zebra)
    elsewhere = address_of(door, dict.fromkeys(zebra, MISSING))
    before = everything()

    answer = answer_of(client, "GET", address)
    if door.parameters:
        assert answer.status_code in REFUSED or is_detour(answer)
    assert "zebra" not in text_of(answer).lower().replace(address.lower(), "")

    for method in UNSAFE:
        if (door.name, method) in FOR_ALL or door.name.endswith("_changelist"):
            continue
        answer = answer_of(client, method, address)
        assert answer.status_code in REFUSED or is_detour(answer), method
        assert answer.status_code == answer_of(client, method, elsewhere).status_code, method
    assert everything() == before


@pytest.mark.parametrize("door", DOORS)
def test_a_viewer_changes_nothing(door: Door, zebra: dict[str, Any]) -> None:
    viewer = User.objects.create_user("viewer")
    with_member(Team.objects.get(), viewer, Role.VIEWER)
    _changes_nothing(client_of(viewer, door), door, address_of(door, zebra), FOR_VIEWERS)


@pytest.mark.parametrize("door", [param for param in DOORS if param.values[0].route.startswith("api/")])
def test_a_token_that_reads_changes_nothing(door: Door, zebra: dict[str, Any], staff: User) -> None:
    """Not even an administrator's."""
    _changes_nothing(client_of(staff, door, Scope.READ), door, address_of(door, zebra), {})


def _changes_nothing(client: Client, door: Door, address: str, allowed: dict[tuple[str, str], str]) -> None:
    before = everything()
    assert answer_of(client, "GET", address).status_code < 500 or door.name.endswith("-stream")
    for method in UNSAFE:
        if (door.name, method) in allowed:
            continue
        answer = answer_of(client, method, address)
        if not door.name.endswith("_changelist"):  # it has no action of its own
            assert answer.status_code in REFUSED or is_detour(answer), method
    assert everything() == before


def text_of(answer: HttpResponse) -> str:
    if getattr(answer, "streaming", False):
        return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return answer.content.decode()


@pytest.mark.parametrize("door", DOORS)
def test_nobody_gets_in(door: Door, zebra: dict[str, Any]) -> None:
    client = APIClient() if door.route.startswith("api/") else Client()
    answer = answer_of(client, "GET", address_of(door, zebra))
    if door.route.startswith("api/"):
        assert answer.status_code == 401
    else:
        assert answer.status_code == 302
        assert "/admin/login/" in answer["Location"] or is_detour(answer)
