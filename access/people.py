"""The services for users. Each change writes an audit entry."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from access import audit
from access.actor import Actor

SHOWN = ("username", "first_name", "last_name", "email", "is_active", "is_superuser")


@transaction.atomic
def save(*, user: User, by: Actor, last_may_go: bool = False) -> None:
    """Adds or changes a user. Raises `ValidationError`, if no administrator would be left.

    `last_may_go` skips this check.
    """
    stored = User.objects.filter(pk=user.pk).first()
    if not last_may_go:
        check_an_administrator_stays(user)
    user.save()
    before, after = facts_of(stored), facts_of(user)
    if stored is None:
        audit.record(action="user.added", by=by, target=user, after=after)
    elif before != after:
        changed = [name for name in SHOWN if before[name] != after[name]]
        audit.record(
            action="user.changed",
            by=by,
            target=user,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )


def check_an_administrator_stays(user: User) -> None:
    """Raises `ValidationError` if the platform would have no administrator after saving `user`."""
    if user.is_active and user.is_superuser:
        return
    others = User.objects.filter(is_active=True, is_superuser=True).exclude(pk=user.pk)
    was_one = User.objects.filter(pk=user.pk, is_active=True, is_superuser=True).exists()
    if was_one and not others.exists():
        raise ValidationError("This is the only administrator: make somebody else one first.")


def facts_of(user: User | None) -> dict[str, Any]:
    """Returns the fields that the audit shows; {} for None."""
    return {name: getattr(user, name) for name in SHOWN} if user else {}
