"""Counts bytes of bodies that this process receives or has not answered yet, by their sender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from servers.front.refusal import Refused

TOO_MUCH = "What you are sending at once is more than you may: wait until the other requests are done."


class InFlight:
    """Counts for all requests. Used in the event loop only."""

    def __init__(self) -> None:
        self._bytes: Counter[Hashable] = Counter()

    def share_of(self, key: Hashable, most: int) -> Share:
        return Share(self._bytes, key, most)


class Share:
    """The bytes of one request; `release` subtracts all of them."""

    def __init__(self, among: Counter[Hashable], key: Hashable, most: int) -> None:
        self._among, self._key, self._most = among, key, most
        self._size = 0

    def grow_to(self, size: int) -> None:
        """Counts `size` bytes in all. Raises `Refused` (429) if the sender then has more than allowed."""
        more = size - self._size
        if more <= 0 or self._key is None:
            return
        if self._among[self._key] + more > self._most:
            raise Refused(429, TOO_MUCH, retry_after=10)
        self._among[self._key] += more
        self._size = size

    def release(self) -> None:
        self._among[self._key] -= self._size
        self._size = 0
        if not self._among[self._key]:
            del self._among[self._key]
