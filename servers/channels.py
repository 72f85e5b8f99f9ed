"""Intent: what a person wants done with notice channels. One transaction each, each in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

import sealing
from access import audit, roles
from access.actor import Actor
from access.models import Team
from access.roles import Person
from hosting.errors import Conflict, Invalid
from metrics.payload import moment
from notices import outbox, signing
from notices.models import Channel, Event, Notice, State
from outbound.origin import origin_of
from servers import offspring
from servers.models import Server

LISTS = ("servers", "teams", "owners")


def managed_by(user: Person) -> QuerySet[Channel]:
    """An administrator's are all, everybody else's their own."""
    rows = Channel.objects.select_related("owner")
    return rows if roles.is_administrator(user) else rows.filter(owner=user.pk)


def notices_of(user: Person) -> QuerySet[Notice]:
    return Notice.objects.filter(channel__in=managed_by(user).order_by().values("pk")).select_related(
        "channel"
    )


def offered(owner: Person) -> dict[str, QuerySet[Any]]:
    """What a channel of this person may choose: the servers that they see, their teams and owners."""
    seen = Server.objects.visible_to(owner)
    ids = seen.order_by().values("pk")
    return {
        "servers": seen,
        "teams": Team.objects.filter(servers__in=ids).distinct(),
        "owners": User.objects.filter(servers__in=ids).distinct(),
    }


@transaction.atomic
def create(*, by: Actor, fields: Mapping[str, Any]) -> tuple[Channel, str]:
    """Makes a channel; its signing secret is returned this once. Raises `Invalid`, `ValidationError`."""
    offspring.check_it_lasts("a channel", by)
    plain, lists, url = _parted(fields)
    channel, secret = Channel(owner=by.person, **plain), signing.new_secret()
    channel.set_url(checked_url(url))
    channel.give_secret(secret, origin_of(url))
    channel.full_clean()
    channel.save()
    _choose(channel, lists)
    audit.record(action="channel.added", target=channel, by=by, after=_settings(channel))
    return channel, secret


@transaction.atomic
def change(*, channel: Channel, by: Actor, fields: Mapping[str, Any]) -> tuple[Channel, str]:
    """A URL that is left out or empty stays. Turning it on forgets why it was turned off.

    For a URL at another scheme, host or port there is a new signing secret, returned this once; else "".
    """
    before = _settings(channel)
    plain, lists, url = _parted(fields)
    for name, value in plain.items():
        setattr(channel, name, value)
    if url:
        offspring.check_it_lasts("a channel's address", by)
    secret = _moved(channel, checked_url(url), by) if url else ""
    if channel.enabled:
        channel.disabled_reason = ""
    channel.full_clean()
    channel.save()
    _choose(channel, lists)
    audit.record(action="channel.changed", target=channel, by=by, before=before, after=_settings(channel))
    return channel, secret


def _moved(channel: Channel, url: str, by: Actor) -> str:
    """The secret signs for the receiver that has it. Another one gets its own, and learns nothing of this."""
    before, here = channel.secret_origin, origin_of(url)
    channel.set_url(url)
    if before == here:
        return ""
    secret = signing.new_secret()
    channel.give_secret(secret, here)
    told, now = {"origin": before}, {"origin": here}
    audit.record(action="channel.secret_dropped", target=channel, by=by, before=told, after=now)
    return secret


@transaction.atomic
def rotate(*, channel: Channel, by: Actor) -> str:
    """A new signing secret, returned this once; for FORMER_FOR the one before signs beside it."""
    offspring.check_it_lasts("a channel's secret", by)
    locked = Channel.objects.select_for_update().get(pk=channel.pk)
    secret = signing.new_secret()
    locked.give_secret(secret, _origin(locked))
    locked.save(update_fields=["sealed", "former", "former_until", "secret_origin"])
    audit.record(action="channel.secret_rotated", target=channel, by=by)
    return secret


@transaction.atomic
def remove(*, channel: Channel, by: Actor) -> None:
    audit.record(action="channel.removed", target=channel, by=by, before=_settings(channel))
    channel.delete()


@transaction.atomic
def test(*, channel: Channel, by: Actor) -> Notice:
    """Puts a test notice on its way. Raises `Conflict` where the channel is off."""
    if not channel.enabled:
        raise Conflict("The channel is turned off.", hint="Turn it on first.")
    data = {
        "headline": f"Test of the channel {channel.name}",
        "reason": f"Requested by {by.person.get_username()}.",
    }
    payload = {"type": "test", "timestamp": moment(timezone.now()), "data": data}
    (notice,) = outbox.write([channel], Event.TEST, f"test-{channel.pk}", payload)
    audit.record(action="channel.tested", target=channel, by=by)
    return notice


@transaction.atomic
def send_again(*, notice: Notice, by: Actor) -> None:
    """Tries a notice that was given up from the start. Raises `Conflict` for any other."""
    given_up = Notice.objects.filter(pk=notice.pk, state=State.FAILED)
    if not given_up.update(state=State.PENDING, attempts=0, due_at=timezone.now(), ended_at=None):
        raise Conflict("This notice was not given up: there is nothing to send again.")
    audit.record(action="notice.sent_again", target=notice.channel, by=by, after={"notice": notice.pk})


def _origin(channel: Channel) -> str:
    try:
        return origin_of(channel.url())
    except sealing.Unsealable:  # nothing is sent there; the next URL brings its own secret
        return ""


def _parted(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    plain = {name: value for name, value in fields.items() if name not in (*LISTS, "url")}
    lists = {name: fields[name] for name in LISTS if name in fields}
    return plain, lists, fields.get("url") or ""


def _choose(channel: Channel, lists: Mapping[str, Any]) -> None:
    """What the channel's owner does not see is refused as if it were not there."""
    may = offered(channel.owner)
    for name, rows in lists.items():
        chosen = {row.pk for row in rows}
        if may[name].filter(pk__in=chosen).count() != len(chosen):
            raise Invalid(f"There is no such {name.removesuffix('s')}.", field=name)
        getattr(channel, name).set(rows)


def checked_url(url: str) -> str:
    """Raises `Invalid` for what notices cannot be sent to."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if (
        not usable
        or not origin_of(url)
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or len(url) > 2000
    ):
        raise Invalid("Must be a URL that starts with https:// or http://.", field="url")
    if parts.username or parts.password:
        raise Invalid("The URL must hold no user name or password.", field="url")
    return url


def _settings(channel: Channel) -> dict[str, Any]:
    names = ("name", "kind", "host", "scope", "on_failed", "on_recovered", "on_held", "enabled")
    return {name: getattr(channel, name) for name in names}
