"""The interface of runtimes, which run servers. A new runtime implements `Runtime` in one new module,
and has a line in `kinds`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.process_group import LineSink
from registry.reasons import Reason

Transport = Literal["stdio", "streamable-http"]


@dataclass(frozen=True)
class Limits:
    """cpu in cores (0.5 = half a core), memory in MiB, pids a count. 0 means no limit."""

    cpu: float = 1.0
    memory_mb: int = 512
    pids: int = 128


@dataclass(frozen=True)
class Volume:
    """Storage of one server, mounted at `path`. `storage_class` "" means the default of the cluster."""

    size_mb: int
    path: str
    storage_class: str = ""


@dataclass(frozen=True)
class Shape:
    """How a server runs on a cluster. The runtimes for one machine ignore it.

    With `max_replicas` above `replicas` the cluster adds replicas while they use more than `cpu_percent` of
    the CPU that they request. `egress` holds the networks (CIDR) that the server may reach besides the
    cluster's DNS; None allows all. `account_token` mounts the token of the pod's service account.
    """

    replicas: int = 1
    max_replicas: int = 0
    cpu_percent: int = 80
    egress: tuple[str, ...] | None = None
    account_token: bool = False
    volume: Volume | None = None

    @property
    def scales(self) -> bool:
        return self.max_replicas > self.replicas

    @property
    def is_several(self) -> bool:
        """Whether the server may have more than one replica at a time."""
        return max(self.replicas, self.max_replicas) > 1


@dataclass(frozen=True)
class ImagePull:
    """The login with which the image of a run is pulled.

    `by_platform`: the platform's own. Otherwise it is `username` and `password`, which the server's team has
    given; without them the pull is anonymous. `ours`: the platform has built this image, for this server.
    """

    ours: bool = False
    by_platform: bool = False
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class RunSpec:
    """Everything that a runtime needs to start one run of a deployment's build.

    `run_id` is unique among all runs of this platform, `number` is that of the deployment for its server.
    `image` is a reference by digest, or an image id of the engine where no registry is set; "" for processes.
    `platform` is that of this machine, such as `linux/amd64`. `platforms` are those for which the image
    exists; () means that they are not known. `command` starts the server; () means the image's own command.
    `directory` (processes only) holds the prepared environment. `port` and `path` say where a streamable-http
    server listens; a stdio server is served by the bridge.
    """

    server_id: int
    slug: str
    deployment_id: int
    number: int
    run_id: int
    transport: Transport
    port: int = 8000
    path: str = "/mcp"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = Limits()
    image: str = ""
    pull: ImagePull = ImagePull()
    platform: str = ""
    platforms: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    directory: Path | None = None
    shape: Shape = Shape()

    def __post_init__(self) -> None:
        """Raises `RuntimeFault` for a path such as `/../x`, which rows from older versions may hold."""
        if climbs(self.path):
            raise RuntimeFault(
                f"The path {self.path} leads out of the server.", hint="Correct the server's path."
            )


def climbs(path: str) -> bool:
    """Whether a URL path has dot segments (RFC 3986, section 3.3), in any encoding.

    Behind the API server of a cluster such a path leads to other objects, with the platform's credentials.
    """
    plain = unquote(unquote(path.partition("?")[0].partition("#")[0])).replace("\\", "/")
    return any(segment in (".", "..") for segment in plain.split("/"))


@dataclass(frozen=True)
class Handle:
    """Identifies a run for its runtime. It can be saved (`data` is JSON) and used by another process later.

    `endpoint` is the URL of the MCP endpoint, reachable from the gateway: `http://127.0.0.1:49153/mcp`.
    """

    runtime: str
    endpoint: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RunStatus:
    """Whether a run is alive. If not, it has exited, or is gone and `exit_code` is None.

    `reason` is a sentence for the user, also about trouble of a run that is alive; `cause` is its code, where
    it is known; `advice` is the part of `reason` that says what helps. `endpoints` are the URLs of the
    replicas that are ready, by name; empty for a run that can only have one.
    """

    alive: bool
    exit_code: int | None = None
    reason: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    cause: Reason | None = None
    advice: str = ""


@dataclass(frozen=True)
class OutputLine:
    """One line that a server has written; `at` is in UTC."""

    at: datetime
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Stats:
    """What a run uses: `cpu` in cores, on average since the last measurement; `pids` counts processes and
    threads, 0 where the runtime does not count them.
    """

    cpu: float
    memory_bytes: int
    pids: int


@dataclass(frozen=True)
class Capability:
    """Whether something that the platform needs is usable here: `detail` says what was found, `advice` what
    to do when it is not usable.
    """

    name: str
    found: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Stray:
    """A run that a runtime has found. Where no row in the database knows it, it is an orphan.

    `run_id` 0: an older version has started it, which marked runs only by their deployment.
    """

    server_id: int
    deployment_id: int
    handle: Handle
    run_id: int = 0


class Runtime(Protocol):
    """Runs servers. Thread-safe.

    A method that does not say otherwise raises `RuntimeFault` where the engine, the cluster or the operating
    system refuses or does not answer.
    """

    name: str
    needs_image: bool  # False: runs a prepared directory
    outlives_platform: bool  # False: stopped when the platform stops
    any_platform: bool  # True: nodes differ, and each takes its platform from the image index (OCI)

    def start(self, spec: RunSpec, *, deadline: Deadline, log: LineSink) -> Handle:
        """Starts a new run; other runs of the server go on. A start that fails removes what it has made.

        `log` gets lines for the deployment's log. Raises also `Cancelled`, `TimedOut`.
        """
        ...

    def stop(self, handle: Handle, *, grace: float) -> None:
        """Sends SIGTERM, after `grace` seconds SIGKILL, and removes what the run leaves. Idempotent."""
        ...

    def poll(self, handle: Handle) -> RunStatus:
        """The status of a run now. A run that is gone is no error."""
        ...

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        """`poll` for each handle, in the same order; a status that is not known is replaced by the fault."""
        ...

    def watch(self, handles: Sequence[Handle], changed: Callable[[], None]) -> None:
        """Calls `changed`, in any thread, soon after one of these runs has ended, or its status may have
        changed.

        It replaces what an earlier call asked for; `watch([], …)` ends it. It returns at once, makes no
        request itself and raises nothing. What it misses (the engine is away, the system has nothing to watch
        with), a later `survey` finds. `changed` has to return at once and raises nothing.
        """
        ...

    def may_have_output(self, handle: Handle, cursor: str) -> bool:
        """Whether `output` may return lines after `cursor`; True where that is not known. Quick: it makes no
        request.
        """
        ...

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """The lines since `cursor` ("" is the start) and the cursor for the next call.

        It does not wait for new lines. One call may return only a part of them.
        """
        ...

    def stats(self, handle: Handle) -> Stats | None:
        """None where nothing measures the run, or where it is gone."""
        ...

    def measure(self, handles: Sequence[Handle]) -> Sequence[Stats | None]:
        """`stats` for each handle, in the same order; None also where the runtime does not answer."""
        ...

    def warnings(self, handle: Handle) -> Sequence[str]:
        """What the runtime itself reports about problems of the run, newest first."""
        ...

    def strays(self) -> Sequence[Stray]:
        """Every run of this platform that the runtime finds, by its labels or by marks of its processes."""
        ...

    def forget(self, server_id: int) -> None:
        """Removes what stays after the last run of a server: its volume. Idempotent."""
        ...

    def capability(self) -> Capability:
        """Whether this runtime is usable here. It raises nothing: a fault becomes the answer."""
        ...


class OneByOne(ABC):
    """A base class for the runtimes of one machine: a status costs little, and nothing stays after a run."""

    any_platform = False

    @abstractmethod
    def poll(self, handle: Handle) -> RunStatus: ...

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        return [self._asked(handle) for handle in handles]

    def _asked(self, handle: Handle) -> RunStatus | RuntimeFault:
        try:
            return self.poll(handle)
        except RuntimeFault as fault:
            return fault

    @abstractmethod
    def stats(self, handle: Handle) -> Stats | None: ...

    def measure(self, handles: Sequence[Handle]) -> Sequence[Stats | None]:
        return [self._measured(handle) for handle in handles]

    def _measured(self, handle: Handle) -> Stats | None:
        try:
            return self.stats(handle)
        except RuntimeFault:
            return None

    def warnings(self, handle: Handle) -> Sequence[str]:
        return ()

    def forget(self, server_id: int) -> None:
        return
