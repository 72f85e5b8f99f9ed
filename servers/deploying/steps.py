"""The steps of a deployment that every runtime shares. Each is safe to run again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from django.conf import settings

from hosting import handshake, read_only
from hosting.builder import context, environment
from hosting.errors import RuntimeFault, SourceError, UserError
from hosting.handshake import EXITED, ServerFacts
from hosting.last_words import LOOK_BACK
from hosting.process_group import LineSink
from hosting.runtimes.base import Handle, ImagePull, Limits, RunSpec
from hosting.sources.base import ExistingImage, Fetched
from hosting.why_ended import why
from registry.reasons import Reason
from servers.deploying import configuration, delivery, image_steps, runs, wiring
from servers.deploying.job import Job
from servers.models import Server, placement
from servers.models.server import Transport
from servers.states import Mode, StepKind

WROTE_LAST, LAST = "It wrote last", 5
# What the server's own last words may explain; where it could not be placed or pulled it wrote none.
ITS_OWN = (None, Reason.CRASHED, Reason.OUT_OF_MEMORY, Reason.UNHEALTHY)
SAME_REVISION = (Mode.REBUILD, Mode.NO_CACHE, Mode.RESUME)


def take_over(job: Job) -> None:
    """Nothing is built: the deployment starts what an earlier one built."""
    if not job.build.can_start:
        raise SourceError("What the earlier deployment built is gone.", hint="Redeploy with mode latest.")


def fetch(job: Job) -> Fetched:
    base = job.deployment.based_on
    same = base if job.deployment.mode in SAME_REVISION else None
    pinned = same.build.revision if same else job.deployment.wanted_revision
    with job.timeline.step(StepKind.CLONE) as step:
        into = job.work / "source"
        with context.filling(into):
            fetched = wiring.source_of(job.server, pinned).fetch(into, deadline=job.deadline, log=step.line)
        summary = (job.server.source.get("filename") or getattr(fetched, "summary", ""))[:300]
        job.build.keep(revision=fetched.revision, summary=summary)
        step.details.update(revision=fetched.revision, summary=summary)
    return fetched


def make_image(job: Job, fetched: Fetched) -> None:
    image_steps.make(job, fetched)


def make_environment(job: Job, fetched: Fetched) -> None:
    """Installs the source into a directory of its own, for the process runtime."""
    if isinstance(fetched, ExistingImage):
        raise RuntimeFault(
            "An image cannot run as a local process.",
            hint="Set CONTAINER_RUNTIME=docker, or the runtime of this server to docker.",
        )
    with job.timeline.step(StepKind.BUILD) as step:
        plan = job.recognised(fetched, images=False)
        shutil.rmtree(job.directory, ignore_errors=True)
        job.build.keep(directory=str(job.directory))
        deadline = job.deadline.within(settings.BUILD_TIMEOUT, "build")
        command = environment.install(
            plan, fetched, job.directory, settings=wiring.build_settings(), deadline=deadline, log=step.line
        )
        job.build.keep(command=list(command))


def start(job: Job) -> Handle:
    with job.timeline.step(StepKind.START) as step:
        deadline = job.deadline.within(settings.HEALTH_TIMEOUT, "start")
        secrets = job.server.secret_environment()
        job.deployment.keep(configuration=configuration.of(job.server, secrets))
        spec = _run_spec(job, secrets, _platforms(job, step.line))
        if spec.pull.by_platform:
            delivery.hand_on_credentials(job)
        handle = job.runtime.start(spec, deadline=deadline, log=step.line)
        runs.begin(job.deployment, handle)
        step.details.update(runtime=handle.runtime)
    return handle


def _platforms(job: Job, line: LineSink) -> tuple[str, ...]:
    """Of nodes that can run the image. A registry that does not tell keeps nothing from starting."""
    build = job.build
    if not job.runtime.any_platform or build.images:
        return tuple(build.images)
    try:
        return wiring.platforms_of(job.server, build.image)
    except UserError as error:
        line(f"Any Linux node may take it, for the image's platforms are not known: {error}")
        return ()


def _run_spec(job: Job, secrets: Mapping[str, str], platforms: tuple[str, ...]) -> RunSpec:
    server, deployment, build = job.server, job.deployment, job.build
    return RunSpec(
        server_id=server.pk,
        slug=server.slug,
        deployment_id=deployment.pk,
        number=deployment.number,
        transport=server.transport,  # type: ignore[arg-type]
        port=server.port,
        path=server.path,
        environment={**_bridges_own(server), **server.environment, **secrets},
        limits=Limits(server.cpu, server.memory_mb, server.pids),
        image=build.image,
        pull=_pull(job),
        platform=wiring.native_platform() if build.image and not job.runtime.any_platform else "",
        platforms=platforms,
        command=tuple(build.command),
        directory=Path(build.directory) if build.directory else None,
        shape=placement.shape_of(server.placement),
    )


def _pull(job: Job) -> ImagePull:
    image, images = job.build.image, job.build.images
    return wiring.image_pull(job.server, image, built_here=bool(images)) if image else ImagePull()


def _bridges_own(server: Server) -> dict[str, str]:
    """What the bridge reads and does not pass on; a server's own environment may say otherwise."""
    if server.transport != Transport.STDIO:
        return {}
    return {
        "BRIDGE_MAX_SESSIONS": str(settings.BRIDGE_SESSIONS),
        "BRIDGE_MAX_BODY": str(settings.GATEWAY_BODY_LIMIT),
    }


