"""From a build context to an image that a runtime can start: build, push and publish for every platform."""

from __future__ import annotations

import re

from django.conf import settings

from registry import manifest, push
from registry.push import Pushed
from registry.reference import Reference
from registry.retry import PushPolicy
from servers import parallel, push_report, wiring
from servers.builder import context as build_context
from servers.builder import emulation
from servers.builder.base import BuiltImage, ImageBuild
from servers.builder.context import Prepared
from servers.errors import UserError
from servers.job import Job
from servers.leash import Leash
from servers.models import Deployment
from servers.models.server import Transport
from servers.process_group import LineSink
from servers.sources.base import BuildContext, ExistingImage, Fetched, Recipe
from servers.sources.recognise import recognise
from servers.states import Mode, StepKind


def make(job: Job, fetched: Fetched) -> None:
    """Leaves in the row what the runtime starts: `image`, `images` by platform, `digest`."""
    if isinstance(fetched, ExistingImage) and job.server.transport == Transport.HTTP:
        job.keep(image=fetched.reference, digest=fetched.digest, command=list(job.server.command))
        return
    platforms = list(settings.REGISTRY_ARCH_TARGETS)
    job.keep(platforms=platforms)
    built = _build_all(job, fetched, platforms)
    if settings.REGISTRY:
        _deliver(job, built, platforms)
    else:
        images = {p: {"reference": b.tag, "image_id": b.image_id, "size": b.size} for p, b in built.items()}
        job.keep(images=images, image=_native(built).image_id)


def _build_all(job: Job, fetched: Fetched, platforms: list[str]) -> dict[str, BuiltImage]:
    emulation.require(platforms, wiring.engine_url())
    recipe = _recipe(job, fetched)
    prepared = _prepared(job, fetched, recipe)

    def build(platform: str, leash: Leash) -> BuiltImage:
        return _build(job, fetched, recipe, prepared, platform, leash)

    return parallel.for_each(platforms, build, leash=job.leash, limit=settings.BUILDS_PARALLEL)


def _recipe(job: Job, fetched: Fetched) -> Recipe | None:
    if isinstance(fetched, ExistingImage):
        return None
    command = tuple(job.server.command) or fetched.command
    return recognise(fetched, command=command, images=True)


def _prepared(job: Job, fetched: Fetched, recipe: Recipe | None) -> Prepared | None:
    if recipe is None or not isinstance(fetched, BuildContext):
        return None
    return build_context.prepare(
        fetched,
        recipe,
        job.work / "build",
        transport=job.server.transport,  # type: ignore[arg-type]
        settings=wiring.build_settings(),
        bridge=wiring.BRIDGE,
    )


def _build(
    job: Job, fetched: Fetched, recipe: Recipe | None, prepared: Prepared | None, platform: str, leash: Leash
) -> BuiltImage:
    wraps = job.server.transport == Transport.STDIO and (recipe is None or recipe.kind == "dockerfile")
    with job.timeline.step(StepKind.BUILD, platform) as step:
        leash = leash.within(settings.BUILD_TIMEOUT, "build")
        built: BuiltImage | None = None
        if prepared:
            built = _run_build(job, prepared, platform, leash, step.line)
        if wraps:
            built = _wrap(job, fetched, built, platform, leash, step.line)
        assert built
        step.details.update(image_id=built.image_id, size=built.size)
        return built


def _run_build(
    job: Job, prepared: Prepared, platform: str, leash: Leash, line: LineSink, suffix: str = ""
) -> BuiltImage:
    spec = ImageBuild(
        context=prepared.context,
        dockerfile=prepared.dockerfile,
        platform=platform,
        tag=local_tag(job.deployment, platform) + suffix,
        labels={
            "mcphost.instance": settings.INSTANCE,
            "mcphost.server": str(job.server.pk),
            "mcphost.deployment": str(job.deployment.pk),
            "org.opencontainers.image.revision": job.deployment.revision,
        },
        no_cache=job.deployment.mode == Mode.NO_CACHE,
    )
    return wiring.builder().build(spec, wiring.build_settings(), leash=leash, on_line=line)


