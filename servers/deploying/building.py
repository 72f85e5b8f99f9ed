"""Builds what a runtime can start: an image for each platform, or an environment for a process."""

from __future__ import annotations

import hmac
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from hosting.build_settings import BuildSettings
from hosting.builder import context as build_context
from hosting.builder import emulation, environment
from hosting.builder.base import BuiltImage, ImageBuild
from hosting.builder.context import Prepared
from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from hosting.process_group import LineSink
from hosting.sources.base import BuildContext, ExistingImage, Fetched
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise
from registry.pulls import Pulls
from servers import image_names, runtime_choice
from servers.deploying import parallel, pulls, runtimes
from servers.models import Deployment, Server
from servers.models.server import Transport
from servers.states import Mode, StepKind, StepStatus
from servers.timeline import Timeline


@dataclass(frozen=True)
class _Recipe:
    """What the builds of all platforms have in common.

    `prepared` is the build context; None if the source is an image. If `wraps`, the bridge is added to the
    image. `work` is scratch space.
    """

    deployment: Deployment
    fetched: Fetched
    prepared: Prepared | None
    wraps: bool
    work: Path


def images(
    deployment: Deployment, fetched: Fetched, work: Path, timeline: Timeline, deadline: Deadline
) -> dict[str, BuiltImage]:
    """Builds an image for each platform of REGISTRY_ARCH_TARGETS, and returns them by platform.

    Stores the platforms and the plan in the build's row. Raises `UserError`.
    """
    platforms = list(settings.REGISTRY_ARCH_TARGETS)
    deployment.build.keep(platforms=platforms)
    emulation.require(platforms, runtime_choice.engine_url())
    recipe = _recipe(deployment, fetched, work)
    return parallel.for_each(
        platforms,
        lambda platform, shared: _image(recipe, platform, timeline, shared),
        deadline=deadline,
        limit=settings.BUILDS_PARALLEL,
    )


def _recipe(deployment: Deployment, fetched: Fetched, work: Path) -> _Recipe:
    server = deployment.server
    wraps = server.transport == Transport.STDIO
    if isinstance(fetched, ExistingImage):
        return _Recipe(deployment, fetched, None, wraps, work)
    plan = _recognised(deployment, fetched, images=True)
    prepared = build_context.prepare(
        fetched,
        plan,
        work / "build",
        transport=server.transport,  # type: ignore[arg-type]
        settings=build_settings_of(server),
        bridge=runtimes.BRIDGE,
    )
    return _Recipe(deployment, fetched, prepared, wraps and plan.ecosystem == "dockerfile", work)


def _recognised(deployment: Deployment, fetched: BuildContext, *, images: bool) -> Plan:
    """Recognises the source, and stores its plan in the build's row. Raises `SourceError`."""
    choices = Choices.of(deployment.server.build, tuple(deployment.server.command))
    plan = recognise(fetched, choices, images=images)
    deployment.build.keep(plan=plan.as_json(choices))
    return plan


def _image(recipe: _Recipe, platform: str, timeline: Timeline, deadline: Deadline) -> BuiltImage:
    with timeline.step(StepKind.BUILD, platform) as step:
        deadline = deadline.within(settings.BUILD_TIMEOUT, "build")
        resumed = recipe.deployment.resumed
        if resumed and (built := _built_before(recipe, resumed, platform)):
            step.line(f"Taken over from #{resumed.number}: {built.image_id}")
            step.details.update(**_facts(built), taken_over=True)
            return built
        built = _build(recipe, platform, deadline, step.line)
        step.details.update(_facts(built))
        return built


def _facts(built: BuiltImage) -> dict[str, Any]:
    return {"tag": built.tag, "image_id": built.image_id, "size": built.size}


def _built_before(recipe: _Recipe, resumed: Deployment, platform: str) -> BuiltImage | None:
    """Returns the image that the resumed deployment built for this platform, if the engine still has it."""
    if resumed.build.revision != recipe.fetched.revision or platform == recipe.deployment.platform_anew:
        return None
    done = resumed.steps.filter(kind=StepKind.BUILD, platform=platform, status=StepStatus.SUCCEEDED).first()
    if done is None or "tag" not in done.details:
        return None
    found = runtime_choice.builder().find(done.details["tag"], platform)
    return found if found and found.image_id == done.details["image_id"] else None


