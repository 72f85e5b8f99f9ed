"""Moments in queries."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request


def moment_of(request: Request, name: str) -> datetime | None:
    # In a query "+" stands for a space, and people write RFC 3339 as it is.
    text = request.query_params.get(name, "").replace(" ", "+")
    if not text:
        return None
    return aware(text, name)


def aware(text: str, name: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ValidationError({name: "Must be a time such as 2026-11-22T16:55:53Z."})
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
