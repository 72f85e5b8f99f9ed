"""Ids that people and programs write: what no database of ours can hold names nothing.

`<id:…>` takes them in addresses; Django's own `<int:…>` has no end.
"""

from __future__ import annotations

LARGEST = 2**63 - 1


def id_in(text: str) -> int | None:
    """The whole number that a text is, None for anything else. "²" is a digit to Python, and no number."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))):
        return None
    return number if (number := int(text)) <= LARGEST else None


class IdConverter:
    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        """Raises `ValueError`: an address that leads nowhere."""
        number = id_in(value)
        if number is None:
            raise ValueError
        return number

    def to_url(self, value: object) -> str:
        return str(value)