def _wrap(
    job: Job, fetched: Fetched, built: BuiltImage | None, platform: str, leash: Leash, line: LineSink
) -> BuiltImage:
    """An image that speaks stdio gets the bridge around it."""
    if built is None:
        assert isinstance(fetched, ExistingImage)
        entrypoint, command = wiring.start_command(fetched.reference, platform)
        base = fetched.reference
    else:
        entrypoint, command, base = built.entrypoint, built.command, built.tag
    if job.server.command:
        entrypoint, command = (), tuple(job.server.command)
    into = job.work / ("wrap-" + platform.replace("/", "-"))
    prepared = build_context.prepare_wrapper(base, entrypoint, command, into, bridge=wiring.BRIDGE)
    return _run_build(job, prepared, platform, leash, line, "-bridged")


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


def _deliver(job: Job, built: dict[str, BuiltImage], platforms: list[str]) -> None:
    target = target_of(job.deployment)
    pushed = parallel.for_each(
        platforms,
        lambda platform, leash: _push(job, built[platform], target, leash),
        leash=job.leash,
        limit=len(platforms),
    )
    images = {
        p: {"reference": f"{target.endpoint}@{done.digest}", "digest": done.digest, "size": done.size}
        for p, done in pushed.items()
    }
    digest = _publish(job, target, list(pushed.values())) if len(pushed) > 1 else pushed[platforms[0]].digest
    native = images.get(wiring.native_platform())
    image = native["reference"] if native else f"{target.endpoint}@{digest}"
    job.keep(images=images, digest=digest, image=image)


def _push(job: Job, built: BuiltImage, target: Reference, leash: Leash) -> Pushed:
    with job.timeline.step(StepKind.PUSH, built.platform) as step, wiring.registry_faults():
        done = push.push_image(
            engine_url=wiring.engine_url(),
            image=built.tag,
            target=_target_for(job.deployment, target, built.platform),
            platform=built.platform,
            client=wiring.registry_client(target.host),
            policy=PushPolicy(
                attempts=settings.REGISTRY_PUSH_RETRIES, deadline=settings.REGISTRY_PUSH_TIMEOUT
            ),
            report=push_report.reporter(job.server.pk, job.deployment.pk, target),
            line=step.line,
            control=leash,
        )
        step.details.update(digest=done.digest, size=done.size, registry_endpoint=target.endpoint)
        return done


def _publish(job: Job, target: Reference, pushed: list[Pushed]) -> str:
    with job.timeline.step(StepKind.PUBLISH) as step, wiring.registry_faults():
        digest = manifest.publish(
            client=wiring.registry_client(target.host),
            target=target,
            children=pushed,
            annotations={manifest.ANNOTATION_REVISION: job.deployment.revision},
            report=push_report.reporter(job.server.pk, job.deployment.pk, target),
            line=step.line,
            control=job.leash,
        )
        step.details.update(digest=digest, tag=target.tag, registry_endpoint=target.endpoint)
        return digest


def local_tag(deployment: Deployment, platform: str) -> str:
    return f"mcphost/{deployment.server.slug}:{deployment.number}-{platform.replace('/', '-')}"


def remove_local_images(deployment: Deployment) -> None:
    """Takes our tags off the engine; layers that nothing else uses go with them."""
    tags = [local_tag(deployment, p) + suffix for p in deployment.platforms for suffix in ("-bridged", "")]
    for tag in [*tags, *_registry_tags(deployment)]:
        wiring.builder().remove(tag)


def _registry_tags(deployment: Deployment) -> list[str]:
    if not settings.REGISTRY or not deployment.revision:
        return []
    target = target_of(deployment)
    return [str(_target_for(deployment, target, platform)) for platform in deployment.platforms]


def target_of(deployment: Deployment) -> Reference:
    """The immutable tag of a deployment: `<number>-<short revision>`."""
    return wiring.target_of(deployment.server, f"{deployment.number}-{tag_text(deployment.short_revision)}")


def _target_for(deployment: Deployment, target: Reference, platform: str) -> Reference:
    """With several platforms each has a tag of its own, and the index has the deployment's."""
    return target.for_platform(platform) if len(deployment.platforms) > 1 else target


def tag_text(revision: str) -> str:
    """A revision such as `name==1.2` in the characters that a tag may have (distribution spec)."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", revision).strip("-.") or "latest"
