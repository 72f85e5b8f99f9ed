"""Publishes pushed images under one tag, and moves the tag that follows what serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from hosting.builder.base import BuiltImage
from hosting.deadline import Deadline
from hosting.errors import UserError
from registry import manifest
from registry.push import Pushed
from servers import runtime_choice
from servers.deploying import pushing
from servers.deploying.pushing import Destination
from servers.models import Deployment
from servers.states import StepKind
from servers.timeline import Timeline

NO_MOVING_TAG = "none"


@dataclass(frozen=True)
class Published:
    """What a runtime can start.

    `image` is a reference by digest, or an id in this engine. `images` maps platforms to their images
    (`Build.images`). `digest` is that of the index, or of the only image; "" without a registry.
    """

    image: str
    digest: str
    images: Mapping[str, Mapping[str, str | int]]


def in_engine(built: Mapping[str, BuiltImage]) -> Published:
    """Returns what is started without a registry: the image for the engine's own platform.

    Raises `UserError` if there is none for this platform.
    """
    native = runtime_choice.native_platform()
    if native not in built:
        raise UserError(
            f"No image was built for {native}, which is what the engine here runs.",
            hint=f"Add {native} to REGISTRY_ARCH_TARGETS, or set REGISTRY so that other machines can pull.",
            kind="build",
        )
    images: dict[str, dict[str, str | int]] = {
        platform: {"reference": image.tag, "image_id": image.image_id, "size": image.size}
        for platform, image in built.items()
    }
    return Published(built[native].image_id, "", images)


def publish(
    to: Destination, pushed: Mapping[str, Pushed], deadline: Deadline, *, any_platform: bool
) -> Published:
    """Publishes the images, and returns what is started.

    If `any_platform`, the runtime's nodes choose from the index; otherwise the image for the engine's
    platform is started. Raises `UserError`.
    """
    digest = _publish(to, list(pushed.values()), deadline)
    images: dict[str, dict[str, str | int]] = {
        platform: {"reference": f"{to.endpoint}@{done.digest}", "digest": done.digest, "size": done.size}
        for platform, done in pushed.items()
    }
    native = None if any_platform else images.get(runtime_choice.native_platform())
    return Published(str(native["reference"]) if native else f"{to.endpoint}@{digest}", digest, images)


def _publish(to: Destination, pushed: Sequence[Pushed], deadline: Deadline) -> str:
    """Returns the digest under the build's tag: that of an index if there are several platforms."""
    with to.step(StepKind.PUBLISH, f"Publishing {to.target}") as step:
        digest = pushed[0].digest
        if len(pushed) > 1:
            digest = manifest.publish(
                client=to.client,
                target=to.target,
                children=pushed,
                annotations=_annotations(to.deployment),
                report=to.report,
                line=step.line,
                policy=to.policy,
                control=deadline,
            )
        step.details.update(digest=digest, tag=to.target.tag, registry_endpoint=to.endpoint)
        return digest


def _annotations(deployment: Deployment) -> dict[str, str]:
    created = deployment.created_at.replace(microsecond=0)
    source = deployment.server.source.get("url", "")
    return {
        manifest.ANNOTATION_REVISION: deployment.build.revision,
        manifest.ANNOTATION_CREATED: created.isoformat().replace("+00:00", "Z"),
        **({manifest.ANNOTATION_SOURCE: source} if source else {}),
    }


def move_tag(timeline: Timeline) -> None:
    """Moves the moving tag (REGISTRY_MOVING_TAG) to this build. A failure is only written to the log.

    Servers are started by digest, so they do not need this tag.
    """
    build, tag = timeline.deployment.build, settings.REGISTRY_MOVING_TAG
    if not (settings.REGISTRY and build.images and build.digest) or tag == NO_MOVING_TAG:
        return
    to = pushing.destination_of(timeline)
    try:
        with to.faults(f"Moving the tag {tag}"):
            manifest.move_tag(
                client=to.client,
                target=to.target.with_digest(build.digest),
                tag=tag,
                report=to.report,
                line=timeline.say,
                policy=to.policy,
            )
    except UserError as error:
        timeline.say(str(error))
