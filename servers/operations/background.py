"""Runs the parts of a process that serve no requests: worker threads, the reconciler and its loops."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import dramatiq
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from metrics import rollups
from notices import sender
from servers import broker, events, notify
from servers.deploying import (
    collecting,
    heartbeat,
    reconciler,
    tasks,
)
from servers.operations import leader, probes

logger = logging.getLogger(__name__)
COLLECT_SECONDS = 0.5
SWEEP_SECONDS = 30.0
METER_SECONDS = 15.0
TRIM_SECONDS = 3600.0
ROLL_UP_SECONDS = 15.0
SEND_SECONDS = 1.0
REPEAT_SECONDS = 60.0
FOLLOW_SECONDS = 0.2
STOP_MS = 20_000
SETTLE_THREADS = 2


class Background:
    """Runs worker threads and the reconciler's loops. `stop` ends them and puts running deployments back.

    Among several processes with a reconciler, only the leader's loops work.
    """

    def __init__(self, *, worker: bool, reconciler: bool) -> None:
        self._stopping = threading.Event()
        self._worker = _worker() if worker else None
        self._leader = leader.Leader() if reconciler else None
        self._threads = [self._loop(self._leader, *loop) for loop in LOOPS] if self._leader else []

    def start(self) -> None:
        """Starts all threads. Call it once."""
        heartbeat.interrupted.clear()
        if self._worker:
            broker.current().emit_after("process_boot")  # without this, no actor has a time limit
            self._worker.start()
            broker.workers_here.set()
        if self._leader:
            self._leader.start()
        for thread in self._threads:
            thread.start()
        probes.vital.watch([*self._threads, *(self._worker.workers if self._worker else ())])

    def stop(self) -> None:
        """Ends all threads, at the latest after STOP_MS for those of the worker."""
        probes.vital.watch(())
        self._stopping.set()
        heartbeat.interrupted.set()
        for thread in self._threads:
            thread.join()
        if self._leader:
            self._leader.stop()
        if self._worker:
            broker.workers_here.clear()
            self._worker.stop(timeout=STOP_MS)

    def _loop(
        self, led: leader.Leader, name: str, seconds: float, work: Callable[[], None]
    ) -> threading.Thread:
        about = (seconds, work, led, self._stopping)
        return threading.Thread(target=_every, args=about, name=name, daemon=True)


def _worker() -> dramatiq.Worker:
    threads = settings.DEPLOYMENTS_PARALLEL + tasks.RESTARTS_PARALLEL + SETTLE_THREADS
    return dramatiq.Worker(broker.current(), worker_threads=threads)


def _every(seconds: float, work: Callable[[], None], led: leader.Leader, stopping: threading.Event) -> None:
    name, faults = threading.current_thread().name, Faults()
    while not stopping.is_set():
        if not led.leads():
            stopping.wait(FOLLOW_SECONDS)
            continue
        try:
            close_old_connections()
            work()
            faults.over(name)
        except Exception as error:  # noqa: BLE001  (`happened` logs it whole)
            faults.happened(name, error)
        stopping.wait(seconds)
    connection.close()


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


def _reconcile() -> None:
    due = reconciler.look()
    for deployment_id in due.deployments:
        broker.deploy(deployment_id)
    for run_id in due.restarts:
        broker.restart(run_id)
    for server_id in due.servers:
        broker.settle(server_id)


def _roll_up() -> None:
    if rollups.roll_up(timezone.now()):
        events.calls_counted()


def _send_notices() -> None:
    sender.send_due(notify.may_hear)


LOOPS: tuple[tuple[str, float, Callable[[], None]], ...] = (
    ("reconciler", settings.RECONCILE_SECONDS, _reconcile),
    ("collector", COLLECT_SECONDS, collecting.Collector().look),
    ("sweeper", SWEEP_SECONDS, reconciler.sweep),
    ("meter", METER_SECONDS, reconciler.measure),
    ("trimmer", TRIM_SECONDS, reconciler.trim),
    ("usage", ROLL_UP_SECONDS, _roll_up),
    ("notices", SEND_SECONDS, _send_notices),
)
