"""A local copy of all objects of one kind, kept up to date by a watch, so that reading thousands of them
costs no request. client-go calls this an informer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from hosting.errors import RuntimeFault
from hosting.runtimes.kube_client import Cluster, Json
from hosting.runtimes.kube_faults import Gone

T = TypeVar("T")
logger = logging.getLogger(__name__)
FIRST_SECONDS = 10.0  # to wait for the first list, which may hold thousands
WATCH_SECONDS = 25  # less than the timeout of a read, so that a dead connection is replaced
IDLE_SECONDS = 60.0  # without a reader, after which the thread ends
PAUSE_SECONDS = 0.5
TOLERATED_SECONDS = 30.0  # for which the copy may be used while the API server does not answer


class Mirror(Generic[T]):
    """The objects that match `selector`, by name, each as `keep` has reduced it. Thread-safe.

    Its thread starts with the first read and ends `IDLE_SECONDS` after the last one. In it, `changed` is
    called with the name of an object that came, went or differs from before as `keep` sees it, and with that
    object. The first list is no change. Objects are compared by their `repr`: two faults are never equal.
    """

    def __init__(
        self,
        cluster: Cluster,
        api: str,
        kind: str,
        selector: str,
        keep: Callable[[Json], T],
        changed: Callable[[str, T], None] = lambda name, kept: None,
    ) -> None:
        self._cluster, self._what, self._keep, self._changed = cluster, (api, kind, selector), keep, changed
        self._lock, self._listed = threading.Lock(), threading.Event()
        self._objects: dict[str, T] | None = None  # None until the first list
        self._version = ""
        self._fault: RuntimeFault | None = None
        self._in_touch = self._asked = 0.0
        self._thread: threading.Thread | None = None

    def objects(self) -> dict[str, T]:
        """The objects as they were a moment ago. It waits for the first list, for up to `FIRST_SECONDS`.

        Raises `RuntimeFault` when the API server has not answered for `TOLERATED_SECONDS`.
        """
        self._asked = time.monotonic()
        self._ensure_thread()
        self._listed.wait(FIRST_SECONDS)
        with self._lock:
            if self._fault and time.monotonic() - self._in_touch > TOLERATED_SECONDS:
                raise self._fault
            if self._objects is None:
                raise self._fault or RuntimeFault(
                    f"{self._what[1]}s were not listed in time.", permanent=False
                )
            return dict(self._objects)

    def peek(self) -> list[T] | None:
        """The objects without any wait; None where the copy is not up to date."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive() or self._fault or self._objects is None:
                return None
            return list(self._objects.values())

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._version, self._objects = "", None
                self._listed.clear()
                self._thread = threading.Thread(target=self._run, name=f"mirror-{self._what[1]}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while time.monotonic() - self._asked < IDLE_SECONDS:
            try:
                if not self._version:
                    self._list()
                self._follow()
            except Gone:  # the old copy stays in use until the new list is there, which may take seconds
                self._version = ""
            except RuntimeFault as fault:
                self._note(fault)
                time.sleep(PAUSE_SECONDS)

    def _list(self) -> None:
        api, kind, selector = self._what
        found, version = self._cluster.list(api, kind, selector)
        objects = {each["metadata"]["name"]: self._keep(each) for each in found}
        with self._lock:
            before, self._objects = self._objects, objects
        self._reached(version)
        self._listed.set()
        if before is not None:
            for name in before.keys() | objects.keys():
                self._compare(name, before.get(name), objects.get(name))

    def _follow(self) -> None:
        for event, found in self._cluster.watch(*self._what, self._version, WATCH_SECONDS):
            if event != "BOOKMARK":
                self._take(event, found)
            self._reached(found["metadata"]["resourceVersion"])
        self._reached(self._version)

    def _take(self, event: str, found: Json) -> None:
        name = found["metadata"]["name"]
        kept = None if event == "DELETED" else self._keep(found)
        with self._lock:
            assert self._objects is not None
            before = self._objects.pop(name, None)
            if kept is not None:
                self._objects[name] = kept
        self._compare(name, before, kept)

    def _compare(self, name: str, before: T | None, now: T | None) -> None:
        found = before if now is None else now
        if found is not None and repr(before) != repr(now):
            self._changed(name, found)

    def _reached(self, version: str) -> None:
        with self._lock:
            self._version, self._fault, self._in_touch = version, None, time.monotonic()

    def _note(self, fault: RuntimeFault) -> None:
        with self._lock:
            if self._fault is None:
                logger.warning("%ss of Kubernetes are not seen: %s", self._what[1], fault)
            self._fault = fault
        self._listed.set()
