"""How far a push is: bytes of all layers, over all of its attempts. No number ever falls back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int, bool], None]
"""Bytes sent, bytes known of, and whether that is all of them: no layer still waits for its turn."""
WAITING = frozenset({"Preparing", "Waiting"})
ARRIVED = frozenset({"Pushed", "Layer already exists"})


@dataclass
class _Layer:
    sent: int = 0
    size: int = 0
    waits: bool = True


class Sent:
    """An engine begins a layer anew after a fault, and a new attempt begins all of them: what had been sent
    before stays counted. What the registry held already counts nothing, since its size is never told."""

    def __init__(self, tell: Progress | None) -> None:
        self._tell = tell
        self._layers: dict[str, _Layer] = {}

    def take(self, layer: str, status: str, sent: int, size: int) -> None:
        at = self._layers.setdefault(layer, _Layer())
        at.waits = status in WAITING and not at.size
        at.size = max(at.size, size)
        at.sent = at.size if status in ARRIVED else max(at.sent, min(sent, at.size))
        if self._tell:
            every = self._layers.values()
            waits = any(one.waits for one in every)
            self._tell(sum(one.sent for one in every), sum(one.size for one in every), not waits)
