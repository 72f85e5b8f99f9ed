"""Lets the runtimes tell when a run ends, so that the reconciler need not ask them each second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Handle
from servers.deploying import runs, runtimes
from servers.models import Run


class Watcher:
    """Used once per process; `watch` is called after each pass of the reconciler."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._known: set[int] = set()

    def watch(self, running: Sequence[Run], changed: Callable[[], None]) -> None:
        """Calls `changed`, in any thread, soon after one of these runs has ended. Replaces earlier calls.

        It calls it at once if one is new: that may have ended after it was polled, before it was watched.
        """
        handles: dict[str, list[Handle]] = {name: [] for name in self._names}
        for run in running:
            handles.setdefault(run.runtime, []).append(runs.handle_of(run))
        for name, watched in handles.items():
            with suppress(RuntimeFault):  # for example, the runtime is not configured any more
                runtimes.runtime(name).watch(watched, changed)
        self._names = {name for name, watched in handles.items() if watched}
        before, self._known = self._known, {run.pk for run in running}
        if self._known - before:
            changed()
