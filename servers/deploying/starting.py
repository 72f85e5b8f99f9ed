"""Starts a build and waits until the server answers MCP: start, health, discover.

For deployments and restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from hosting import handshake, read_only
from hosting.deadline import Deadline
from hosting.errors import Cancelled, RuntimeFault, UserError
from hosting.handshake import EXITED, Discovery, ServerFacts
from hosting.last_words import LOOK_BACK
from hosting.process_group import LineSink
from hosting.runtimes.base import Handle, ImagePull, Limits, RunSpec, Runtime
from hosting.why_ended import why
from registry.reasons import Reason
from servers import runtime_choice
from servers.deploying import heartbeat, pull_secret, pulls, runs, runtimes
from servers.models import Build, Deployment, Run, Server, placement
from servers.models.server import Transport
from servers.states import StepKind
from servers.timeline import Timeline

COMPARED = ("transport", "port", "path", "command", "cpu", "memory_mb", "pids", "placement")
WROTE_LAST, LAST = "It wrote last", 5
# Reasons that the server's last lines may explain. A server that was not placed or pulled has written none.
ITS_OWN = (None, Reason.CRASHED, Reason.OUT_OF_MEMORY, Reason.UNHEALTHY)


@dataclass(frozen=True)
class Start:
    """What is to be started. `run` is its row; nothing has been started for it yet."""

    run: Run
    timeline: Timeline
    deadline: Deadline

    @property
    def deployment(self) -> Deployment:
        return self.run.deployment

    @property
    def server(self) -> Server:
        return self.deployment.server

    @property
    def build(self) -> Build:
        return self.deployment.build

    @property
    def runtime(self) -> Runtime:
        return runtimes.runtime(self.run.runtime)


def start(wanted: Start) -> Handle:
    """Starts the build on its runtime, and returns what the runtime finds it by.

    Stores the handle in the run's row and the configuration in the deployment's. Raises `UserError`, or
    `Cancelled` if the run was ended in the meantime or another worker holds it; then nothing runs.
    """
    with wanted.timeline.step(StepKind.START) as step:
        deadline = wanted.deadline.within(settings.HEALTH_TIMEOUT, "start")
        secrets = wanted.server.secret_environment()
        wanted.deployment.keep(configuration=configuration_of(wanted.server, secrets))
        spec = _run_spec(wanted, secrets, _platforms(wanted, step.line))
        if spec.pull.by_platform and wanted.runtime.any_platform:
            pull_secret.hand_on(wanted.timeline, spec.image)
        handle = wanted.runtime.start(spec, deadline=deadline, log=step.line)
        if not runs.save(wanted.run, handle):
            wanted.runtime.stop(handle, grace=0)
            raise Cancelled(heartbeat.TAKEN_OVER)
        step.details.update(runtime=handle.runtime)
    return handle


def configuration_of(server: Server, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a deployment is started with, so that two can be compared. No value can be read from it.

    `environment` and `secrets` map names to keyed fingerprints of the values, `settings` maps names to
    values.
    """
    return {
        "environment": {name: _fingerprint(value) for name, value in server.environment.items()},
        "secrets": {name: _fingerprint(value) for name, value in secrets.items()},
        "settings": {name: getattr(server, name) for name in COMPARED},
    }


def _fingerprint(value: str) -> str:
    """Returns a keyed digest, which shows only whether two values are equal."""
    return salted_hmac("servers.configuration", value, algorithm="sha256").hexdigest()[:16]


def _platforms(wanted: Start, line: LineSink) -> tuple[str, ...]:
    """Returns the platforms of nodes that can run the image; () allows any node.

    If the registry does not answer, the start goes on.
    """
    build = wanted.build
    if not wanted.runtime.any_platform or build.images:
        return tuple(build.images)
    try:
        return pulls.platforms_of(wanted.server, build.image)
    except UserError as error:
        line(f"Any Linux node may take it, for the image's platforms are not known: {error}")
        return ()


