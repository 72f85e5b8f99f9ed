"""Secrets that sign: receivers of notices and forges that would go on with one that was made for another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from rest_framework.test import APIClient

import sealing
from access.actor import PLATFORM, Actor
from access.models import AuditEntry
from hooks import services as hooks
from hooks.models import WebHook
from notices import sender, signing
from notices.models import Channel, Notice, State
from servers import channels, services
from servers.models import Server
from tests.accounts import api, owner, server, session, staff, team, teammate
from tests.hooks import payloads
from tests.notices.receiver import Receiver, receiving

__all__ = ["api", "owner", "server", "session", "staff", "team", "teammate"]
Api = Callable[[User], APIClient]
FORGE = "https://git.example.com/octo/hello.git"
pytestmark = [pytest.mark.core, pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def receivers(transactional_db: None) -> Iterator[tuple[Receiver, Receiver]]:
    with receiving() as first, receiving() as second:
        yield first, second


# --- Notices: the signing secret of a channel


@pytest.mark.parametrize("method", ["patch", "put"])
def test_another_receiver_gets_another_secret(
    receivers: tuple[Receiver, Receiver], staff: User, api: Api, method: str
) -> None:
    """Signed with the old one, what it gets could be sent on to the receiver before, as if from us."""
    first, second = receivers
    channel, old = channels.create(by=Actor(staff), fields={"name": "On call", "url": first.url()})
    channels.rotate(channel=channel, by=Actor(staff))
    send = getattr(api(staff), method)
    answer = send(f"/api/channels/{channel.pk}/", {"name": "On call", "url": second.url()})
    new = answer.json()["secret"]
    channel.refresh_from_db()

    assert new.startswith("whsec_")
    assert new != old
    assert channel.former is None
    channels.test(channel=channel, by=Actor(staff))
    assert sender.send_due() == 1
    assert signed_by(second.calls[0], new)
    assert not signed_by(second.calls[0], old)
    entry = AuditEntry.objects.get(action="channel.secret_dropped")
    assert (entry.before, entry.after) == (
        {"origin": first.url("").rstrip("/")},
        {"origin": second.url("").rstrip("/")},
    )


def test_another_path_of_the_same_receiver_keeps_it(
    receivers: tuple[Receiver, Receiver], staff: User, api: Api
) -> None:
    channel, old = channels.create(by=Actor(staff), fields={"name": "On call", "url": receivers[0].url()})
    answer = api(staff).patch(f"/api/channels/{channel.pk}/", {"url": receivers[0].url("/other")})
    assert answer.json()["secret"] is None
    channels.test(channel=channel, by=Actor(staff))
    sender.send_due()
    assert signed_by(receivers[0].calls[0], old)


def test_the_page_says_it_before_and_shows_the_new_one(
    receivers: tuple[Receiver, Receiver], staff: User
) -> None:
    channel, _ = channels.create(by=Actor(staff), fields={"name": "On call", "url": receivers[0].url()})
    browser = Client()
    browser.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    where = f"/admin/notices/channel/{channel.pk}/edit/"
    assert "drops the signing secret: a new one is created and shown once" in browser.get(where).text
    form = {"name": "On call", "kind": "generic", "scope": "all", "enabled": "on", "url": receivers[1].url()}
    shown = browser.post(where, form).text
    channel.refresh_from_db()
    assert sealing.open_sealed(bytes(channel.sealed)) in shown
    assert "The signing secret was dropped: it belonged to another scheme, host or port." in shown


def test_a_row_that_was_changed_by_hand_signs_nothing(
    receivers: tuple[Receiver, Receiver], staff: User
) -> None:
    channel, _ = channels.create(by=Actor(staff), fields={"name": "On call", "url": receivers[0].url()})
    channel.set_url(receivers[1].url())
    channel.save()
    notice = channels.test(channel=channel, by=Actor(staff))
    sender.send_due()
    notice.refresh_from_db()
    assert receivers[1].calls == []
    assert "made for another address" in notice.last_answer
    channels.rotate(channel=channel, by=Actor(staff))
    channel.refresh_from_db()
    assert channel.former is None
    Notice.objects.filter(pk=notice.pk).update(due_at=notice.created_at, state=State.PENDING)
    sender.send_due()
    assert len(receivers[1].calls) == 1


def signed_by(got: Any, secret: str) -> bool:
    timestamp = int(got.headers["webhook-timestamp"])
    mine = signing.headers(got.headers["webhook-id"], timestamp, got.body, [secret])
    return bool(mine["webhook-signature"] in got.headers["webhook-signature"].split())


# --- Webhooks: the secret that a forge signs with


@pytest.fixture
def hosted(server: Server) -> Server:
    server.source_kind, server.source = "git", {"url": FORGE, "ref": "main", "subdirectory": ""}
    server.save()
    return server


def push(hook: WebHook, secret: str, number: str = "1") -> Any:
    body = json.dumps(payloads.github()).encode()
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in payloads.github_headers(secret, body, number).items()
        if name.lower() != "content-type"
    }
    return Client().post(hook.path, body, content_type="application/json", **headers)


def test_the_forge_before_deploys_nothing_from_the_new_one(
    hosted: Server, owner: User, teammate: User, api: Api
) -> None:
    """It could name any commit there, one of a stranger's fork for example."""
    hook, secret = hooks.create(
        server=hosted, by=Actor(owner), fields={"kind": "github", "branches": ["main"]}
    )
    fields = {"source": {"url": "https://other.example/octo/hello.git", "ref": "main", "subdirectory": ""}}
    services.update_server(server=hosted, fields=fields, by=PLATFORM)

    answer = push(hook, secret)
    assert answer.status_code == 400
    assert "was made for https://git.example.com" in answer.json()["detail"]
    assert hosted.deployments.count() == 0
    assert "Make a new secret." in api(owner).get(f"/api/hooks/{hook.pk}/").json()["refusal"]
    page = Client()
    page.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert "Deliveries are refused." in page.get(f"/admin/servers/server/{hosted.pk}/webhooks/").text

    new = api(teammate).post(f"/api/hooks/{hook.pk}/rotate/").json()["secret"]
    assert push(hook, secret, "2").status_code == 404  # not for a day beside the new one
    assert push(hook, new, "3").status_code == 200


