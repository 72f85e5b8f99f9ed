"""The services of webhooks. Each is one transaction and writes the audit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from access import audit
from access.actor import Actor
from access.models import Via
from hooks import reception
from hooks.models import Delivery, WebHook
from hosting.errors import Conflict
from notices import signing
from servers import services as intent
from servers import token_bounds
from servers.models import Server


@transaction.atomic
def create(*, server: Server, by: Actor, fields: Mapping[str, Any]) -> tuple[WebHook, str]:
    """Creates a webhook and returns it with its secret, which cannot be read later. `fields` are those of the
    model. Raises `Conflict`, `Invalid`, `ValidationError`."""
    token_bounds.check_no_expiry("a webhook", by)
    held = intent.locked(server)
    hook, secret = WebHook(server=held, created_by=by.user, **fields), signing.new_secret()
    hook.give_secret(secret, by.user)
    hook.full_clean()
    hook.save()
    audit.record(action="webhook.added", target=hook, by=by, after={"kind": hook.kind, **_settings(hook)})
    return hook, secret


@transaction.atomic
def change(*, hook: WebHook, by: Actor, fields: Mapping[str, Any]) -> WebHook:
    """Changes filters and `enabled`. Raises `ValidationError`."""
    before = _settings(hook)
    for name, value in fields.items():
        setattr(hook, name, value)
    hook.full_clean()
    hook.save(update_fields=list(fields))
    audit.record(action="webhook.changed", target=hook, by=by, before=before, after=_settings(hook))
    return hook


@transaction.atomic
def rotate(*, hook: WebHook, by: Actor) -> str:
    """Replaces the secret and returns the new one, which cannot be read later. The old one stays valid for
    FORMER_FOR, unless it was refused already. Raises `Invalid`."""
    token_bounds.check_no_expiry("a webhook's secret", by)
    locked = WebHook.objects.select_for_update(of=("self",)).select_related("server").get(pk=hook.pk)
    secret = signing.new_secret()
    locked.give_secret(secret, by.user)
    locked.save(update_fields=["sealed", "former", "former_until", "origin", "secret_by"])
    audit.record(action="webhook.secret_rotated", target=hook, by=by)
    return secret


@transaction.atomic
def remove(*, hook: WebHook, by: Actor) -> None:
    audit.record(action="webhook.removed", target=hook, by=by, before=_settings(hook))
    hook.delete()


@transaction.atomic
def deliver_again(*, delivery: Delivery, by: Actor) -> Delivery:
    """Repeats a recorded push with the present filters. Raises `Conflict` if the delivery is not a push."""
    if not delivery.can_be_repeated:
        raise Conflict("Nothing of this delivery was kept that could be delivered again.")
    again = Delivery(
        hook=delivery.hook,
        delivery_id=f"again-{uuid.uuid4()}",
        event=delivery.event,
        ref=delivery.ref,
        commit=delivery.commit,
        push=delivery.push,
        payload_digest=delivery.payload_digest,
        payload_size=delivery.payload_size,
        excerpt=delivery.excerpt,
        outcome="ignored",
        origin=delivery,
        requested_by=by.user,
    )
    again.save()
    audit.record(
        action="webhook.delivered_again", target=delivery.hook, by=by, after={"delivery": delivery.pk}
    )
    return reception.conclude(again, replace(by, via=Via.WEBHOOK))


def _settings(hook: WebHook) -> dict[str, Any]:
    return {"branches": hook.branches, "paths": hook.paths, "enabled": hook.enabled}
