"""The progress of a push: bytes of all layers, over all attempts. No number ever decreases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int, bool], None]
"""(bytes sent, bytes in all known layers, whether the sizes of all layers are known)."""
WAITING = frozenset({"Preparing", "Waiting"})
ARRIVED = frozenset({"Pushed", "Layer already exists"})


@dataclass
class _Layer:
    sent: int = 0
    size: int = 0
    waits: bool = True


class PushProgress:
    """Adds up the bytes that an engine reports per layer.

    An engine starts a layer again after a fault, and a new attempt starts all layers again; bytes that were
    sent before stay counted. A layer that the registry already has counts 0, because the engine never tells
    its size.
    """

    def __init__(self, tell: Progress | None) -> None:
        self._tell = tell
        self._layers: dict[str, _Layer] = {}

    def update(self, layer: str, status: str, sent: int, size: int) -> None:
        """Reads one status of a layer: `sent` and `size` in bytes."""
        at = self._layers.setdefault(layer, _Layer())
        at.waits = status in WAITING and not at.size
        at.size = max(at.size, size)
        at.sent = at.size if status in ARRIVED else max(at.sent, min(sent, at.size))
        if self._tell:
            every = self._layers.values()
            waits = any(one.waits for one in every)
            self._tell(sum(one.sent for one in every), sum(one.size for one in every), not waits)
