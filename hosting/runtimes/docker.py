"""Runs servers as containers of a Docker Engine."""

from __future__ import annotations

import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from docker import DockerClient
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.process_group import LineSink
from hosting.runtimes import docker_events, docker_logs, docker_pull, docker_spec, ports
from hosting.runtimes.base import Capability, Handle, OneByOne, OutputLine, RunSpec, RunStatus, Stats, Stray
from hosting.runtimes.docker_events import Events
from hosting.runtimes.docker_faults import PortTaken, translated
from hosting.runtimes.docker_pull import AuthConfig, no_credentials
from hosting.runtimes.docker_spec import LABEL, RESTARTS, Placement
from hosting.runtimes.exit_words import describe_exit
from hosting.runtimes.followed import CONNECTIONS, Followed
from registry.reasons import Reason, reason_in, says

OLDEST_API = (1, 41)
CALL_SECONDS = 30
PROBE_SECONDS = 3
PORT_ATTEMPTS = 3
TAIL = 5


class DockerRuntime(OneByOne):
    """Runs each server as one container (Docker Engine API 1.41 or newer).

    `engine_url` is a DOCKER_HOST. `instance` distinguishes this platform from others on the same engine. With
    `network`, an existing network to which the platform is connected too, servers are reached there by name;
    without it, through a port of this machine's loopback address. `auth` returns the platform's login for an
    image as an AuthConfig of the API, or None; it is used for images with `pull.by_platform`.
    """

    name = "docker"
    needs_image = True
    outlives_platform = True

    def __init__(
        self, engine_url: str, network: str = "", *, instance: str, auth: AuthConfig = no_credentials
    ) -> None:
        self._url = engine_url
        self._network = network
        self._instance = instance
        self._auth = auth
        self._lock = threading.Lock()
        self._connected: DockerClient | None = None
        self._looks: dict[str, tuple[float, float]] = {}
        self._events = Events(lambda: self._client().api, instance)
        self._logs = Followed("docker-log", lambda key: docker_events.log(self._client().api, key))

    def start(self, spec: RunSpec, *, deadline: Deadline, log: LineSink) -> Handle:
        """As `Runtime.start`. A container that exits at once stays until `stop`, for its output."""
        user = self._ready_image(spec, deadline, log)
        for _ in range(PORT_ATTEMPTS):
            deadline.check()
            with suppress(PortTaken):
                return self._run(spec, self._place(spec), user)
        raise RuntimeFault("No free port could be had.", hint="Try again.", permanent=False)

    def stop(self, handle: Handle, *, grace: float) -> None:
        with translated(), suppress(NotFound):
            container = self._container(handle)
            container.stop(timeout=math.ceil(grace))
            _remove(container)
        self._looks.pop(handle.data["container"], None)

    def poll(self, handle: Handle) -> RunStatus:
        with translated():
            try:
                container = self._container(handle)
            except NotFound:
                return RunStatus(alive=False, reason="Its container is gone.")
            status = _status(container)
            return status if status.alive else self._explained(status, handle)

    def survey(self, handles: Sequence[Handle]) -> Sequence[RunStatus | RuntimeFault]:
        """As `poll` for each. One list tells which containers run; only the others are asked for."""
        try:
            running = self._running() if handles else set()
        except RuntimeFault as fault:
            return [fault] * len(handles)
        return [
            RunStatus(alive=True) if handle.data["container"] in running else self._asked(handle)
            for handle in handles
        ]

    def watch(self, handles: Sequence[Handle], changed: Callable[[], None]) -> None:
        """As `Runtime.watch`. The logs of these runs are followed too, for `may_have_output`."""
        containers = [str(handle.data["container"]) for handle in handles]
        self._events.watch(containers, changed)
        self._logs.follow(containers)

    def may_have_output(self, handle: Handle, cursor: str) -> bool:
        return self._logs.may_have_more(handle.data["container"])

    def output(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        """As `Runtime.output`, about docker_logs.MAX_BYTES per call; nothing for a container that is gone."""
        return self._logs.read([handle.data["container"]], lambda: self._after(handle, cursor))

    def stats(self, handle: Handle) -> Stats | None:
        with translated():
            try:
                found = self._client().api.stats(handle.data["container"], stream=False, one_shot=True)
            except NotFound:
                return None
        if not found.get("pids_stats", {}).get("current"):
            return None
        cores = self._cores(handle.data["container"], found["cpu_stats"]["cpu_usage"]["total_usage"])
        return Stats(cores, _memory(found["memory_stats"]), found["pids_stats"]["current"])

    def strays(self) -> Sequence[Stray]:
        with translated():
            filters = {"label": f"{LABEL}instance={self._instance}"}
            found = self._client().api.containers(all=True, filters=filters)
        return [_stray(each) for each in found if each["State"] != "removing"]

    def capability(self) -> Capability:
        try:
            with translated():
                answer = self._client(PROBE_SECONDS).version()
        except RuntimeFault as fault:
            return Capability(self.name, False, fault.message, fault.hint)
        version, api = str(answer["Version"]), str(answer["ApiVersion"])
        detail = f"Docker Engine {version}, API {api}"
        if _version(api) < OLDEST_API:
            return Capability(self.name, False, detail, "Install Docker Engine 20.10 or newer.")
        return Capability(self.name, True, detail)

    def _client(self, timeout: float = CALL_SECONDS) -> DockerClient:
        """Connects on first use, so that the platform can start while the engine is down."""
        with self._lock:
            if self._connected is None:
                # The first call asks for the version. It must not wait as long as others may.
                client = DockerClient(
                    base_url=self._url, version="auto", timeout=math.ceil(timeout), max_pool_size=CONNECTIONS
                )
                client.api.timeout = CALL_SECONDS
                self._connected = client
            return self._connected

    def _running(self) -> set[str]:
        filters = {"label": f"{LABEL}instance={self._instance}", "status": "running"}
        with translated():
            return {str(each["Id"]) for each in self._client().api.containers(filters=filters)}

    def _container(self, handle: Handle) -> Container:
        return self._client().containers.get(handle.data["container"])

    def _ready_image(self, spec: RunSpec, deadline: Deadline, log: LineSink) -> str:
        """Pulls the image where the engine lacks it; returns the user of its config, "" for none."""
        with translated():
            try:
                image = self._client().images.get(spec.image)
            except ImageNotFound:
                self._pull(spec, deadline, log)
                image = self._client().images.get(spec.image)
        return str((image.attrs.get("Config") or {}).get("User") or "")

    def _pull(self, spec: RunSpec, deadline: Deadline, log: LineSink) -> None:
        if "/" not in spec.image and "@" not in spec.image:
            raise RuntimeFault(
                f"The image {spec.image} is not in the engine any more.",
                hint="Redeploy the server.",
                reason=Reason.NOT_FOUND,
            )
        docker_pull.pull(
            self._client().api,
            spec.image,
            platform=spec.platform,
            auth=self._auth if spec.pull.by_platform else docker_pull.login_of(spec.pull),
            deadline=deadline,
            log=log,
        )

    def _place(self, spec: RunSpec) -> Placement:
        name = f"mcphost-{self._instance}-{spec.slug}-{spec.number}-{secrets.token_hex(3)}"
        name = re.sub(r"[^a-zA-Z0-9_.-]", "-", name)
        return Placement(name, self._instance, 0 if self._network else ports.free_port(), self._network)

    def _run(self, spec: RunSpec, place: Placement, user: str) -> Handle:
        arguments = docker_spec.container(spec, place, image_user=user)
        with translated():
            container = self._client().containers.create(**arguments)
            try:
                container.start()
            except BaseException:
                with suppress(APIError):
                    _remove(container)
                raise
        return Handle(self.name, place.endpoint(spec), {"container": container.id, "name": place.name})

    def _after(self, handle: Handle, cursor: str) -> tuple[Sequence[OutputLine], str]:
        start = docker_logs.Cursor.parse(cursor)
        with translated():
            lines, end = docker_logs.after(start, self._log_chunks(handle, since=start.since))
        return lines, str(end)

    def _log_chunks(self, handle: Handle, **params: str) -> Iterator[bytes]:
        """The raw answer of "Get container logs": docker-py's own `logs` cannot tell the streams apart."""
        api = self._client().api
        url = f"{api.base_url}/v{api.api_version}/containers/{handle.data['container']}/logs"
        asked = {"stdout": "1", "stderr": "1", "timestamps": "1", **params}
        with api.get(url, params=asked, stream=True, timeout=CALL_SECONDS) as response:
            if response.ok:
                yield from response.iter_content(65_536)

    def _explained(self, status: RunStatus, handle: Handle) -> RunStatus:
        """Finds an image for another processor: the engine starts it, and only its output tells."""
        lines, _ = docker_logs.after(docker_logs.Cursor(), self._log_chunks(handle, tail=str(TAIL)))
        if any(says(Reason.WRONG_PLATFORM, line.text) for line in lines):
            words = "Its image is built for another kind of processor (exec format error)."
            return RunStatus(False, status.exit_code, words)
        return status

    def _cores(self, container: str, used: int) -> float:
        """Cores used since the last call; 0 at the first."""
        now = time.monotonic()
        then, before = self._looks.get(container, (now, used))
        self._looks[container] = now, used
        return max(0.0, (used - before) / 1e9 / max(now - then, 0.001))


def _status(container: Container) -> RunStatus:
    state: Mapping[str, Any] = container.attrs["State"]
    code = int(state["ExitCode"])
    if state["Status"] == "restarting":
        count = container.attrs["RestartCount"]
        words = f"{describe_exit(code)} Restarting ({count} of {RESTARTS})."
        return RunStatus(True, reason=words, cause=Reason.CRASHED)
    if state["Status"] in ("running", "paused"):
        return RunStatus(True)
    if state["OOMKilled"]:
        words = "It ran out of memory and was killed: raise its memory limit."
        return RunStatus(False, code, words, cause=Reason.OUT_OF_MEMORY)
    failure = str(state["Error"])
    return RunStatus(False, code, failure or describe_exit(code), cause=reason_in(failure))


def _remove(container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        if "already in progress" not in str(error.explanation):
            raise


def _stray(found: Mapping[str, Any]) -> Stray:
    labels: Mapping[str, str] = found["Labels"]
    data = {"container": found["Id"], "name": found["Names"][0].lstrip("/")}
    handle = Handle(DockerRuntime.name, labels[f"{LABEL}endpoint"], data)
    run_id = int(labels.get(f"{LABEL}run", 0))
    return Stray(int(labels[f"{LABEL}server"]), int(labels[f"{LABEL}deployment"]), handle, run_id)


def _memory(found: Mapping[str, Any]) -> int:
    """Memory in bytes without the inactive file cache, as `docker stats` counts it."""
    details = found.get("stats", {})
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return max(0, int(found.get("usage", 0)) - int(cache))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
