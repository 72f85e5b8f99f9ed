"""Whoever holds a token that ends, or that is bound, and would make of it one that does not and is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from access.actor import PLATFORM, Actor
from access.models import AuditEntry, Via
from hooks import services as hooks
from hosting.errors import Conflict, Invalid
from notices.models import Channel
from servers import channels, services
from servers.models import Server, Token
from servers.models.token import Scope
from tests.accounts import api, owner, server, session, staff, team, teammate

__all__ = ["api", "owner", "server", "session", "staff", "team", "teammate"]
Api = Callable[[User], APIClient]
URL = "https://chat.example/hook"
pytestmark = [pytest.mark.core, pytest.mark.django_db]


def soon() -> Any:
    return (timezone.now() + timedelta(hours=1)).replace(microsecond=0)


def holder(owner: User, **bounds: Any) -> tuple[APIClient, Token]:
    """A client with a token of these bounds."""
    token, value = services.issue_token(
        owner=owner, name="held", **{"scope": Scope.API, **bounds}, by=PLATFORM
    )
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {value}")
    return client, token


def make(client: APIClient, **wanted: Any) -> Any:
    return client.post("/api/tokens/", {"name": "made", "scope": "api", **wanted})


# --- Time


@pytest.mark.parametrize("scope", ["api", "read", "mcp"])
@pytest.mark.parametrize("asked", [{}, {"expires_at": None}])
def test_one_that_is_left_open_ends_with_its_maker(owner: User, scope: str, asked: dict[str, Any]) -> None:
    end = soon()
    client, token = holder(owner, expires_at=end)
    made = make(client, scope=scope, **asked).json()
    assert (parse_datetime(made["expires_at"]), made["made_with"]) == (end, token.pk)
    issued = AuditEntry.objects.filter(action="token.issued").latest("id")
    assert (issued.token, issued.after["expires_at"]) == (str(token), str(end))


def test_a_later_end_is_refused_and_an_earlier_one_taken(owner: User) -> None:
    end = soon()
    client, _ = holder(owner, expires_at=end)
    answer = make(client, expires_at=(end + timedelta(seconds=1)).isoformat())
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "expires_at"
    assert "when the token ends" in answer.json()["detail"]
    assert make(client, expires_at=(end - timedelta(minutes=1)).isoformat()).status_code == 201
    assert Token.objects.filter(name="made").count() == 1


def test_not_by_a_detour_over_another_token(owner: User) -> None:
    end = soon()
    client, _ = holder(owner, expires_at=end)
    for _ in range(3):
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {make(client).json()['value']}")
    assert set(Token.objects.values_list("expires_at", flat=True)) == {end}
    assert make(client, expires_at=(end + timedelta(days=1)).isoformat()).status_code == 400


def test_one_that_does_not_end_and_a_person_are_free(owner: User) -> None:
    assert make(holder(owner)[0]).json()["expires_at"] is None
    browser = Client()
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    form = {"name": "by hand", "scope": "api", "calls_per_minute": "0"}
    assert browser.post("/admin/servers/token/add/", form).status_code == 200
    by_hand = Token.objects.get(name="by hand")
    assert (by_hand.expires_at, by_hand.made_with) == (None, None)


def test_neither_its_own_row_nor_another_can_be_changed(owner: User) -> None:
    client, token = holder(owner, expires_at=soon())
    other, _ = services.issue_token(
        owner=owner, name="other", scope=Scope.API, expires_at=soon(), by=PLATFORM
    )
    for row in (token, other):
        for method in (client.patch, client.put):
            assert method(f"/api/tokens/{row.pk}/", {"expires_at": None}).status_code == 405
    assert client.get("/admin/").status_code == 302  # the console takes no token
    given = {"name": "x", "expires_at_0": "", "expires_at_1": ""}
    assert client.post(f"/admin/servers/token/{token.pk}/change/", given).status_code in (302, 403)


# --- Revoked


def test_what_it_made_is_revoked_with_it(owner: User, session: Callable[[User], Client]) -> None:
    client, token = holder(owner)
    child = make(client).json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {child['value']}")
    grandchild = make(client, scope="read").json()
    page = session(owner).get(f"/admin/servers/token/{token.pk}/revoke/").content.decode()
    assert "The tokens that were created with it (1) are revoked too." in page

    services.revoke_token(token=token, by=PLATFORM)
    for value in (child["value"], grandchild["value"]):
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {value}")
        assert client.get("/api/servers/").status_code == 401
    assert AuditEntry.objects.filter(action="token.revoked").count() == 3


def test_a_long_line_of_tokens_hides_none_from_being_revoked(owner: User) -> None:
    _, first = holder(owner)
    last = first
    for number in range(1100):
        last = Token.objects.create(
            owner=owner, name="made", scope=Scope.API, digest=str(number), made_with=last
        )
    services.revoke_token(token=first, by=PLATFORM)
    assert not Token.objects.filter(revoked_at__isnull=True).exists()


def test_one_that_is_revoked_while_it_asks_makes_nothing(owner: User) -> None:
    """Its request was let in a moment before."""
    _, token = holder(owner)
    services.revoke_token(token=token, by=PLATFORM)
    with pytest.raises(Conflict, match="has just ended"):
        services.issue_token(owner=owner, name="made", scope=Scope.API, by=Actor(owner, Via.API, token))


# --- Reach


def test_reading_makes_nothing(owner: User) -> None:
    for scope in Scope.values:
        assert make(holder(owner, scope=Scope.READ)[0], scope=scope).status_code == 403


@pytest.mark.parametrize(
    ("held", "wanted"), [("read", "api"), ("read", "mcp"), ("mcp", "api"), ("mcp", "read")]
)
def test_no_scope_makes_a_wider_one_whichever_door_lets_it_in(owner: User, held: str, wanted: str) -> None:
    _, token = holder(owner, scope=held)
    with pytest.raises(Invalid, match=f"makes none of {wanted}"):
        services.issue_token(owner=owner, name="made", scope=wanted, by=Actor(owner, Via.API, token))


def test_not_for_somebody_else(owner: User, staff: User, teammate: User) -> None:
    client, token = holder(staff)
    assert make(client, owner="teammate").status_code == 400
    assert make(client).json()["owner"] == "staff"
    with pytest.raises(Invalid, match="somebody else"):
        services.issue_token(owner=teammate, name="made", by=Actor(staff, Via.API, token))


def test_one_for_a_server_makes_none_for_others(owner: User, server: Server) -> None:
    """The doors give none of these today; were one to, it would be bound all the same."""
    _, token = holder(owner)
    Token.objects.filter(pk=token.pk).update(server=server)
    with pytest.raises(Invalid, match="for one server"):
        services.issue_token(owner=owner, name="made", by=Actor(owner, Via.API, token))


def test_rates_and_tools_stay_within(owner: User) -> None:
    bounds = {"calls_per_minute": 10, "tools_allowed": ["read_*", "list"], "tools_denied": ["read_mail"]}
    client, _ = holder(owner, **bounds)
    made = make(client, scope="mcp").json()
    assert {name: made[name] for name in bounds} == bounds
    made = make(client, scope="mcp", tools_allowed=["read_file", "list"], tools_denied=["list"]).json()
    assert made["tools_allowed"] == ["read_file", "list"]
    assert made["tools_denied"] == ["read_mail", "list"]
    assert make(client, scope="mcp", calls_per_minute=5).json()["calls_per_minute"] == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("calls_per_minute", 11),
        ("tools_allowed", ["*"]),
        ("tools_allowed", ["read_*", "write"]),
        ("tools_allowed", ["read_[!x]*"]),
        ("tools_allowed", ["rea?_file"]),
    ],
)
def test_rates_and_tools_beyond_are_refused(owner: User, field: str, value: Any) -> None:
    client, _ = holder(owner, calls_per_minute=10, tools_allowed=["read_*"])
    answer = make(client, scope="mcp", **{field: value})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


# --- Other things that open a door, and have no end of their own


def test_a_token_that_ends_makes_no_webhook_and_no_secret_of_one(owner: User, server: Server) -> None:
    hook, _ = hooks.create(server=server, by=Actor(owner), fields={"kind": "github"})
    client, _ = holder(owner, expires_at=soon())
    before = bytes(hook.sealed)
    for answer in (
        client.post(f"/api/servers/{server.pk}/hooks/", {"kind": "github"}),
        client.post(f"/api/hooks/{hook.pk}/rotate/"),
    ):
        assert answer.status_code == 400
        assert "would outlive it. Use a token that does not expire" in answer.json()["detail"]
    hook.refresh_from_db()
    assert (server.hooks.count(), bytes(hook.sealed)) == (1, before)
    lasting, _ = holder(owner)
    assert lasting.post(f"/api/servers/{server.pk}/hooks/", {"kind": "github"}).status_code == 201
    assert lasting.post(f"/api/hooks/{hook.pk}/rotate/").status_code == 200


def test_a_token_that_ends_sends_nothing_elsewhere_for_ever(owner: User) -> None:
    channel, _ = channels.create(by=Actor(owner), fields={"name": "Mine", "url": URL})
    client, _ = holder(owner, expires_at=soon())
    where = f"/api/channels/{channel.pk}/"
    for answer in (
        client.post("/api/channels/", {"name": "Theirs", "url": "https://evil.example/"}),
        client.patch(where, {"url": "https://evil.example/"}),
        client.patch(where, {"url": f"{URL}/of-somebody-else"}),
        client.post(f"{where}rotate/"),
    ):
        assert answer.status_code == 400, answer.content
        assert "would outlive it" in answer.json()["detail"]
    assert client.patch(where, {"name": "Renamed"}).status_code == 200
    assert [(row.name, row.url()) for row in Channel.objects.all()] == [("Renamed", URL)]
