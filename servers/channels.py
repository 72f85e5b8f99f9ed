"""The services for notice channels: what a person can do with them.

Each function is one transaction and writes an audit entry.
"""

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
from notices import kinds, outbox, signing
from notices.kinds.base import Unusable
from notices.models import Channel, Event, Notice, State
from outbound.origin import origin_of
from servers import token_bounds
from servers.models import Server
from servers.wakeups import bus

LISTS = ("servers", "teams", "owners")


def managed_by(user: Person) -> QuerySet[Channel]:
    """Returns the channels that `user` may change: an administrator all, another user their own."""
    rows = Channel.objects.select_related("owner")
    return rows if roles.is_administrator(user) else rows.filter(owner=user.pk)


def notices_of(user: Person) -> QuerySet[Notice]:
    """Returns the notices of the channels that `user` may change."""
    return Notice.objects.filter(channel__in=managed_by(user).order_by().values("pk")).select_related(
        "channel"
    )


def offered(owner: Person) -> dict[str, QuerySet[Any]]:
    """Returns what a channel of `owner` may choose, by field.

    That is the servers that the owner sees, with their teams and their owners.
    """
    seen = Server.objects.visible_to(owner)
    ids = seen.order_by().values("pk")
    return {
        "servers": seen,
        "teams": Team.objects.filter(servers__in=ids).distinct(),
        "owners": User.objects.filter(servers__in=ids).distinct(),
    }


@transaction.atomic
def create(*, by: Actor, fields: Mapping[str, Any]) -> tuple[Channel, str]:
    """Makes a channel, and returns it with its signing secret. The secret cannot be read again.

    `fields` are columns of `Channel`, `url`, and the lists of `LISTS` (rows). Raises `Invalid` and Django's
    `ValidationError`.
    """
    token_bounds.check_no_expiry("a channel", by)
    plain, lists, url = _parted(fields)
    channel, secret = Channel(owner=by.person, **plain), signing.new_secret()
    channel.set_url(checked_url(url, channel.kind))
    channel.give_secret(secret, origin_of(url))
    channel.full_clean()
    channel.save()
    _choose(channel, lists)
    audit.record(action="channel.added", target=channel, by=by, after=_settings(channel))
    return channel, secret


@transaction.atomic
def change(*, channel: Channel, by: Actor, fields: Mapping[str, Any]) -> tuple[Channel, str]:
    """Changes a channel; `fields` as for `create`. Returns it with its new signing secret, or "".

    A URL that is left out or empty stays as it is. A URL with another scheme, host or port gets a new signing
    secret, which cannot be read again. If the channel is enabled, its `disabled_reason` is cleared. Raises as
    `create` does.
    """
    before = _settings(channel)
    plain, lists, url = _parted(fields)
    for name, value in plain.items():
        setattr(channel, name, value)
    if url:
        token_bounds.check_no_expiry("a channel's address", by)
    secret = _moved(channel, checked_url(url, channel.kind), by) if url else ""
    if not url and channel.kind != before["kind"]:
        _check_kept_url(channel)
    if channel.enabled:
        channel.disabled_reason = ""
    channel.full_clean()
    channel.save()
    _choose(channel, lists)
    bus.send_on_commit(bus.NOTICES)  # a channel that is turned on again may have some that wait
    audit.record(action="channel.changed", target=channel, by=by, before=before, after=_settings(channel))
    return channel, secret


def _check_kept_url(channel: Channel) -> None:
    try:
        url = channel.url()
    except sealing.Unsealable:  # nothing is sent there
        return
    checked_url(url, channel.kind)


def _moved(channel: Channel, url: str, by: Actor) -> str:
    """Sets the URL, and returns a new signing secret if its origin is another one.

    The former secret is known to the former receiver, so it must not sign for the new one. It does not sign
    beside the new secret either.
    """
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
    """Makes and returns a new signing secret. The former one signs beside it for `FORMER_FOR`.

    Raises `Invalid` if `by` used a token that expires.
    """
    token_bounds.check_no_expiry("a channel's secret", by)
    locked = Channel.objects.select_for_update().get(pk=channel.pk)
    secret = signing.new_secret()
    locked.give_secret(secret, _origin(locked))
    locked.save(update_fields=["sealed", "former", "former_until", "secret_origin"])
    audit.record(action="channel.secret_rotated", target=channel, by=by)
    return secret


@transaction.atomic
def remove(*, channel: Channel, by: Actor) -> None:
    """Deletes a channel and its notices."""
    audit.record(action="channel.removed", target=channel, by=by, before=_settings(channel))
    channel.delete()


@transaction.atomic
def test(*, channel: Channel, by: Actor) -> Notice:
    """Writes a test notice, which the outbox then sends. Raises `Conflict` if the channel is turned off."""
    if not channel.enabled:
        raise Conflict("The channel is turned off.", hint="Turn it on first.")
    data = {
        "headline": f"Test of the channel {channel.name}",
        "reason": f"Requested by {by.person.get_username()}.",
    }
    payload = {"type": "test", "timestamp": moment(timezone.now()), "data": data}
    (notice,) = outbox.write([channel], Event.TEST, f"test-{channel.pk}", payload)
    bus.send_on_commit(bus.NOTICES)
    audit.record(action="channel.tested", target=channel, by=by)
    return notice


@transaction.atomic
def send_again(*, notice: Notice, by: Actor) -> None:
    """Sends a notice again that was given up, with a full number of tries.

    Raises `Conflict` for any other notice.
    """
    given_up = Notice.objects.filter(pk=notice.pk, state=State.FAILED)
    if not given_up.update(state=State.PENDING, attempts=0, due_at=timezone.now(), ended_at=None):
        raise Conflict("This notice was not given up: there is nothing to send again.")
    bus.send_on_commit(bus.NOTICES)
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
    """Sets the lists.

    For rows that the channel's owner does not see, the error is the same as for unknown ones.
    """
    may = offered(channel.owner)
    for name, rows in lists.items():
        chosen = {row.pk for row in rows}
        if may[name].filter(pk__in=chosen).count() != len(chosen):
            raise Invalid(f"There is no such {name.removesuffix('s')}.", field=name)
        getattr(channel, name).set(rows)


def checked_url(url: str, kind: str) -> str:
    """Returns `url`; raises `Invalid` if a channel of `kind` cannot send notices there."""
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
    try:
        kinds.of(kind).check_url(url)
    except Unusable as error:
        raise Invalid(str(error), field="url") from None
    return url


def _settings(channel: Channel) -> dict[str, Any]:
    names = ("name", "kind", "host", "scope", "on_failed", "on_recovered", "on_held", "enabled")
    return {name: getattr(channel, name) for name in names}