def test_a_script_that_signs_is_no_forge(hosted: Server, owner: User) -> None:
    hook, _ = hooks.create(server=hosted, by=Actor(owner), fields={"kind": "generic"})
    services.update_server(
        server=hosted, fields={"source": {"url": "https://other.example/a", "ref": ""}}, by=PLATFORM
    )
    hook.refresh_from_db()
    assert hook.refusal() == ""


# --- What was there before


@pytest.mark.django_db(transaction=True)
def test_secrets_of_the_version_before_belong_to_where_they_are_used() -> None:
    before = [
        ("hooks", "0001_webhooks_and_deliveries"),
        ("notices", "0001_channels_and_notices"),
        ("servers", "0015_origin_of_source_credentials"),
    ]
    executor = MigrationExecutor(connection)
    executor.migrate(before)
    apps = executor.loader.project_state(before).apps
    try:
        user = apps.get_model("auth", "User").objects.create(username="owner")
        about = {"name": "a", "owner": user, "sealed": sealing.seal("whsec_x")}
        channel = apps.get_model("notices", "Channel")
        channel.objects.create(
            **about, sealed_url=sealing.seal("https://Chat.example/x"), host="chat.example"
        )
        channel.objects.create(**{**about, "name": "b"}, sealed_url=b"of a key that is gone", host="x")
        hosted = apps.get_model("servers", "Server").objects.create(
            name="a", slug="a", owner=user, source_kind="git", source={"url": FORGE}
        )
        for kind in ("github", "generic"):
            apps.get_model("hooks", "WebHook").objects.create(
                server=hosted, kind=kind, sealed=b"x", created_by=user, public_id=kind
            )
    finally:
        MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())

    assert dict(Channel.objects.values_list("name", "secret_origin")) == {
        "a": "https://chat.example",
        "b": "",
    }
    assert dict(WebHook.objects.values_list("kind", "origin")) == {
        "github": "https://git.example.com",
        "generic": "",
    }
    assert set(WebHook.objects.values_list("secret_by__username", flat=True)) == {"owner"}
    assert [hook.refusal() for hook in WebHook.objects.all()] == ["", ""]
