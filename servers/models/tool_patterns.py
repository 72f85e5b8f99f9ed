"""Lists of tools in a policy: glob patterns, `*` and `?` and `[…]`, matched with the case of letters."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError

MOST = 100
LONGEST = 200


def validate(patterns: Any) -> None:
    """A list of non-empty strings without control characters; raises Django's `ValidationError`."""
    if not isinstance(patterns, list) or len(patterns) > MOST:
        raise ValidationError(f"A list of at most {MOST} names or patterns.")
    for pattern in patterns:
        if not (isinstance(pattern, str) and 0 < len(pattern) <= LONGEST and pattern.isprintable()):
            raise ValidationError(f"Each a name or pattern of 1 to {LONGEST} characters, such as read_*.")


def permit(name: str, allowed: Sequence[str], denied: Sequence[str]) -> bool:
    """No list of what is allowed allows everything; what is denied stays denied."""
    return (not allowed or _matches(name, allowed)) and not _matches(name, denied)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
