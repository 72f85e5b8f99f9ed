"""A kind of channel is one file: choices, form, API and sender read it, and the page of notices names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from notices import kinds, outbox, sender
from notices.models import Channel, Event, Notice, State
from tests.notices.receiver import Receiver

Api = Callable[[User], APIClient]
pytestmark = [pytest.mark.core, pytest.mark.django_db]
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
BELL = """
from notices.kinds.base import Kind, Request, Told, Unusable


def request(url: str, told: Told) -> Request:
    address, _, token = url.partition("#")
    if not token:
        raise Unusable("Must end with #token.")
    body = {"rings": told.payload["data"]["headline"]}
    return Request(f"{address}/{told.message_id}", body, method="PUT", headers={"X-Bell": token})


KIND = Kind(label="Bell", request=request, where="Bell: look below it.")
"""


@pytest.fixture
def bell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file in the folder of kinds."""
    (tmp_path / "bell.py").write_text(BELL)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    kinds.found.cache_clear()
    yield
    kinds.found.cache_clear()
    sys.modules.pop("notices.kinds.bell", None)


def put(channel: Channel) -> Notice:
    payload = {"type": "server.failed", "data": {"headline": "Weather failed"}}
    (notice,) = outbox.write([channel], Event.FAILED, "server-1", payload)
    return notice


def test_each_kind_fits_its_column_and_is_on_the_page_of_notices() -> None:
    most = Channel._meta.get_field("kind").max_length
    assert most
    assert not [name for name in kinds.found() if len(name) > most]
    assert not [
        kind.label for kind in kinds.found().values() if f"\n| {kind.label} |" not in PAGE.read_text()
    ]
    assert kinds.DEFAULT in kinds.found()


@pytest.mark.usefixtures("bell")
def test_one_file_is_a_kind_in_the_form(receiver: Receiver, staff: User) -> None:
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    add = "/admin/notices/channel/add/"
    assert "Bell: look below it." in client.get(add).text
    form = {"name": "Door", "kind": "bell", "url": receiver.url("/door"), "scope": "all", "enabled": "on"}
    assert "Must end with #token." in client.post(add, form).text
    made = client.post(add, {**form, "url": receiver.url("/door#s3cret")})
    channel = Channel.objects.get()
    here = f"/admin/notices/channel/{channel.pk}/change/"
    assert made["Location"] == here  # and not the page of the signing secret
    page = client.get(here).text
    assert "Bell" in page
    assert "New secret" not in page


@pytest.mark.usefixtures("bell")
def test_one_file_is_a_kind_over_rest(api: Api, staff: User) -> None:
    body = {"name": "Door", "kind": "bell", "url": "https://bell.example.org/door"}
    refused = api(staff).post("/api/channels/", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "url")
    made = api(staff).post("/api/channels/", {**body, "url": "https://bell.example.org/door#s3cret"})
    assert (made.status_code, made.json()["kind"]) == (201, "bell")


@pytest.mark.usefixtures("bell")
def test_one_file_says_what_is_sent(receiver: Receiver, make_channel: Callable[..., Channel]) -> None:
    notice = put(make_channel(kind="bell", url=receiver.url("/door#s3cret")))
    sender.send_due()
    (call,) = receiver.calls
    assert (call.method, call.path) == ("PUT", f"/door/{notice.message_id}")
    assert call.headers["x-bell"] == "s3cret"
    assert "webhook-signature" not in call.headers
    assert call.json == {"rings": "Weather failed"}


@pytest.mark.usefixtures("bell")
def test_one_file_needs_no_migration() -> None:
    call_command("makemigrations", "notices", check=True, dry_run=True, stdout=StringIO())


@pytest.mark.usefixtures("bell")
def test_a_kind_is_not_changed_below_a_url_that_does_not_fit(api: Api, staff: User, channel: Channel) -> None:
    where = f"/api/channels/{channel.pk}/"
    refused = api(staff).patch(where, {"kind": "bell"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "url")
    assert api(staff).patch(where, {"kind": "slack"}).status_code == 200


def test_a_kind_of_a_later_version_holds_up_no_other(
    receiver: Receiver, channel: Channel, make_channel: Callable[..., Channel]
) -> None:
    later = make_channel(name="Later")
    Channel.objects.filter(pk=later.pk).update(kind="later")
    waiting, sent = put(later), put(channel)
    sender.send_due()
    waiting.refresh_from_db()
    sent.refresh_from_db()
    assert (waiting.state, sent.state) == (State.PENDING, State.SENT)
    assert "does not know this kind" in waiting.last_answer
    assert len(receiver.calls) == 1
