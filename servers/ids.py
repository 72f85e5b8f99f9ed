"""Reads ids that people and programs write. A number that no column of ours can hold is no id.

Addresses use `<id:…>`; Django's own `<int:…>` has no upper bound.
"""

from __future__ import annotations

LARGEST = 2**63 - 1


def id_in(text: str) -> int | None:
    """Returns the whole number from 0 to LARGEST that `text` is in ASCII digits, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))):
        return None
    return number if (number := int(text)) <= LARGEST else None


class IdConverter:
    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        """Raises `ValueError` if it is no id: Django then takes the address for unknown."""
        number = id_in(value)
        if number is None:
            raise ValueError
        return number

    def to_url(self, value: object) -> str:
        return str(value)
