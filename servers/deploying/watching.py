"""Lets the runtimes tell when a run ends, so that the reconciler need not ask them each second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from hosting.errors import RuntimeFault
from hosting.runtimes.base import Handle
from servers.deploying import runs, runtimes
from servers.models import Run


class Watcher:
    """Used once per process; `watch` is called after each pass of the reconciler."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def watch(self, running: Iterable[Run], changed: Callable[[], None]) -> None:
        """Calls `changed`, in any thread, soon after one of these runs has ended. Replaces earlier calls."""
        handles: dict[str, list[Handle]] = {name: [] for name in self._names}
        for run in running:
            handles.setdefault(run.runtime, []).append(runs.handle_of(run))
        for name, watched in handles.items():
            with suppress(RuntimeFault):  # for example, the runtime is not configured any more
                runtimes.runtime(name).watch(watched, changed)
        self._names = {name for name, watched in handles.items() if watched}

    def end(self) -> None:
        """Watches nothing any more."""
        self.watch((), lambda: None)