def check_health(job: Job, handle: Handle) -> ServerFacts:
    """Healthy means that an MCP handshake answered, not that a process exists."""
    with job.timeline.step(StepKind.HEALTH) as step:
        deadline = job.deadline.within(settings.HEALTH_TIMEOUT, "health check")
        try:
            facts = handshake.wait_healthy(
                handle.endpoint,
                deadline=deadline,
                alive=lambda: job.runtime.poll(handle),
                equip=wiring.equip_for(handle.endpoint),
                public=settings.PUBLIC_URL,
            )
        except RuntimeFault as error:
            _tell_warning(job, handle, step.line)
            raise _with_last_lines(job, error) from error
        finally:
            runs.collect(job.run)
        job.deployment.keep(facts=asdict(facts))
        runs.note_endpoints(job.run, job.runtime.poll(handle))
        step.details.update(era=facts.era, protocol_versions=list(facts.protocol_versions))
        if facts.host:
            step.line(f"It takes requests for the Host {facts.host} only, and gets them so.")
    return facts


def _tell_warning(job: Job, handle: Handle, line: LineSink) -> None:
    """Into the log, beside the reason: it may be why, or only what came of it."""
    with suppress(RuntimeFault):
        for warning in job.runtime.warnings(handle)[:1]:
            line(f"The cluster says: {warning}")


def _with_last_lines(job: Job, error: RuntimeFault) -> RuntimeFault:
    runs.collect(job.run)
    message, hint, reason = error.message, error.hint, error.reason
    lines = runs.last_lines(job.deployment, LOOK_BACK)
    if cause := why(lines, stdio=job.server.transport == Transport.STDIO):
        message, hint = f"{message} {cause.says}", cause.hint
        if reason in ITS_OWN:
            reason = cause.reason or reason
    if WROTE_LAST not in message:  # a cluster keeps a container's last words
        told = [cause.line] if cause and cause.line not in lines[-LAST:] else []
        said = " ⏎ ".join([*told, *lines[-LAST:]])
        message += f" {WROTE_LAST}: “{said}”." if lines else " It wrote nothing."
    volume = placement.shape_of(job.server.placement).volume if job.runtime.any_platform else None
    if job.runtime.needs_image and (rule := read_only.hint(message, volume)):
        hint = rule
    if hint != error.hint:
        message = message.replace(f" {EXITED}", "")
    return RuntimeFault(message, hint=hint, reason=reason, permanent=error.permanent)


def discover(job: Job, handle: Handle, facts: ServerFacts) -> None:
    with job.timeline.step(StepKind.DISCOVER) as step:
        deadline = job.deadline.within(settings.HEALTH_TIMEOUT, "discovery")
        endpoint = next(iter(job.run.endpoints.values()), handle.endpoint)
        found = handshake.discover(endpoint, facts, deadline=deadline, equip=wiring.equip_for(endpoint))
        job.deployment.keep(discovery=asdict(found))
        for note in found.notes:
            step.line(note)
        step.details.update(
            tools=len(found.tools), prompts=len(found.prompts), resources=len(found.resources)
        )


def discard(job: Job) -> None:
    """Removes the environment that a failed deployment made; its images stay, for `resume`."""
    if job.deployment.makes_build and job.build.directory:
        shutil.rmtree(job.directory, ignore_errors=True)
        job.build.keep(directory="")