def _build(recipe: _Recipe, platform: str, deadline: Deadline, line: LineSink) -> BuiltImage:
    built, tag = None, image_names.local_tag(recipe.deployment.build, platform)
    if recipe.prepared:
        allowed = pulls.of(recipe.deployment.server)
        built = _run_build(recipe, recipe.prepared, platform, tag, allowed, deadline, line)
    if recipe.wraps:
        wrapper, allowed = _wrapper(recipe, built, platform)
        built = _run_build(recipe, wrapper, platform, image_names.bridged(tag), allowed, deadline, line)
    assert built
    return built


def _run_build(
    recipe: _Recipe,
    prepared: Prepared,
    platform: str,
    tag: str,
    allowed: Pulls,
    deadline: Deadline,
    line: LineSink,
) -> BuiltImage:
    deployment = recipe.deployment
    spec = ImageBuild(
        context=prepared.context,
        dockerfile=prepared.dockerfile,
        platform=platform,
        tag=tag,
        target=prepared.target,
        arguments=prepared.arguments,
        labels={
            "mcphost.instance": settings.INSTANCE,
            "mcphost.server": str(deployment.server_id),
            "mcphost.deployment": str(deployment.pk),
            "org.opencontainers.image.revision": recipe.fetched.revision,
        },
        no_cache=deployment.mode == Mode.NO_CACHE,
        scratch=recipe.work,
        pulls=allowed,
        here=runtime_choice.native_platform(),
    )
    made_with = runtime_choice.build_settings()
    return runtime_choice.builder().build(spec, made_with, deadline=deadline, on_line=line)


def _wrapper(recipe: _Recipe, built: BuiltImage | None, platform: str) -> tuple[Prepared, Pulls]:
    """Returns a build that adds the bridge to an image, and what it may pull.

    The image was built before, or it is the source.
    """
    server, fetched = recipe.deployment.server, recipe.fetched
    if built is None:
        assert isinstance(fetched, ExistingImage)
        entrypoint, command = pulls.start_command(server, fetched.reference, platform)
        command = tuple(server.source.get("arguments", ())) or command
        base, allowed = fetched.reference, pulls.of(server)
    else:
        entrypoint, command, base = built.entrypoint, built.command, built.tag
        allowed = pulls.of_our_own(built.tag)
    if server.command:
        entrypoint, command = (), tuple(server.command)
    into = recipe.work / ("wrap-" + platform.replace("/", "-"))
    made_with = runtime_choice.build_settings()
    prepared = build_context.prepare_wrapper(
        base, entrypoint, command, into, settings=made_with, bridge=runtimes.BRIDGE
    )
    return prepared, allowed


def install(deployment: Deployment, fetched: Fetched, timeline: Timeline, deadline: Deadline) -> list[str]:
    """Installs the source into a directory, and returns the command that starts it there.

    The build's row gets the directory first, so that it can be removed after a failure. Raises `UserError`.
    """
    if isinstance(fetched, ExistingImage):
        raise RuntimeFault(
            "An image cannot run as a local process.",
            hint="Set CONTAINER_RUNTIME=docker, or the runtime of this server to docker.",
        )
    build = deployment.build
    directory = runtimes.runs_directory() / str(build.server_id) / str(build.number)
    with timeline.step(StepKind.BUILD) as step:
        plan = _recognised(deployment, fetched, images=False)
        shutil.rmtree(directory, ignore_errors=True)
        build.keep(directory=str(directory))
        deadline = deadline.within(settings.BUILD_TIMEOUT, "build")
        made_with = runtime_choice.build_settings()
        command = environment.install(
            plan, fetched, directory, settings=made_with, deadline=deadline, log=step.line
        )
        return list(command)


def discard(deployment: Deployment) -> None:
    """Removes the environment of a failed deployment. Its images stay, because `resume` can use them."""
    build = deployment.build
    if deployment.makes_build and build.directory:
        shutil.rmtree(build.directory, ignore_errors=True)
        build.keep(directory="")


def build_settings_of(server: Server) -> BuildSettings:
    """Returns the build settings with names of build caches that only this server's team can have.

    A build can write to its caches, and a Dockerfile can name any cache. So the names are derived from a
    secret.
    """
    whose = f"team {server.team_id}" if server.team_id else f"owner {server.owner_id}"
    key = hmac.digest(settings.SECRET_KEY.encode(), f"build cache of {whose}".encode(), "sha256").hex()[:24]
    return replace(runtime_choice.build_settings(), cache_key=key)
