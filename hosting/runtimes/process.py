"""Runs servers as processes of this machine, each in a session, a directory and an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.process_group import LineSink
from hosting.runtimes import output_files, ports, process_run, process_snapshot, process_spec, process_table
from hosting.runtimes.base import Capability, Handle, OneByOne, OutputLine, RunSpec, RunStatus, Stats, Stray
from hosting.runtimes.exit_words import describe_exit
from hosting.runtimes.process_run import Run
from hosting.runtimes.process_snapshot import Snapshot
from hosting.runtimes.process_watch import Watch

LAUNCHER = Path(__file__).with_name("launcher.py")
PORT_ATTEMPTS = 3
LISTEN_SECONDS = 3.0
KILL_SECONDS = 10.0
REAP_SECONDS = 2.0
CODE_SECONDS = 0.5
PROBE_SECONDS = 5.0


class ProcessRuntime(OneByOne):
    """Runs each server as a session of processes.

    `root` is the directory of this platform's runs. Its path distinguishes this platform from others on the
    machine. `bridge` is the directory of the bridge package; `python` runs it and the launcher. `search_path`
    is the PATH of hosted servers, after their own programs; by default that of the system and the directory
    of node.

    When the platform dies, its servers keep running. The next platform finds them by their handles or as
    strays. A platform that is stopped normally stops its servers.
    """

    name = process_run.NAME
    needs_image = False
    outlives_platform = False

    def __init__(
        self, root: Path, bridge: Path, python: Path = Path(sys.executable), search_path: str = ""
    ) -> None:
        self._bridge = bridge
        self._python = python
        self._search_path = search_path or _default_search_path()
        self._root_hash = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        self._waiters: dict[str, threading.Thread] = {}
        self._overruns: dict[str, str] = {}  # why a whole run was ended
        self._losses: dict[str, str] = {}  # why a process of a run was ended, until a status has told it
        self._watch = Watch(self._limit, self._settle)
        self._looks: dict[str, tuple[float, float]] = {}

    def start(self, spec: RunSpec, *, deadline: Deadline, log: LineSink) -> Handle:
        """As `Runtime.start`. Returns when the server listens or has exited, or after LISTEN_SECONDS."""
        for _ in range(PORT_ATTEMPTS):
            handle = self._launch(spec, ports.free_port())
            try:
                if not _lost_its_port(process_run.from_handle(handle), deadline, log):
                    return handle
                log(f"Port {handle.data['port']} was taken by another program meanwhile: trying another.")
            except BaseException:
                self.stop(handle, grace=0)
                raise
            self.stop(handle, grace=0)
        raise RuntimeFault("No free port could be had.", hint="Try again.", permanent=False)

    def stop(self, handle: Handle, *, grace: float) -> None:
        """As `Runtime.stop`. The output stays readable until the directory of the run is removed.

        SIGTERM goes only to the session of the run. The server itself has to end processes that it has
        started in other sessions, as in a container; those that are left are killed at the end. So a bridge
        has the time to tell its callers why their server ends.
        """
        run = process_run.from_handle(handle)
        own = partial(process_table.own, *run.identity)
        process_table.send(signal.SIGTERM, own())
        process_table.until_none(own, grace)
        _kill(run)
        self._reap(run)
        shutil.rmtree(run.temporary, ignore_errors=True)
        self._looks.pop(run.token, None)
        self._overruns.pop(run.token, None)
        self._losses.pop(run.token, None)

    def poll(self, handle: Handle) -> RunStatus:
        """As `Runtime.poll`. It also enforces limits: it kills processes of a run that uses more memory or
        more processes than allowed.
        """
        return self._status(process_run.from_handle(handle), process_snapshot.taken())

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        """As `poll` for each, with one look at the processes of this machine."""
        try:
            snapshot = process_snapshot.taken()
        except RuntimeFault as fault:
            return [fault] * len(handles)
        return [self._surveyed(process_run.from_handle(handle), snapshot) for handle in handles]

    def watch(self, handles: Sequence[Handle], changed: Callable[[], None]) -> None:
        """As `Runtime.watch`. Meanwhile limits are enforced every process_watch.LOOK_SECONDS."""
        self._watch.replace(map(process_run.from_handle, handles), changed)

    def may_have_output(self, handle: Handle, cursor: str) -> bool:
        found = zip(process_run.output_paths(handle), _offsets(cursor), strict=True)
        return any(output_files.has_changed(path, at) for path, at in found)

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """As `Runtime.output`, at most 1 MiB of each stream per call. `at` is the time of reading."""
        if not self.may_have_output(handle, cursor):
            return [], cursor
        run, (out_at, err_at) = process_run.from_handle(handle), _offsets(cursor)
        ended = not run.alive()
        out = output_files.read(run.file("out"), out_at, ended=ended)
        err = output_files.read(run.file("err"), err_at, ended=ended)
        now = datetime.now(UTC)
        lines = [OutputLine(now, "stdout", text) for text in out.lines]
        lines += [OutputLine(now, "stderr", text) for text in err.lines]
        return lines, f"{out.offset}:{err.offset}"

    def stats(self, handle: Handle) -> Stats | None:
        return self._used(process_run.from_handle(handle), process_snapshot.taken())

    def measure(self, handles: Sequence[Handle]) -> Sequence[Stats | None]:
        """As `stats` for each, with one look at the processes of this machine."""
        try:
            snapshot = process_snapshot.taken()
        except RuntimeFault:
            return [None] * len(handles)
        return [self._used(process_run.from_handle(handle), snapshot) for handle in handles]

    def strays(self) -> Sequence[Stray]:
        return process_run.strays(self._root_hash)

    def capability(self) -> Capability:
        versions = {name: _version(name, self._search_path) for name in ("node", "npm")}
        found = [f"{name} {version}" if version else f"no {name}" for name, version in versions.items()]
        advice = (
            "" if all(versions.values()) else "Install Node.js 20 or newer to host servers written for Node."
        )
        return Capability(self.name, True, ", ".join([f"Python {sys.version.split()[0]}", *found]), advice)

    def _launch(self, spec: RunSpec, port: int) -> Handle:
        directory = process_spec.prepared_directory(spec)
        endpoint = process_spec.endpoint(spec, port)
        run = process_run.planned(port, directory, secrets.token_hex(4), spec.limits)
        mark = process_table.Mark(spec.server_id, spec.deployment_id, self._root_hash, run.token)
        own = process_spec.environment(spec, port, temporary=run.temporary, search_path=self._search_path)
        child = self._spawn(spec, run, {**own, **run.environment(mark, endpoint, spec.run_id)})
        run = run.led_by(psutil.Process(child.pid))
        waiter = threading.Thread(target=run.note_exit, args=(child,), name=f"wait-{child.pid}", daemon=True)
        self._waiters[run.token] = waiter
        waiter.start()
        return run.handle(endpoint)

    def _spawn(self, spec: RunSpec, run: Run, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        argv = process_spec.command(spec, run.port, python=self._python, bridge=self._bridge)
        limits = json.dumps(process_spec.resource_limits(spec.limits))
        try:
            run.prepare()
            with output_files.appending(run.file("out"), run.file("err")) as (out, err):
                return subprocess.Popen(
                    [self._python, "-I", "-S", LAUNCHER, limits, "--", *argv],
                    cwd=Path(run.directory) / "app",
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
        except OSError as error:
            raise RuntimeFault(
                f"The server could not be started: {error.strerror}.",
                hint="See whether this machine is out of memory, processes, file descriptors or disk space.",
                permanent=False,
            ) from error

    def _surveyed(self, run: Run, snapshot: Snapshot) -> RunStatus | RuntimeFault:
        try:
            return self._status(run, snapshot)
        except RuntimeFault as fault:
            return fault

    def _status(self, run: Run, snapshot: Snapshot) -> RunStatus:
        if snapshot.is_alive(run.pid, run.create_time):
            self._limit(run, snapshot)
            if run.token not in self._overruns:
                return RunStatus(alive=True, reason=self._losses.pop(run.token, ""))
        self._reap(run)
        code = run.exit_code()
        return RunStatus(False, code, self._overruns.get(run.token) or describe_exit(code))

    def _limit(self, run: Run, snapshot: Snapshot) -> bool:
        """Ends what exceeds a limit; True where there was such a thing. The next status gives the reason."""
        excess = run.excess() if run.may_exceed(snapshot) else None
        if excess and excess.culprit:
            self._losses[run.token] = excess.reason
            process_table.send(signal.SIGKILL, [excess.culprit])
        elif excess:
            self._overruns[run.token] = excess.reason
            _kill(run)
        return excess is not None

    def _used(self, run: Run, snapshot: Snapshot) -> Stats | None:
        family = snapshot.family(run.pid, run.create_time)
        if not family:
            return None
        cores = self._cores(run, sum(each.cpu for each in family))
        return Stats(cores, sum(each.memory for each in family), sum(each.tasks for each in family))

    def _reap(self, run: Run) -> None:
        """Waits until the exit code of our own child is written and the child is no zombie."""
        waiter = self._waiters.get(run.token)
        if waiter:
            waiter.join(REAP_SECONDS)
        if waiter and not waiter.is_alive():
            self._waiters.pop(run.token, None)

    def _settle(self, ended: Sequence[Run]) -> None:
        """Waits for the exit codes of runs that have just ended. That of a child of another process of this
        platform is written there. Nobody writes that of a run whose platform was killed.
        """
        for run in ended:
            self._reap(run)
        end = time.monotonic() + CODE_SECONDS
        while time.monotonic() < end and any(run.exit_code() is None for run in ended):
            time.sleep(process_table.POLL_SECONDS)

    def _cores(self, run: Run, used: float) -> float:
        """Cores used since the last call; at the first call, since the start of the run."""
        now = time.time()
        then, before = self._looks.get(run.token, (run.create_time, 0.0))
        self._looks[run.token] = now, used
        return max(0.0, used - before) / max(now - then, 0.001)


def _lost_its_port(run: Run, deadline: Deadline, log: LineSink) -> bool:
    """Waits until the run listens on its port; True where another program listens there instead."""
    end = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < end and run.alive():
        deadline.check()
        if run.port in process_table.listening_ports(run.family()):
            return False
        time.sleep(process_table.POLL_SECONDS)
    found = process_table.listening_ports(process_table.members(*run.identity))
    if others := sorted(found - {run.port}):
        log(f"The server listens on port {', '.join(map(str, others))}, not on the one in PORT.")
    return run.port not in found and ports.is_taken(run.port)


def _offsets(cursor: str) -> tuple[int, int]:
    """How far stdout and stderr were read."""
    out, _, err = cursor.partition(":")
    return int(out or 0), int(err or 0)


def _kill(run: Run) -> None:
    members = partial(process_table.members, *run.identity)
    # A process that was forked between the listing and the signal is killed in the next round.
    for _ in range(int(KILL_SECONDS)):
        process_table.send(signal.SIGKILL, members())
        if process_table.until_none(members, 1.0):
            return
    raise RuntimeFault(
        f"Processes of the server do not end, though killed (session {run.pid}).",
        hint="They wait for the system, most often for a disk or a network share.",
        permanent=False,
    )


def _default_search_path() -> str:
    node = shutil.which("node")
    system = process_spec.SYSTEM_PATH
    folder = str(Path(node).parent) if node else ""
    return system if not folder or folder in system.split(":") else f"{system}:{folder}"


def _version(program: str, search_path: str) -> str:
    where = shutil.which(program, path=search_path)
    if not where:
        return ""
    try:
        answer = subprocess.run(
            [where, "--version"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=True,
            env={"PATH": search_path, "HOME": os.devnull},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
