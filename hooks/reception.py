"""Receives a delivery: checks its signature, records it once, and deploys the server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from access.actor import Actor
from access.buckets import Limit
from hooks import matching
from hooks.models import Delivery, Outcome, WebHook
from hooks.providers import PROVIDERS
from hooks.providers.base import payload_of
from hooks.push import Dropped, NotSigned, Push, Refused, Verified
from hosting.errors import UserError
from redaction.redactor import Redactor
from redaction.rules import in_json
from servers import events, services
from servers.models import Deployment
from servers.models.server import DesiredState, SourceKind
from servers.states import Trigger

MOST_REJECTED = 100
MOST_SHOWN, LOOKED_AT = 4_000, 64 * 1024  # characters of a payload
ANNOUNCED = Limit(per_minute=30)


@dataclass(frozen=True)
class Arrival:
    """A request as it came: header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


def receive(*, hook: WebHook, arrival: Arrival, by: Actor) -> Delivery:
    """Records a delivery and deploys if the filters match. Raises `Refused`, which is recorded too, and
    `UserError` if no key opens the hook's secret."""
    now = timezone.now()
    secrets = hook.secrets(now)
    try:
        verified = PROVIDERS[hook.kind].verified(arrival.headers, arrival.body, secrets, now.timestamp())
        if why := hook.refusal():
            raise Dropped(why)
    except Refused as refusal:
        _keep_refused(hook, arrival, refusal)
        raise
    redact = Redactor([*secrets, *(secret.reveal() for secret in hook.server.secrets.all())])
    shown = _excerpt(payload_of(arrival.headers, arrival.body or b"{}"), redact)
    if same := _same_push(hook, arrival, verified):
        return _duplicate(hook, arrival, verified, same)
    try:
        with transaction.atomic():
            return _taken(hook, arrival, verified, shown, by)
    except IntegrityError:  # the same delivery was taken before, or is being taken by another request now
        return _duplicate(hook, arrival, verified, _taken_ones(hook).get(delivery_id=verified.delivery_id))


def _taken(hook: WebHook, arrival: Arrival, verified: Verified, shown: str, by: Actor) -> Delivery:
    delivery = _row(hook, arrival, verified)
    delivery.excerpt = shown
    delivery.outcome = Outcome.IGNORED
    delivery.save()
    events.status_changed(hook.server_id)  # pages that show deliveries look again
    return conclude(delivery, by, _late(hook, verified.push))


def conclude(delivery: Delivery, by: Actor, objection: str = "") -> Delivery:
    """Deploys or ignores a recorded delivery, in its transaction. With an `objection` it is ignored."""
    hook, push = delivery.hook, delivery.facts()
    reason = objection or would_ignore(hook, push)
    deployment = None
    if push is not None and not reason:
        try:
            with transaction.atomic():
                deployment = _deploy(hook, push, by)
        except UserError as error:
            reason = str(error)
    delivery.outcome = Outcome.IGNORED if deployment is None else Outcome.ACCEPTED
    delivery.reason, delivery.deployment = reason[:500], deployment
    delivery.save(update_fields=["outcome", "reason", "deployment"])
    return delivery


def would_ignore(hook: WebHook, push: Push | None) -> str:
    """Why this push would deploy nothing now; "" if it would deploy."""
    server = hook.server
    if push is None:
        return "It is not a push. That it arrived shows that the webhook is set up."
    if not hook.enabled:
        return "The webhook is turned off."
    if server.desired_state != DesiredState.RUNNING:
        return "The server is stopped: a push does not start it."
    return matching.objection(wanted_of(hook), push)


def wanted_of(hook: WebHook) -> matching.Wanted:
    server = hook.server
    is_git = server.source_kind == SourceKind.GIT
    return matching.Wanted(
        branches=tuple(hook.branches),
        paths=tuple(hook.paths),
        ref=server.source.get("ref", "") if is_git else "",
        url=server.source.get("url", "") if is_git else "",
    )


