"""POST /hooks/<public id>/: receives deliveries. The signature is the only authentication."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from access.actor import Actor
from access.buckets import Limit
from access.models import Via
from api import problems
from hooks import reception
from hooks.models import Delivery, Kind, Outcome, WebHook
from hooks.providers import PROVIDERS
from hooks.push import NotSigned, Refused
from hosting.errors import UserError
from notices import signing
from servers.front.larger import Larger, from_strangers

logger = logging.getLogger(__name__)
MOST_BYTES = 5 * 1024 * 1024
AT_ONCE = 4  # deliveries of that size to one webhook
KNOCKS, CALLS = Limit(per_minute=30), Limit(per_minute=120)
# An unknown address is checked with this secret, so that it takes as long as a wrong signature.
NOBODY = [signing.new_secret()]


def room_for(request: HttpRequest, public_id: str) -> Larger | None:
    """Allows a large body only for a webhook that exists, and for a client that does not guess addresses."""
    if KNOCKS.wait(request.META.get("REMOTE_ADDR", "")) or CALLS.wait(public_id):
        return None
    if not WebHook.objects.filter(public_id=public_id).exists():
        return None
    return Larger(MOST_BYTES, MOST_BYTES * AT_ONCE, ("webhook", public_id))


@method_decorator(from_strangers(room_for), name="dispatch")
@method_decorator(csrf_exempt, name="dispatch")
class Receive(View):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        address = request.META.get("REMOTE_ADDR", "")
        if wait := KNOCKS.wait(address) or CALLS.wait(public_id):
            return problems.answer(429, "Too many requests.", headers={"Retry-After": str(wait)})
        body = request.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            KNOCKS.take(address)
            return problems.answer(413, f"A delivery has at most {MOST_BYTES} bytes.")
        arrival = reception.Arrival(_headers(request), body)
        hook = WebHook.objects.select_related("server", "secret_by").filter(public_id=public_id).first()
        try:
            by = Actor(via=Via.WEBHOOK, address=address or None)
            return _answer(_received(hook, arrival, public_id, by))
        except NotSigned:
            KNOCKS.take(address)
            return problems.answer(404, "No webhook answers here to that signature.")
        except Refused as refusal:
            return problems.answer(400, str(refusal))
        except UserError:  # a secret that no key opens: nothing that a sender could mend
            logger.exception("webhook delivery could not be checked", extra={"hook": hook and hook.pk})
            return problems.answer(503, "This delivery cannot be checked now.")


def _received(hook: WebHook | None, arrival: reception.Arrival, public_id: str, by: Actor) -> Delivery:
    if hook is None:
        PROVIDERS[Kind.GITHUB].verified(arrival.headers, arrival.body, NOBODY, 0.0)
        raise NotSigned
    CALLS.take(public_id)
    delivery = reception.receive(hook=hook, arrival=arrival, by=by)
    logger.info(
        "webhook delivery",
        extra={
            "hook": hook.pk,
            "server_id": hook.server_id,
            "event": delivery.event,
            "outcome": delivery.outcome,
        },
    )
    return delivery


def _headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _answer(delivery: Delivery) -> HttpResponse:
    body: dict[str, Any] = {"delivery": delivery.pk, "outcome": delivery.outcome}
    if delivery.reason:
        body["reason"] = delivery.reason
    if delivery.deployment:
        body["deployment"] = delivery.deployment.number
    return JsonResponse(body, status=202 if delivery.outcome == Outcome.ACCEPTED else 200)
