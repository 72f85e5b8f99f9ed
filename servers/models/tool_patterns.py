"""Patterns of tool names in a policy: globs with `*`, `?` and `[…]`, in which the case of letters counts."""

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
    """Raises Django's `ValidationError` if it is no list of non-empty strings without control characters."""
    if not isinstance(patterns, list) or len(patterns) > MOST:
        raise ValidationError(f"A list of at most {MOST} names or patterns.")
    for pattern in patterns:
        if not (isinstance(pattern, str) and 0 < len(pattern) <= LONGEST and pattern.isprintable()):
            raise ValidationError(f"Each a name or pattern of 1 to {LONGEST} characters, such as read_*.")


def permit(name: str, allowed: Sequence[str], denied: Sequence[str]) -> bool:
    """Tells whether a policy allows the tool. An empty `allowed` allows all; `denied` has priority.

    If one of the lists is not empty, a name that a server may read as another name is never allowed.
    """
    if not allowed and not denied:
        return True
    return _is_plain(name) and (not allowed or _matches(name, allowed)) and not _matches(name, denied)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return globs.of_names(tuple(patterns)).match(name)


def _is_plain(name: str) -> bool:
    """Tells whether every server reads the name as it is.

    Some servers trim names, drop control characters or normalize letters (NFKC), and so would read another
    name.
    """
    short = len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()
    return short and unicodedata.is_normalized("NFKC", name)
