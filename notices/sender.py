"""Sends due notices, each at least once.

If a process ends during a try, the notice is sent again with the same id.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from django.db import transaction
from django.utils import timezone

import sealing
from notices import backoff, kinds, outbox, signing
from notices.kinds.base import Told, Unusable
from notices.models import Channel, Notice, State
from notices.post import Answer, Unreachable, post

logger = logging.getLogger(__name__)
AT_A_TIME = 8
# Longer than any try can take. Until then no other process claims the notice.
LEASE = timedelta(seconds=120)
AGENT = "mcp-host"


@dataclass(frozen=True)
class Message:
    """What one try sends. It is read from the database before any thread starts."""

    method: str
    url: str
    body: bytes
    headers: dict[str, str]
    allow_private: bool


def _anybody(notice: Notice) -> bool:
    return True


def send_due(may_hear: Callable[[Notice], bool] = _anybody) -> int:
    """Makes one pass, and returns how many tries it made. Only HTTP runs in other threads.

    `may_hear` tells whether the channel's owner still sees the subject; otherwise the notice is withdrawn.
    """
    now = timezone.now()
    taken = [notice for notice in _heard(now, may_hear) if Notice.objects.claim(notice, until=now + LEASE)]
    if taken:
        with ThreadPoolExecutor(max_workers=AT_A_TIME, thread_name_prefix="notice") as pool:
            for notice, result in zip(
                taken, pool.map(_try, [_message(notice, now) for notice in taken]), strict=True
            ):
                _note(notice, result)
    return len(taken)


def next_due_in() -> float:
    """Returns for how many seconds no notice is due; infinity if none waits."""
    first = Notice.objects.next().order_by("due_at").values_list("due_at", flat=True).first()
    return (first - timezone.now()).total_seconds() if first else math.inf


def _heard(now: datetime, may_hear: Callable[[Notice], bool]) -> list[Notice]:
    heard: list[Notice] = []
    for notice in _next(now):
        if may_hear(notice):
            heard.append(notice)
        else:
            outbox.withdraw(notice)
    return heard


def _next(now: datetime) -> list[Notice]:
    """Returns the oldest due notice of each channel: a slow receiver must not delay other channels."""
    due = Notice.objects.due(now).select_related("channel__owner").order_by("id")[: AT_A_TIME * 8]
    first: dict[int, Notice] = {}
    for notice in due:
        first.setdefault(notice.channel_id, notice)
    return list(first.values())[:AT_A_TIME]


def _message(notice: Notice, now: datetime) -> Message | str:
    """Returns what to send, or a sentence that says why it cannot be made."""
    channel = notice.channel
    try:
        told = Told(notice.message_id, notice.event, notice.payload)
        wanted = kinds.of(channel.kind).request(channel.url(), told)
        body = orjson.dumps(wanted.body)
        signature = _signature(notice, body, now) if channel.is_signed() else {}
    except sealing.Unsealable:
        return "No key of SECRET_ENCRYPTION_KEYS opens this channel's URL or secret."
    except Unusable as error:
        return str(error)
    headers = {"Content-Type": "application/json", "User-Agent": AGENT, **wanted.headers, **signature}
    return Message(wanted.method, wanted.url, body, headers, allow_private=channel.owner.is_superuser)


def _signature(notice: Notice, body: bytes, now: datetime) -> dict[str, str]:
    """Returns the headers that sign the body. Raises `Unusable` and `sealing.Unsealable`."""
    secrets = notice.channel.secrets(now)
    if not secrets:
        raise Unusable("The signing secret was made for another address than the URL: make a new secret.")
    return signing.headers(notice.message_id, int(now.timestamp()), body, secrets)


def _try(message: Message | str) -> Answer | str:
    if isinstance(message, str):
        return message
    try:
        return _send(message)
    except Unreachable as error:
        return str(error)


def _send(message: Message) -> Answer:
    return post(
        message.url,
        message.body,
        message.headers,
        allow_private=message.allow_private,
        method=message.method,
    )


def _note(notice: Notice, result: Answer | str) -> None:
    """Stores how a try ended; `notice` is as it was before the try."""
    answer = result if isinstance(result, Answer) else None
    said = f"{answer.status} {answer.text}".strip() if answer else str(result)
    arrived = answer is not None and 200 <= answer.status < 300
    with transaction.atomic():
        row = Notice.objects.filter(pk=notice.pk, state=State.PENDING)
        row.update(last_status=answer.status if answer else None, last_answer=_printable(said))
        if arrived:
            _arrived(notice)
        else:
            _failed(notice, answer)
    logger.log(
        logging.INFO if arrived else logging.WARNING,
        "notice sent" if arrived else "notice not sent",
        extra={
            "channel": notice.channel_id,
            "notice": notice.pk,
            "attempt": notice.attempts + 1,
            "status": answer.status if answer else "",
        },
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:300]


def _arrived(notice: Notice) -> None:
    now = timezone.now()
    Notice.objects.filter(pk=notice.pk).update(state=State.SENT, ended_at=now)
    Channel.objects.filter(pk=notice.channel_id).update(last_ok_at=now, failing_since=None)


def _failed(notice: Notice, answer: Answer | None) -> None:
    now, attempts = timezone.now(), notice.attempts + 1
    Channel.objects.filter(pk=notice.channel_id, failing_since__isnull=True).update(failing_since=now)
    if answer is not None and answer.status == 410:
        _give_up(notice, now)
        _turn_off(notice, "The receiver answered 410: it wants no more notices.")
    elif attempts >= backoff.MOST_TRIES:
        _give_up(notice, now)
        if not _arrived_since(notice):
            _turn_off(notice, f"Nothing arrived in {attempts} tries of a notice.")
    else:
        wait = backoff.wait(attempts, answer.retry_after if answer else "", now)
        Notice.objects.filter(pk=notice.pk).update(due_at=now + wait)


def _give_up(notice: Notice, now: datetime) -> None:
    Notice.objects.filter(pk=notice.pk).update(state=State.FAILED, ended_at=now)


def _arrived_since(notice: Notice) -> bool:
    return Channel.objects.filter(pk=notice.channel_id, last_ok_at__gt=notice.created_at).exists()


def _turn_off(notice: Notice, reason: str) -> None:
    Channel.objects.filter(pk=notice.channel_id).update(enabled=False, disabled_reason=reason)
    logger.error("notice channel turned off", extra={"channel": notice.channel_id, "reason": reason})
