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
    """In UTC, which is what a time without a zone is taken for. Raises `ValidationError`."""
    try:
        moment = parse_datetime(text)
        if moment is not None:
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (
        ValueError,
        OverflowError,
    ):  # the first and last hours of the calendar are not there in every zone
        pass
    raise ValidationError({name: "Must be a time such as 2026-11-22T16:55:53Z."})
