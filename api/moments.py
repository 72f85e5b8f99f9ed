"""Moments in queries."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError


def aware(text: str) -> datetime:
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
    raise ValidationError("Must be a time such as 2026-11-22T16:55:53Z.")
