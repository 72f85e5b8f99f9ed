"""How deliveries are shown on pages. No queries."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from hooks.models import Delivery, Outcome

TONES = {
    Outcome.ACCEPTED: "green",
    Outcome.IGNORED: "grey",
    Outcome.REJECTED: "red",
    Outcome.DUPLICATE: "grey",
}


def pill(delivery: Delivery) -> SafeString:
    tone = TONES[Outcome(delivery.outcome)]
    return format_html('<span class="mh-pill" data-tone="{}">{}</span>', tone, delivery.get_outcome_display())


def short_ref(ref: str) -> str:
    """`main`, or `tags/v1`."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/")
