"""Channels in the console and over REST: who may, what is shown, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.actor import Actor
from access.models import AuditEntry, Team
from notices import sender
from notices.models import Channel, Notice, State
from servers import channels
from servers.models import Server
from tests.notices.receiver import Receiver

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.django_db
SLACK = "https://hooks.slack.com/services/T0/B0/s3cret-of-slack"


@pytest.fixture
def mine(owner: User) -> Channel:
    return channels.create(by=Actor(owner), fields={"name": "Mine", "url": SLACK, "kind": "slack"})[0]


@pytest.fixture
def given_up(mine: Channel) -> Notice:
    notice = channels.test(channel=mine, by=Actor(mine.owner))
    Notice.objects.update(state=State.FAILED, attempts=10, last_answer="404 no_service")
    return notice


def browser(user: User) -> Client:
    user.is_staff = True
    user.save()
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def pages(channel: Channel, notice: Notice) -> list[str]:
    here = f"/admin/notices/channel/{channel.pk}"
    actions = [f"{here}/{name}/" for name in ("edit", "test", "rotate", "remove")]
    return [*actions, f"{here}/notices/{notice.pk}/again/"]


def done(what: str) -> int:
    return AuditEntry.objects.filter(action__startswith=what).count()


def rows() -> list[Any]:
    kept = Channel.objects.order_by("pk").values_list("pk", "name", "sealed", "enabled")
    return [*kept, *Notice.objects.order_by("pk").values_list("pk", "state"), done("channel")]


def test_others_find_nothing_in_the_console(
    mine: Channel, given_up: Notice, outsider: User, teammate: User, owner: User, staff: User
) -> None:
    before = rows()
    for user in (outsider, teammate):
        client = browser(user)
        for url in [*pages(mine, given_up), f"/admin/notices/channel/{mine.pk}/change/"]:
            assert client.get(url).status_code == 404, url
            assert client.post(url).status_code in (404, 405), url
        assert "Mine" not in client.get("/admin/notices/channel/").text
    for user in (owner, staff):
        for url in [
            *pages(mine, given_up),
            f"/admin/notices/channel/{mine.pk}/change/",
            "/admin/notices/channel/add/",
        ]:
            answer = browser(user).get(url)
            assert answer.status_code == 200, url
            assert "s3cret" not in answer.text
        assert "hooks.slack.com" in browser(user).get("/admin/notices/channel/").text
    assert rows() == before
    assert Client().get(f"/admin/notices/channel/{mine.pk}/change/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_the_life_of_a_channel_in_the_console(receiver: Receiver, staff: User, server: Server) -> None:
    client = browser(staff)
    form = {
        "name": "On call", "kind": "generic", "url": "nonsense", "scope": "chosen", "servers": [server.pk],
        "on_failed": "on", "enabled": "on",
    }  # fmt: skip
    wrong = client.post("/admin/notices/channel/add/", form)
    assert "Must be a URL" in wrong.text
    assert 'value="On call"' in wrong.text
    made = client.post("/admin/notices/channel/add/", {**form, "url": receiver.url()})
    channel = Channel.objects.get()
    assert channel.secrets(channel.created_at)[0] in made.text
    assert (list(channel.servers.all()), channel.on_recovered) == ([server], False)
    client.post(f"/admin/notices/channel/{channel.pk}/test/")
    sender.send_due()
    assert receiver.calls[0].json["type"] == "test"
    page = client.get(f"/admin/notices/channel/{channel.pk}/change/").text
    assert "Test of the channel On call" in page
    assert "204" in page
    client.post(f"/admin/notices/channel/{channel.pk}/edit/", {**form, "url": "", "name": "Off call"})
    channel.refresh_from_db()
    assert (channel.name, channel.url()) == ("Off call", receiver.url())
    assert "shown only once" in client.post(f"/admin/notices/channel/{channel.pk}/rotate/").text
    client.post(f"/admin/notices/channel/{channel.pk}/remove/")
    assert not Channel.objects.exists()
    done = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert list(done) == [
        f"channel.{what}" for what in ("added", "tested", "changed", "secret_rotated", "removed")
    ]


def test_a_notice_that_was_given_up_is_sent_again(given_up: Notice, owner: User) -> None:
    client = browser(owner)
    assert "404 no_service" in client.get(f"/admin/notices/channel/{given_up.channel_id}/change/").text
    client.post(f"/admin/notices/channel/{given_up.channel_id}/notices/{given_up.pk}/again/")
    given_up.refresh_from_db()
    assert (given_up.state, given_up.attempts) == (State.PENDING, 0)


def test_what_was_turned_off_says_so(mine: Channel, owner: User, server: Server) -> None:
    Channel.objects.update(enabled=False, disabled_reason="Nothing arrived in 10 tries of a notice.")
    client = browser(owner)
    for url in ("/admin/", "/admin/notices/channel/", f"/admin/notices/channel/{mine.pk}/change/"):
        assert "Turned off" in client.get(url).text
    assert "Nothing arrived in 10 tries" in client.get(f"/admin/notices/channel/{mine.pk}/change/").text


@pytest.mark.core
def test_the_life_of_a_channel_over_rest(api: Api, owner: User, server: Server) -> None:
    client = api(owner)
    body = {"name": "Mine", "kind": "slack", "url": SLACK, "scope": "chosen", "servers": [server.pk]}
    made = client.post("/api/channels/", body)
    assert made.status_code == 201, made.content
    assert made.json()["secret"].startswith("whsec_")
    where = f"/api/channels/{made.json()['id']}/"
    shown = client.get(where).json()
    assert (shown["host"], shown["servers"]) == ("hooks.slack.com", [server.pk])
    assert "s3cret" not in client.get("/api/channels/").content.decode()
    assert not {"url", "secret"} & set(shown)
    tested = client.post(f"{where}test/")
    assert (tested.status_code, tested.json()["state"]) == (202, "pending")
    listed = client.get("/api/notices/?state=pending").json()["results"]
    assert [row["event"] for row in listed] == ["test"]
    assert client.post(f"/api/notices/{listed[0]['id']}/send-again/").status_code == 409
    assert client.patch(where, {"enabled": False}).json()["enabled"] is False
    assert client.post(f"{where}test/").status_code == 409
    assert client.post(f"{where}rotate/").json()["secret"] != made.json()["secret"]
    assert client.delete(where).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": SLACK}, "name"),
        ({"name": "x"}, "url"),
        ({"name": "x", "url": "file:///etc/passwd"}, "url"),
        ({"name": "x", "url": SLACK, "kind": "email"}, "kind"),
        ({"name": "x", "url": SLACK, "servers": [999_999]}, "servers"),
    ],
)
def test_bad_input_names_its_field(api: Api, owner: User, body: object, field: str) -> None:
    answer = api(owner).post("/api/channels/", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize("field", ["servers", "teams", "owners"])
def test_nobody_learns_of_others_by_choosing_them(
    api: Api, server: Server, outsider: User, field: str
) -> None:
    server.team = Team.objects.create(name="Secret team")
    server.save()
    known = {"servers": server.pk, "teams": server.team.pk, "owners": server.owner.get_username()}[field]
    unknown = "nobody" if field == "owners" else 999_999

    def said(user: User, value: object) -> tuple[int, list[str]]:
        answer = api(user).post("/api/channels/", {"name": "x", "url": SLACK, field: [value]})
        told = [error["detail"].replace(str(value), "it") for error in answer.json().get("errors", ())]
        return answer.status_code, told

    assert said(outsider, known) == said(outsider, unknown)
    assert said(server.owner, known) == (201, [])


def test_outsiders_over_rest(
    api: Api, mine: Channel, given_up: Notice, outsider: User, viewer: User, server: Server
) -> None:
    before, here = rows(), f"/api/channels/{mine.pk}/"
    for user in (outsider, viewer):
        client = api(user)
        assert client.get("/api/channels/").json()["results"] == []
        assert client.get("/api/notices/").json()["results"] == []
        for method, url in (
            ("get", here), ("patch", here), ("delete", here),
            ("post", f"{here}test/"), ("post", f"{here}rotate/"),
            ("get", f"/api/notices/{given_up.pk}/"), ("post", f"/api/notices/{given_up.pk}/send-again/"),
        ):  # fmt: skip
            assert getattr(client, method)(url).status_code == 404, (method, url)
    chosen = {"name": "x", "url": SLACK, "scope": "chosen", "servers": [server.pk]}
    assert api(outsider).post("/api/channels/", chosen).status_code == 400
    assert rows() == before
    assert APIClient().get("/api/channels/").status_code == 401
