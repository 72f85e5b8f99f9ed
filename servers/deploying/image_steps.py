"""From a build context to an image that a runtime can start: build, push and publish for every platform."""

from __future__ import annotations

from django.conf import settings

from hosting.builder import context as build_context
from hosting.builder import emulation
from hosting.builder.base import BuiltImage, ImageBuild
from hosting.builder.context import Prepared
from hosting.deadline import Deadline
from hosting.errors import UserError
from hosting.process_group import LineSink
from hosting.sources.base import BuildContext, ExistingImage, Fetched
from hosting.sources.plan import Plan
from registry.pulls import Pulls
from servers import runtime_choice
from servers.deploying import delivery, parallel, wiring
from servers.deploying.job import Job
from servers.models import Build
from servers.models.server import Transport
from servers.states import Mode, StepKind, StepStatus


def make(job: Job, fetched: Fetched) -> None:
    """Leaves in the build's row what the runtime starts: `image`, `images` by platform, `digest`."""
    if isinstance(fetched, ExistingImage) and job.server.transport == Transport.HTTP:
        command = job.server.command or job.server.source.get("arguments", [])
        job.build.keep(image=fetched.reference, digest=fetched.digest, command=list(command))
        return
    platforms = list(settings.REGISTRY_ARCH_TARGETS)
    job.build.keep(platforms=platforms)
    built = _build_all(job, fetched, platforms)
    if settings.REGISTRY:
        delivery.deliver(job, built)
    else:
        images = {p: {"reference": b.tag, "image_id": b.image_id, "size": b.size} for p, b in built.items()}
        job.build.keep(images=images, image=_native(built).image_id)


def _build_all(job: Job, fetched: Fetched, platforms: list[str]) -> dict[str, BuiltImage]:
    emulation.require(platforms, runtime_choice.engine_url())
    plan = None if isinstance(fetched, ExistingImage) else job.recognised(fetched, images=True)
    prepared = _prepared(job, fetched, plan)

    def build(platform: str, deadline: Deadline) -> BuiltImage:
        return _build(job, fetched, plan, prepared, platform, deadline)

    return parallel.for_each(platforms, build, deadline=job.deadline, limit=settings.BUILDS_PARALLEL)


def _prepared(job: Job, fetched: Fetched, plan: Plan | None) -> Prepared | None:
    if plan is None or not isinstance(fetched, BuildContext):
        return None
    return build_context.prepare(
        fetched,
        plan,
        job.work / "build",
        transport=job.server.transport,  # type: ignore[arg-type]
        settings=wiring.build_settings_of(job.server),
        bridge=wiring.BRIDGE,
    )


def _build(
    job: Job,
    fetched: Fetched,
    plan: Plan | None,
    prepared: Prepared | None,
    platform: str,
    deadline: Deadline,
) -> BuiltImage:
    wraps = job.server.transport == Transport.STDIO and (plan is None or plan.ecosystem == "dockerfile")
    with job.timeline.step(StepKind.BUILD, platform) as step:
        deadline = deadline.within(settings.BUILD_TIMEOUT, "build")
        if built := _built_before(job, platform):
            step.line(f"Taken over from #{job.base_number}: {built.image_id}")
            step.details.update(tag=built.tag, image_id=built.image_id, size=built.size, taken_over=True)
            return built
        if prepared:
            built = _run_build(job, prepared, platform, deadline, step.line, wiring.pulls_of(job.server))
        if wraps:
            built = _wrap(job, fetched, built, platform, deadline, step.line)
        assert built
        step.details.update(tag=built.tag, image_id=built.image_id, size=built.size)
        return built


def _built_before(job: Job, platform: str) -> BuiltImage | None:
    """What the deployment that is resumed built for this platform, if the engine still has it."""
    base = job.deployment.based_on
    if job.deployment.mode != Mode.RESUME or base is None or base.build.revision != job.build.revision:
        return None
    if platform == job.deployment.platform_anew:
        return None
    done = base.steps.filter(kind=StepKind.BUILD, platform=platform, status=StepStatus.SUCCEEDED).first()
    if done is None or "tag" not in done.details:
        return None
    found = runtime_choice.builder().find(done.details["tag"], platform)
    return found if found and found.image_id == done.details["image_id"] else None


def _run_build(
    job: Job,
    prepared: Prepared,
    platform: str,
    deadline: Deadline,
    line: LineSink,
    pulls: Pulls,
    suffix: str = "",
) -> BuiltImage:
    spec = ImageBuild(
        context=prepared.context,
        dockerfile=prepared.dockerfile,
        platform=platform,
        tag=local_tag(job.build, platform) + suffix,
        target=prepared.target,
        arguments=prepared.arguments,
        labels={
            "mcphost.instance": settings.INSTANCE,
            "mcphost.server": str(job.server.pk),
            "mcphost.deployment": str(job.deployment.pk),
            "org.opencontainers.image.revision": job.build.revision,
        },
        no_cache=job.deployment.mode == Mode.NO_CACHE,
        scratch=job.work,
        pulls=pulls,
        here=wiring.native_platform(),
    )
    return runtime_choice.builder().build(spec, wiring.build_settings(), deadline=deadline, on_line=line)


def _wrap(
    job: Job, fetched: Fetched, built: BuiltImage | None, platform: str, deadline: Deadline, line: LineSink
) -> BuiltImage:
    """An image that speaks stdio gets the bridge around it."""
    if built is None:
        assert isinstance(fetched, ExistingImage)
        entrypoint, command = wiring.start_command(job.server, fetched.reference, platform)
        command = tuple(job.server.source.get("arguments", ())) or command
        base, pulls = fetched.reference, wiring.pulls_of(job.server)
    else:
        entrypoint, command, base = built.entrypoint, built.command, built.tag
        pulls = wiring.pulls_of_our_own(built.tag)
    if job.server.command:
        entrypoint, command = (), tuple(job.server.command)
    into = job.work / ("wrap-" + platform.replace("/", "-"))
    prepared = build_context.prepare_wrapper(
        base, entrypoint, command, into, settings=wiring.build_settings(), bridge=wiring.BRIDGE
    )
    return _run_build(job, prepared, platform, deadline, line, pulls, "-bridged")


def _native(built: dict[str, BuiltImage]) -> BuiltImage:
    """The one that the engine here can start."""
    native = wiring.native_platform()
    if native not in built:
        raise UserError(
            f"No image was built for {native}, which is what the engine here runs.",
            hint=f"Add {native} to REGISTRY_ARCH_TARGETS, or set REGISTRY so that other machines can pull.",
            kind="build",
        )
    return built[native]


def local_tag(build: Build, platform: str) -> str:
    return f"mcphost/{build.server.slug}:{build.number}-{platform.replace('/', '-')}"


def remove_local_images(build: Build) -> None:
    """Takes our tags off the engine; layers that nothing else uses go with them."""
    tags = [local_tag(build, p) + suffix for p in build.platforms for suffix in ("-bridged", "")]
    for tag in [*tags, *map(str, delivery.tags_of(build))]:
        runtime_choice.builder().remove(tag)
