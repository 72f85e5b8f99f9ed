"""The interface behind which servers run. A new runtime is one new module that implements `Runtime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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
    """Storage of a server's own, mounted at `path`; `storage_class` "" is the cluster's default."""

    size_mb: int
    path: str
    storage_class: str = ""


@dataclass(frozen=True)
class Shape:
    """How a server lies on a cluster; a runtime of one machine knows none of it.

    `max_replicas` above `replicas` lets the cluster scale by load of the requested CPU. `egress` None leaves
    the way out open; else it holds the networks (CIDR) that may be reached besides the cluster's DNS.
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
        return max(self.replicas, self.max_replicas) > 1


@dataclass(frozen=True)
class ImagePull:
    """Who pulls the image of a run: `by_platform` with the platform's login, else with the `username` and
    `password` that the server's team gave, or nobody's. `ours`: it was built here, for this server.
    """

    ours: bool = False
    by_platform: bool = False
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class RunSpec:
    """Everything a runtime needs to start one run of a deployment's build. Frozen: made once.

    `run_id` names the run among all of this platform, `number` the deployment among those of its server.
    `image` is a reference by digest, or an engine-local image id where no registry is set; "" for processes.
    `platform` is this machine's, `platforms` are those that the image exists for, () where that is not known.
    `command` is what starts the server; () for an image's own command. `directory` (processes only) holds the
    prepared environment. `port` and `path` say where a streamable-http server listens; a stdio server is
    served by the bridge.
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
        """Raises `RuntimeFault` for a path that was kept before such paths were refused."""
        if climbs(self.path):
            raise RuntimeFault(
                f"The path {self.path} leads out of the server.", hint="Correct the server's path."
            )


def climbs(path: str) -> bool:
    """Whether a path has dot segments (RFC 3986, section 3.3), in any spelling: behind the API server of a
    cluster it would lead out of the server, with the platform's own credentials."""
    plain = unquote(unquote(path.partition("?")[0].partition("#")[0])).replace("\\", "/")
    return any(segment in (".", "..") for segment in plain.split("/"))


@dataclass(frozen=True)
class Handle:
    """State of a run that can be saved (`data` is JSON) and taken up by another process of the platform.

    `endpoint` is the URL of the MCP endpoint, reachable from the gateway: `http://127.0.0.1:49153/mcp`.
    """

    runtime: str
    endpoint: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RunStatus:
    """`alive` False: it has exited (`exit_code`, `reason` fit for a screen) or is gone (`exit_code` None).

    `cause` is the code for `reason`, where that is known; `advice` is the part of it that says what helps.
    `endpoints` are the URLs of its replicas by name, where it may have several: those that answer now.
    """

    alive: bool
    exit_code: int | None = None
    reason: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    cause: Reason | None = None
    advice: str = ""


@dataclass(frozen=True)
class OutputLine:
    """One line that a server wrote; `at` is aware (UTC)."""

    at: datetime
    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Stats:
    """`cpu` in cores used since the last look, memory in bytes."""

    cpu: float
    memory_bytes: int
    pids: int


@dataclass(frozen=True)
class Capability:
    """Whether a part of the machine can be used: `detail` says what was found, `advice` what to do if not."""

    name: str
    found: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Stray:
    """A run found on the runtime: compared with the rows, it may be garbage.

    `run_id` 0: an earlier version started it, which marked runs by their deployment alone.
    """

    server_id: int
    deployment_id: int
    handle: Handle
    run_id: int = 0


class Runtime(Protocol):
    """Thread-safe. Foreign errors (docker, OS) leave as `RuntimeFault`."""

    name: str
    needs_image: bool  # False: runs a prepared directory
    outlives_platform: bool  # False: stopped when the platform stops
    any_platform: bool  # True: its nodes differ, and each takes its own out of the published index

    def start(self, spec: RunSpec, *, deadline: Deadline, log: LineSink) -> Handle:
        """Starts a new run beside any other. What a failed start made is removed again."""
        ...

    def stop(self, handle: Handle, *, grace: float) -> None:
        """SIGTERM, after `grace` seconds SIGKILL, then removes what the run left. Idempotent."""
        ...

    def poll(self, handle: Handle) -> RunStatus: ...

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        """As `poll` for each, in their order; a fault stands for what could not be asked about."""
        ...

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """Lines written since `cursor` ("" = the start) and the cursor for the next call. Never blocks."""
        ...

    def stats(self, handle: Handle) -> Stats | None:
        """None where nobody measures, or nothing runs."""
        ...

    def measure(self, handles: Sequence[Handle]) -> Sequence[Stats | None]:
        """As `stats` for each, in their order; None too for what could not be asked about."""
        ...

    def warnings(self, handle: Handle) -> Sequence[str]:
        """What was said beside the run's own output about why it does not work, newest first."""
        ...

    def strays(self) -> Sequence[Stray]:
        """Every run of this platform that the runtime knows, by its own labels or directories."""
        ...

    def forget(self, server_id: int) -> None:
        """Removes what outlives the runs of a server: its volume. Idempotent."""
        ...

    def capability(self) -> Capability: ...


class OneByOne(ABC):
    """For a runtime of this machine: asking costs little, and nothing outlives a run."""

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