def _deploy(hook: WebHook, push: Push, by: Actor) -> Deployment:
    is_git = hook.server.source_kind == SourceKind.GIT
    return services.deploy(
        server=hook.server, by=by, trigger=Trigger.WEBHOOK, revision=push.commit if is_git else ""
    )


def _late(hook: WebHook, push: Push | None) -> str:
    """The reason to ignore a push that arrives after its successor: the newer commit must stay deployed."""
    if push is None or not (push.commit and push.before):
        return ""
    accepted = hook.deliveries.filter(ref=push.ref, outcome=Outcome.ACCEPTED)
    follower = accepted.filter(push__before=push.commit).order_by("id").first()
    if follower is None or accepted.filter(pk__gte=follower.pk, commit=push.before).exists():
        return ""
    return f"A later push, {follower.commit[:12]}, arrived before it."


def _excerpt(payload: Mapping[str, Any], redact: Redactor) -> str:
    """The start of a payload, for people, set out line by line and without what looks like a secret."""
    text = orjson.dumps(payload, option=orjson.OPT_INDENT_2).decode()[:LOOKED_AT]
    return redact(in_json(text))[:MOST_SHOWN]


def _row(hook: WebHook, arrival: Arrival, verified: Verified) -> Delivery:
    push = verified.push
    return Delivery(
        hook=hook,
        delivery_id=verified.delivery_id,
        event=verified.event[:40],
        ref=push.ref if push else "",
        commit=push.commit if push else "",
        push=push.kept() if push else None,
        payload_digest=_digest(verified.content or arrival.body),
        payload_size=len(arrival.body),
    )


def _taken_ones(hook: WebHook) -> QuerySet[Delivery]:
    return hook.deliveries.filter(outcome__in=[Outcome.ACCEPTED, Outcome.IGNORED])


def _same_push(hook: WebHook, arrival: Arrival, verified: Verified) -> Delivery | None:
    """The earlier delivery with the same signed content, if the signature does not cover the id.

    Somebody who saw the request could send it again with another id. Two real pushes never have the same
    body: it holds the time of the repository's last change.
    """
    if verified.id_is_signed or verified.push is None:
        return None
    others = _taken_ones(hook).filter(origin=None).exclude(delivery_id=verified.delivery_id)
    digest = _digest(verified.content or arrival.body)
    return others.filter(payload_digest=digest).order_by("id").first()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _duplicate(hook: WebHook, arrival: Arrival, verified: Verified, first: Delivery) -> Delivery:
    delivery = _row(hook, arrival, verified)
    delivery.outcome, delivery.origin = Outcome.DUPLICATE, first
    delivery.deployment = first.deployment
    under = "" if first.delivery_id == verified.delivery_id else ", under another id"
    delivery.reason = f"It was {first.outcome} before{under}."
    delivery.save()
    _announce(hook)
    return delivery


def _keep_refused(hook: WebHook, arrival: Arrival, refusal: Refused) -> None:
    """Records a refused delivery and keeps only the newest ones: anybody who knows the URL can cause them."""
    known = {} if isinstance(refusal, NotSigned) else {"payload_digest": _digest(arrival.body)}
    Delivery.objects.create(
        hook=hook,
        outcome=Outcome.REJECTED,
        reason=str(refusal)[:500],
        payload_size=len(arrival.body),
        **known,
    )
    rejected = hook.deliveries.filter(outcome=Outcome.REJECTED).order_by("-id")
    if (
        oldest := rejected.values_list("pk", flat=True)[MOST_REJECTED : MOST_REJECTED + 1].first()
    ) is not None:
        rejected.filter(pk__lte=oldest).delete()
    _announce(hook)


def _announce(hook: WebHook) -> None:
    """Tells open pages that a delivery was recorded. Limited in rate: in a flood the pages refresh at most
    every two seconds, and show all then."""
    if not ANNOUNCED.wait(hook.server_id):
        ANNOUNCED.take(hook.server_id)
        events.status_changed(hook.server_id)