def _run_spec(wanted: Start, secrets: Mapping[str, str], platforms: tuple[str, ...]) -> RunSpec:
    server, deployment, build = wanted.server, wanted.deployment, wanted.build
    return RunSpec(
        server_id=server.pk,
        slug=server.slug,
        deployment_id=deployment.pk,
        number=deployment.number,
        run_id=wanted.run.pk,
        transport=server.transport,  # type: ignore[arg-type]
        port=server.port,
        path=server.path,
        environment={**_bridges_own(server), **server.environment, **secrets},
        limits=Limits(server.cpu, server.memory_mb, server.pids),
        image=build.image,
        pull=_pull(server, build),
        platform=runtime_choice.native_platform() if build.image and not wanted.runtime.any_platform else "",
        platforms=platforms,
        command=tuple(build.command),
        directory=Path(build.directory) if build.directory else None,
        shape=placement.shape_of(server.placement),
    )


def _pull(server: Server, build: Build) -> ImagePull:
    if not build.image:
        return ImagePull()
    return pulls.image_pull(server, build.image, built_here=bool(build.images))


def _bridges_own(server: Server) -> dict[str, str]:
    """Returns variables that the bridge reads and does not pass on; the server's environment may override
    them."""
    if server.transport != Transport.STDIO:
        return {}
    return {
        "BRIDGE_MAX_SESSIONS": str(settings.BRIDGE_SESSIONS),
        "BRIDGE_MAX_BODY": str(settings.GATEWAY_BODY_LIMIT),
    }


def check_health(started: Start, handle: Handle) -> ServerFacts:
    """Waits until the server answers an MCP handshake, and returns what it found.

    That a process exists is not enough. Raises `RuntimeFault` with the server's last lines and their likely
    cause.
    """
    with started.timeline.step(StepKind.HEALTH) as step:
        deadline = started.deadline.within(settings.HEALTH_TIMEOUT, "health check")
        try:
            facts = handshake.wait_healthy(
                handle.endpoint,
                deadline=deadline,
                alive=lambda: started.runtime.poll(handle),
                auth=runtimes.auth_for(handle.endpoint),
                public=settings.PUBLIC_URL,
            )
        except RuntimeFault as error:
            _tell_warning(started, handle, step.line)
            raise _with_last_lines(started, error) from error
        finally:
            runs.collect(started.run)
        runs.note_endpoints(started.run, started.runtime.poll(handle))
        step.details.update(era=facts.era, protocol_versions=list(facts.protocol_versions))
        if facts.host:
            step.line(f"It takes requests for the Host {facts.host} only, and gets them so.")
    return facts


def _tell_warning(started: Start, handle: Handle, line: LineSink) -> None:
    """Writes a warning of the cluster into the log. It may be the reason, or only a consequence."""
    with suppress(RuntimeFault):
        for warning in started.runtime.warnings(handle)[:1]:
            line(f"The cluster says: {warning}")


def _with_last_lines(started: Start, error: RuntimeFault) -> RuntimeFault:
    runs.collect(started.run)
    message, hint, reason = error.message, error.hint, error.reason
    lines = runs.last_lines(started.run, LOOK_BACK)
    if cause := why(lines, stdio=started.server.transport == Transport.STDIO):
        message, hint = f"{message} {cause.says}", cause.hint
        if reason in ITS_OWN:
            reason = cause.reason or reason
    if WROTE_LAST not in message:  # a cluster keeps a container's last words
        told = [cause.line] if cause and cause.line not in lines[-LAST:] else []
        said = " ⏎ ".join([*told, *lines[-LAST:]])
        message += f" {WROTE_LAST}: “{said}”." if lines else " It wrote nothing."
    volume = placement.shape_of(started.server.placement).volume if started.runtime.any_platform else None
    if started.runtime.needs_image and (rule := read_only.hint(message, volume)):
        hint = rule
    if hint != error.hint:
        message = message.replace(f" {EXITED}", "")
    return RuntimeFault(message, hint=hint, reason=reason, permanent=error.permanent)


def discover(started: Start, handle: Handle, facts: ServerFacts) -> Discovery:
    """Lists the server's tools, prompts and resources. Raises `UserError`."""
    with started.timeline.step(StepKind.DISCOVER) as step:
        deadline = started.deadline.within(settings.HEALTH_TIMEOUT, "discovery")
        endpoint = next(iter(started.run.endpoints.values()), handle.endpoint)
        found = handshake.discover(endpoint, facts, deadline=deadline, auth=runtimes.auth_for(endpoint))
        for note in found.notes:
            step.line(note)
        step.details.update(
            tools=len(found.tools), prompts=len(found.prompts), resources=len(found.resources)
        )
    return found
