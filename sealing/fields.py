"""Columns that hold sealed values. `manage.py rotate_secrets` finds them by their class."""

from __future__ import annotations

from django.db import models


class SealedField(models.BinaryField):  # type: ignore[type-arg]
    """The bytes of `sealing.seal`; empty or None for no secret."""
