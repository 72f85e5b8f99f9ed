"""The ids in addresses: `<id:…>` fits what a database of ours can hold, where Django's `<int:…>` has no end."""

from __future__ import annotations

LARGEST = 2**63 - 1


class IdConverter:
    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        """Raises `ValueError`: an address that leads nowhere."""
        number = int(value)
        if number > LARGEST:
            raise ValueError(value)
        return number

    def to_url(self, value: object) -> str:
        return str(value)
