"""Runs the parts of a process that serve no requests: worker threads, the reconciler and its loops."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import dramatiq
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from metrics import rollups
from notices import sender
from servers import broker, events, notify
from servers.deploying import collecting, heartbeat, reconciler, tasks, watching
from servers.operations import leader, probes
from servers.streams import access
from servers.wakeups import bus

logger = logging.getLogger(__name__)
# Pauses between two looks at rows, if no wake-up comes. It may have been lost.
IDLE_SECONDS = 15.0
SELDOM_SECONDS = 30.0
COLLECT_SECONDS = 0.5
LISTEN_SECONDS = 1.0
SWEEP_SECONDS = 30.0
METER_SECONDS = 15.0
TRIM_SECONDS = 3600.0
ROLL_UP_SECONDS = 15.0
SEND_SECONDS = 1.0
REPEAT_SECONDS = 60.0
FOLLOW_SECONDS = 1.0
AGAIN_SECONDS = 1.0
STOP_MS = 20_000
STATUSES = access.EVERY_STATUS
SETTLE_THREADS = 2


class Background:
    """Runs worker threads and the reconciler's loops. `stop` ends them and puts running deployments back.

    Among several processes with a reconciler, only the leader's loops work.
    """

    def __init__(self, *, worker: bool, reconciler: bool) -> None:
        self._worker = _worker() if worker else None
        self._leader = leader.Leader(self._wake_all) if reconciler else None
        self._loops = _loops(self._leader) if self._leader else []
        self._open = ExitStack()

    def start(self) -> None:
        """Starts all threads. Call it once."""
        heartbeat.interrupted.clear()
        if self._worker:
            broker.current().emit_after("process_boot")  # without this, no actor has a time limit
            self._worker.start()
            broker.workers_here.set()
        if self._leader:
            self._leader.start()
            self._open.enter_context(bus.hearing(self._hear))
        for loop in self._loops:
            loop.thread.start()
        threads = [loop.thread for loop in self._loops]
        probes.vital.watch([*threads, *(self._worker.workers if self._worker else ())])

    def stop(self) -> None:
        """Ends all threads, at the latest after STOP_MS for those of the worker."""
        probes.vital.watch(())
        self._open.close()
        heartbeat.interrupted.set()
        for loop in self._loops:
            loop.end()
        for loop in self._loops:
            loop.thread.join()
        if self._leader:
            self._leader.stop()
        if self._worker:
            broker.workers_here.clear()
            self._worker.stop(timeout=STOP_MS)

    def _hear(self, topic: str | None) -> None:
        for loop in self._loops:
            loop.hear(topic)

    def _wake_all(self) -> None:
        self._hear(None)


def _worker() -> dramatiq.Worker:
    threads = settings.DEPLOYMENTS_PARALLEL + tasks.RESTARTS_PARALLEL + SETTLE_THREADS
    return dramatiq.Worker(broker.current(), worker_threads=threads)


class Loop:
    """Does `work` in a thread of its own, while this process leads.

    It pauses for as many seconds as `work` returns, or else for `seconds`. A wake-up about `topic` ends the
    pause, but `spacing` seconds pass at least. If `work` fails, the wake-up would be lost with it, so a loop
    with a topic tries again after AGAIN_SECONDS. `rest` is called while this process does not lead, each
    FOLLOW_SECONDS, and at the end: it lets go of what only a leader needs.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None],
        seconds: float,
        *,
        led: leader.Leader,
        topic: str = "",
        spacing: float = 0.0,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._seconds, self._led, self._rest = work, seconds, led, rest
        self._topic, self._spacing = topic, spacing
        self._woken, self._ended = threading.Event(), threading.Event()
        self._faults = Faults()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def hear(self, topic: str | None) -> None:
        if topic in (None, self._topic):
            self.wake()

    def wake(self) -> None:
        """Ends the pause. Call it in any thread."""
        self._woken.set()

    def end(self) -> None:
        """Ends the thread after the work that it does now."""
        self._ended.set()
        self._woken.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._woken.clear()
            pause = self._look() if self._led.leads() else self._follow()
            self._ended.wait(min(pause, self._spacing))
            self._woken.wait(max(0.0, pause - self._spacing))
        self._rest()
        connection.close()

    def _follow(self) -> float:
        self._rest()
        return FOLLOW_SECONDS

    def _look(self) -> float:
        try:
            close_old_connections()
            pause = self._work()
            self._faults.over(self.thread.name)
        except Exception as error:  # noqa: BLE001  (`happened` logs it whole)
            self._faults.happened(self.thread.name, error)
            return min(self._seconds, AGAIN_SECONDS) if self._topic else self._seconds
        return self._seconds if pause is None else pause


class Faults:
    """Logs a failure that repeats every second only once a minute, and logs when it is over."""

    def __init__(self) -> None:
        self._said, self._at = "", 0.0

    def happened(self, name: str, error: Exception) -> None:
        what, now = repr(error), time.monotonic()
        if what == self._said and now - self._at < REPEAT_SECONDS:
            return
        logger.error("%s failed; it goes on trying", name, exc_info=None if what == self._said else error)
        self._said, self._at = what, now

    def over(self, name: str) -> None:
        if self._said:
            logger.warning("%s works again", name)
            self._said = ""


def _loops(led: leader.Leader) -> list[Loop]:
    collector, watcher = collecting.Collector(), watching.Watcher()

    def reconcile() -> float:
        due = reconciler.look()
        watcher.watch(due.running, looking.wake)
        _send(due)
        return settings.RECONCILE_SECONDS if due.under_way else max(settings.RECONCILE_SECONDS, IDLE_SECONDS)

    def rest() -> None:
        watcher.watch([], looking.wake)

    def collect() -> float:
        return COLLECT_SECONDS if collector.look() else LISTEN_SECONDS

    loop = partial(Loop, led=led)
    spacing = settings.RECONCILE_SECONDS
    looking = loop("reconciler", reconcile, IDLE_SECONDS, topic=STATUSES, spacing=spacing, rest=rest)
    return [
        looking,
        loop("runs", collector.renew, SELDOM_SECONDS, topic=STATUSES, spacing=COLLECT_SECONDS),
        loop("notices", _send_notices, SELDOM_SECONDS, topic=bus.NOTICES),
        loop("collector", collect, LISTEN_SECONDS),
        loop("sweeper", reconciler.sweep, SWEEP_SECONDS),
        loop("meter", reconciler.measure, METER_SECONDS),
        loop("trimmer", reconciler.trim, TRIM_SECONDS),
        loop("usage", _roll_up, ROLL_UP_SECONDS),
    ]


def _send(due: reconciler.Due) -> None:
    for deployment_id in due.deployments:
        broker.deploy(deployment_id)
    for run_id in due.restarts:
        broker.restart(run_id)
    for server_id in due.servers:
        broker.settle(server_id)


def _roll_up() -> None:
    if rollups.roll_up(timezone.now()):
        events.calls_counted()


def _send_notices() -> float:
    """Sends what is due, and returns the pause until the next notice is."""
    sender.send_due(notify.may_hear)
    return min(SELDOM_SECONDS, max(SEND_SECONDS, sender.next_due_in()))
