"""Lists of tools in a policy: glob patterns, `*` and `?` and `[…]`, matched with the case of letters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError

from hosting import globs

MOST = 100
LONGEST = 200
LONGEST_NAME = 512


def validate(patterns: Any) -> None:
    """A list of non-empty strings without control characters; raises Django's `ValidationError`."""
    if not isinstance(patterns, list) or len(patterns) > MOST:
        raise ValidationError(f"A list of at most {MOST} names or patterns.")
    for pattern in patterns:
        if not (isinstance(pattern, str) and 0 < len(pattern) <= LONGEST and pattern.isprintable()):
            raise ValidationError(f"Each a name or pattern of 1 to {LONGEST} characters, such as read_*.")


def permit(name: str, allowed: Sequence[str], denied: Sequence[str]) -> bool:
    """No list of what is allowed allows everything; what is denied stays denied. Where there is a list, a
    name that a server may read as another is not allowed."""
    if not allowed and not denied:
        return True
    return _is_plain(name) and (not allowed or _matches(name, allowed)) and not _matches(name, denied)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return globs.of_names(tuple(patterns)).match(name)


def _is_plain(name: str) -> bool:
    """Servers trim names, drop control characters and fold wide letters: what then would be another name."""
    short = len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()
    return short and unicodedata.is_normalized("NFKC", name)
