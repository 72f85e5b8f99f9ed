"""From the outbox to a receiver: signed, tried again, given up, never sent where it must not go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from access.actor import Actor
from hosting.errors import Conflict, Invalid
from notices import backoff, outbox, sender
from notices.models import AILING, Channel, Event, Notice, State
from servers import channels
from tests.certificates import write_certificate
from tests.notices.receiver import Receiver, Reply

pytestmark = [pytest.mark.core, pytest.mark.django_db(transaction=True)]
PAYLOAD = {
    "type": "server.failed",
    "timestamp": "2026-11-22T00:00:00Z",
    "data": {"headline": "Weather: failed"},
}


def put(channel: Channel, event: Event = Event.FAILED, matter: str = "server-1") -> Notice:
    (notice,) = outbox.write([channel], event, matter, PAYLOAD)
    return Notice.objects.get(pk=notice.pk)


def due_now() -> None:
    Notice.objects.filter(state=State.PENDING).update(due_at=timezone.now())


def signed_with(secret: str, call: Any) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in call.headers["webhook-signature"].split(" ")


def test_a_notice_arrives_signed(receiver: Receiver, staff: User) -> None:
    channel, secret = channels.create(
        by=Actor(staff), fields={"name": "Signed", "url": receiver.url("/hook?a=b")}
    )
    notice = put(channel)
    assert sender.send_due() == 1
    assert sender.send_due() == 0
    (call,) = receiver.calls
    assert (call.path, call.json) == ("/hook?a=b", PAYLOAD)
    assert call.headers["webhook-id"] == notice.message_id
    assert call.headers["host"] == f"127.0.0.1:{receiver.server_port}"
    assert signed_with(secret, call)
    notice.refresh_from_db()
    assert (notice.state, notice.attempts, notice.last_status) == (State.SENT, 1, 204)


def test_both_secrets_sign_for_a_while(receiver: Receiver, staff: User) -> None:
    channel, old = channels.create(by=Actor(staff), fields={"name": "Signed", "url": receiver.url()})
    new = channels.rotate(channel=channel, by=Actor(staff))
    put(channel)
    sender.send_due()
    assert signed_with(old, receiver.calls[0])
    assert signed_with(new, receiver.calls[0])
    Channel.objects.update(former_until=timezone.now())
    put(channel)
    sender.send_due()
    assert not signed_with(old, receiver.calls[1])


def test_it_is_tried_again_with_the_same_id_until_it_arrives(receiver: Receiver, channel: Channel) -> None:
    receiver.replies = [Reply(503, body=b"busy\x1b[31m"), Reply(302, {"Location": receiver.url("/other")})]
    notice = put(channel)
    for attempts, said in ((1, "503 busy [31m"), (2, "302")):
        due_now()
        sender.send_due()
        notice.refresh_from_db()
        assert (notice.state, notice.attempts) == (State.PENDING, attempts)
        assert notice.last_answer == said
        assert notice.due_at > timezone.now()
    channel.refresh_from_db()
    assert channel.failing_since
    due_now()
    sender.send_due()
    assert len({call.headers["webhook-id"] for call in receiver.calls}) == 1
    assert [call.path for call in receiver.calls] == ["/notices?key=s3cret-of-the-url"] * 3
    notice.refresh_from_db()
    channel.refresh_from_db()
    assert (notice.state, channel.failing_since) == (State.SENT, None)


def test_what_a_dead_worker_had_taken_is_sent_by_the_next(receiver: Receiver, channel: Channel) -> None:
    notice = put(channel)
    now = timezone.now()
    assert Notice.objects.claim(notice, until=now + sender.LEASE)  # and here it is killed
    assert not Notice.objects.claim(notice, until=now + sender.LEASE)
    assert sender.send_due() == 0
    Notice.objects.update(due_at=now)  # the lease has run out
    assert sender.send_due() == 1
    assert receiver.calls[0].headers["webhook-id"] == notice.message_id
    notice.refresh_from_db()
    assert (notice.state, notice.attempts) == (State.SENT, 2)


def test_retry_after_is_kept_to(receiver: Receiver, channel: Channel) -> None:
    receiver.replies = [Reply(429, {"Retry-After": "3000"})]
    notice = put(channel)
    sender.send_due()
    notice.refresh_from_db()
    assert notice.due_at > timezone.now() + timedelta(seconds=2900)


def test_a_channel_that_never_answers_is_turned_off_and_says_so(receiver: Receiver, channel: Channel) -> None:
    receiver.replies = [Reply(500)] * backoff.MOST_TRIES
    notice, waiting = put(channel), put(channel, matter="server-2")
    for _ in range(backoff.MOST_TRIES):
        Notice.objects.filter(pk=notice.pk).update(due_at=timezone.now())
        Notice.objects.filter(pk=waiting.pk).update(due_at=timezone.now() + timedelta(hours=1))
        sender.send_due()
    notice.refresh_from_db()
    channel.refresh_from_db()
    assert (notice.state, notice.attempts, channel.enabled) == (State.FAILED, backoff.MOST_TRIES, False)
    assert "Nothing arrived in 10 tries" in channel.disabled_reason
    assert list(Channel.objects.filter(AILING)) == [channel]
    due_now()
    assert sender.send_due() == 0
    channels.change(channel=channel, by=Actor(channel.owner), fields={"enabled": True})
    assert sender.send_due() == 1  # what waited goes on
    channels.send_again(notice=notice, by=Actor(channel.owner))
    assert sender.send_due() == 1
    assert not Channel.objects.filter(AILING).exists()
    with pytest.raises(Conflict):
        channels.send_again(notice=notice, by=Actor(channel.owner))


def test_one_bad_notice_does_not_turn_a_working_channel_off(receiver: Receiver, channel: Channel) -> None:
    bad = put(channel)
    Notice.objects.update(attempts=backoff.MOST_TRIES - 1, due_at=timezone.now() + timedelta(hours=1))
    put(channel, matter="server-2")
    sender.send_due()
    receiver.replies = [Reply(400)]
    Notice.objects.filter(pk=bad.pk).update(due_at=timezone.now())
    sender.send_due()
    bad.refresh_from_db()
    channel.refresh_from_db()
    assert (bad.state, channel.enabled) == (State.FAILED, True)


def test_gone_means_gone(receiver: Receiver, channel: Channel) -> None:
    receiver.replies = [Reply(410)]
    notice = put(channel)
    sender.send_due()
    notice.refresh_from_db()
    channel.refresh_from_db()
    assert (notice.state, channel.enabled) == (State.FAILED, False)


def test_recovered_never_overtakes_failed(receiver: Receiver, channel: Channel) -> None:
    receiver.replies = [Reply(503)]
    put(channel)
    sender.send_due()
    put(channel, Event.RECOVERED)
    Notice.objects.filter(event=Event.RECOVERED).update(due_at=timezone.now())
    assert sender.send_due() == 0
    due_now()
    assert (sender.send_due(), sender.send_due()) == (1, 1)


def test_a_slow_channel_holds_up_no_other(
    receiver: Receiver, channel: Channel, make_channel: Callable[..., Channel]
) -> None:
    for number in range(20):
        put(channel, matter=f"server-{number}")
    put(make_channel(name="Later"))
    assert sender.send_due() == 2


def test_slack_gets_text_and_blocks(receiver: Receiver, make_channel: Callable[..., Channel]) -> None:
    channel = make_channel(kind="slack")
    data = {
        "headline": "Weather <1>: deployment #7 failed", "reason": "x" * 4000, "note": "#6 is still serving.",
        "links": {"deployment": "https://mcp.example.org/admin/servers/deployment/7/change/"},
    }  # fmt: skip
    outbox.write([channel], Event.FAILED, "server-1", {"type": "server.failed", "data": data})
    sender.send_due()
    (call,) = receiver.calls
    assert call.json["text"] == "🔴 Weather &lt;1&gt;: deployment #7 failed"
    kinds = [block["type"] for block in call.json["blocks"]]
    assert kinds == ["section", "section", "context", "actions"]
    assert len(call.json["blocks"][1]["text"]["text"]) < 3000
    assert call.json["blocks"][3]["elements"][0]["url"].endswith("/7/change/")
    assert "webhook-signature" not in call.headers


def test_only_administrators_channels_reach_inner_addresses(
    receiver: Receiver, owner: User, make_channel: Callable[..., Channel]
) -> None:
    notice = put(make_channel(by=owner))
    sender.send_due()
    notice.refresh_from_db()
    assert not receiver.calls
    assert "inner address" in notice.last_answer


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0.0.0.0", "[fe80::1]", "[::ffff:169.254.169.254]", "224.0.0.1"]
)
def test_nobodys_channels_reach_these(host: str, make_channel: Callable[..., Channel]) -> None:
    notice = put(make_channel(url=f"http://{host}/latest/meta-data"))
    sender.send_due()
    notice.refresh_from_db()
    assert "inner address" in notice.last_answer


def test_where_nothing_listens(make_channel: Callable[..., Channel]) -> None:
    notice = put(make_channel(url="http://127.0.0.1:9/x"))
    unknown = put(make_channel(url="http://no-such-name.invalid/s3cret"))
    sender.send_due()
    notice.refresh_from_db()
    unknown.refresh_from_db()
    assert notice.last_answer == "Nothing accepts connections there."
    assert unknown.last_answer == "The name no-such-name.invalid is not known."


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/", "https://", "https://a:b@x/", "https://x/a b", "http://[", "https://x:99999/", "x"],
)
def test_urls_that_are_none(url: str, make_channel: Callable[..., Channel]) -> None:
    with pytest.raises(Invalid):
        make_channel(url=url)


def test_the_url_and_the_secret_are_sealed(channel: Channel, receiver: Receiver) -> None:
    stored = bytes(channel.sealed_url) + bytes(channel.sealed)
    assert b"s3cret" not in stored
    assert channel.url() == receiver.url()
    assert channel.host == "127.0.0.1"
    assert "s3cret" not in json.dumps(channels._settings(channel))


def test_waits_grow_and_are_never_shorter_than_asked() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    for attempts, seconds in enumerate(backoff.WAITS, 1):
        wait = backoff.wait(attempts, "", now).total_seconds()
        assert seconds * 0.8 <= wait <= seconds * 1.2
    assert backoff.wait(1, "Sun, 22 Nov 2026 01:00:00 GMT", now) == timedelta(hours=1)
    assert backoff.wait(1, "999999999", now) == backoff.LONGEST
    for nonsense in ("soon", "-5", "Sun, 99 Nov", "9" * 40):
        assert backoff.wait(1, nonsense, now) <= timedelta(seconds=6)


def test_certificates_are_checked(
    channel: Channel, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    where = f"https://127.0.0.1:{receiver.server_port}/x"
    channels.change(channel=channel, by=Actor(channel.owner), fields={"url": where})
    notice = put(channel)
    sender.send_due()
    notice.refresh_from_db()
    assert "certificate is not trusted" in notice.last_answer
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    due_now()
    sender.send_due()
    channels.change(
        channel=channel, by=Actor(channel.owner), fields={"url": where.replace("127.0.0.1", "localhost")}
    )
    notice.refresh_from_db()
    assert (notice.state, len(receiver.calls)) == (State.SENT, 1)
    other = put(channel)  # the certificate is of the address, not of the name
    sender.send_due()
    other.refresh_from_db()
    assert "of another name" in other.last_answer
