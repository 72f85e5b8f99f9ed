"""Whatever is reachable below /admin/ and /api/: an outsider finds nothing there, a viewer changes nothing.

The addresses come from Django's resolver, so a door that is added later is tested without being named here.
One that takes a row of a new kind needs a line in `rows`, one that is for everybody a line with its reason
in `OPEN` or `FOR_ALL`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from rest_framework.test import APIClient

from access.models import Role, Team
from servers.models.token import Scope
from tests.access import rows
from tests.access.doors import Door, every
from tests.accounts import token_of, with_member

APPS = ("access", "auth", "hooks", "notices", "servers")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
REFUSED = (403, 404, 405)
MISSING = 999_999_999

# Nothing that belongs to anybody is behind these.
OPEN = {
    "": "leads to the console",
    "admin:login": "the way in",
    "admin:logout": "one's own session",
    "admin:password_change": "one's own password",
    "admin:password_change_done": "one's own password",
    "admin:jsi18n": "words for scripts",
    "admin:view_on_site": "no row of ours has a page elsewhere",
    "admin:app_list": "names of pages",
    "admin:search": "names of pages",
    "admin/(?P<url>.*)$": "adds a slash, or is not found",
    "api:health": "for load balancers; names no server",
    "api:schema": "the API's description",
    "api:docs": "the API's description",
    "api/": "whatever is not there",
    "api:server-logs-stream": "answers 501: feeds are served over ASGI, see tests/servers/streams",
    "api:server-metrics-stream": "likewise",
    "api:servers-stream": "likewise",
    "subregistry:servers": "the catalog: what is listed, or what the asker sees, see tests/catalog",
    "subregistry:versions": "likewise",
    "subregistry:version": "likewise",
    "sso-login": "the way in, see test_sso",
    "sso-callback": "likewise",
    "hook": "signed by its sender, see tests/hooks",
}
# Changes that anybody may make, for they are about nobody else.
FOR_ALL = {
    ("admin:servers_token_add", "POST"): "a token of one's own",
    ("api:token-list", "POST"): "a token of one's own",
    ("admin:notices_channel_add", "POST"): "a channel of one's own; it tells what one sees",
    ("api:channel-list", "POST"): "likewise",
}
FOR_VIEWERS = {
    **FOR_ALL,
    ("admin:servers_server_ticket", "POST"): "calls as oneself: who sees a server may call it",
    ("admin:servers_server_token", "POST"): "a token of one's own: who sees a server may call it",
}
# Pages that show the same whatever the method.
READING = ("_changelist", "_history", "admin:index")
DOORS = [door for door in every() if door.name not in OPEN]


@pytest.fixture
def zebra(db: None) -> dict[str, Any]:
    return rows.make()


def test_an_outsider_finds_nothing(zebra: dict[str, Any], outsider: User) -> None:
    knock = Knocking(outsider)
    elsewhere = {
        **dict.fromkeys(zebra, MISSING),
        "secret_name": "MISSING",
        "username": "missing",
        "registry_host": "missing.example.org",
        "public_id": "missing",
        "remedy": "none",
    }
    for door in DOORS:
        address, nowhere = rows.address_of(door, zebra), rows.address_of(door, elsewhere)
        shown = knock(door, "GET", address)
        assert not door.parameters or is_refused(shown), door
        assert "zebra" not in text_of(shown).lower().replace(address.lower(), ""), door
        for method, answer in knock.unsafely(door, address, FOR_ALL):
            assert is_refused(answer), (door, method)
            assert answer.status_code == knock(door, method, nowhere).status_code, (door, method)
    assert knock.changed() == {}


def test_a_viewer_changes_nothing(zebra: dict[str, Any]) -> None:
    viewer = User.objects.create_user("viewer")
    with_member(Team.objects.get(), viewer, Role.VIEWER)
    knock = Knocking(viewer)
    for door in DOORS:
        address = rows.address_of(door, zebra)
        assert knock(door, "GET", address).status_code < 500, door
        for method, answer in knock.unsafely(door, address, FOR_VIEWERS):
            assert is_refused(answer), (door, method)
    assert knock.changed() == {}


def test_a_token_that_reads_changes_nothing(zebra: dict[str, Any], staff: User) -> None:
    """Not even an administrator's."""
    knock = Knocking(staff, Scope.READ)
    for door in DOORS:
        if door.is_api:
            for method, answer in knock.unsafely(door, rows.address_of(door, zebra), {}):
                assert is_refused(answer), (door, method)
    assert knock.changed() == {}


def test_nobody_gets_in(zebra: dict[str, Any], client: Client) -> None:
    for door in DOORS:
        answer: Any = client.get(rows.address_of(door, zebra))
        if door.is_api:
            assert answer.status_code == 401, door
        else:
            assert answer.status_code == 302, door
            assert "/admin/login/" in answer["Location"] or is_detour(answer), door


class Knocking:
    """Somebody at the doors: a browser at the console's, a token at the API's."""

    def __init__(self, user: User, scope: str = Scope.API) -> None:
        self._browser, self._program = Client(), APIClient()
        self._browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        self._program.credentials(HTTP_AUTHORIZATION=f"Bearer {token_of(user, scope)}")
        self._before = everything()

    def __call__(self, door: Door, method: str, address: str) -> HttpResponse:
        client: Any = self._program if door.is_api else self._browser
        return client.generic(method, address)  # type: ignore[no-any-return]

    def unsafely(
        self, door: Door, address: str, allowed: Mapping[tuple[str, str], str]
    ) -> Iterator[tuple[str, HttpResponse]]:
        """The answers that have to be refusals. Django's own pages take what is no POST for a GET."""
        for method in UNSAFE if door.is_api else ("POST",):
            if (door.name, method) not in allowed and not door.name.endswith(READING):
                yield method, self(door, method, address)

    def changed(self) -> dict[str, list[Any]]:
        """Tables that are not as they were."""
        return {name: found for name, found in everything().items() if found != self._before[name]}


def everything() -> dict[str, list[Any]]:
    """All rows of ours, but for when somebody or something was seen last."""
    unsteady = {"last_used_at", "last_login"}
    ours = (
        model
        for app in ("access", "auth", "hooks", "notices", "servers")
        for model in apps.get_app_config(app).get_models()
    )
    return {
        model.__name__: list(
            model._default_manager.order_by("pk").values_list(
                *[field.name for field in model._meta.concrete_fields if field.name not in unsteady]
            )
        )
        for model in ours
    }


def is_refused(answer: HttpResponse) -> bool:
    return answer.status_code in REFUSED or is_detour(answer)


def is_detour(answer: HttpResponse) -> bool:
    """The admin's old address of a row leads to its page, which is a door of its own."""
    return answer.status_code in (301, 302) and answer["Location"].endswith("/change/")


def text_of(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
