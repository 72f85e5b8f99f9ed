"""From the engine to a registry: credentials looked at, each platform pushed, one index published."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from hosting.builder.base import BuiltImage
from hosting.deadline import Deadline
from hosting.errors import UserError
from hosting.process_group import LineSink
from registry import health, manifest, prune, push
from registry.errors import RegistryError
from registry.events import Report, Stopwatch
from registry.health import AuthHealth, HealthPolicy
from registry.push import Pushed
from registry.reference import Reference
from registry.retry import PushPolicy
from servers import image_names, runtime_choice
from servers.deploying import parallel, pull_secret, push_report, wiring
from servers.deploying.job import Job
from servers.models import Build, Deployment, Server
from servers.states import Mode, StepKind, StepStatus
from servers.timeline import Timeline

NO_MOVING_TAG = "none"


def deliver(job: Job, built: Mapping[str, BuiltImage]) -> None:
    """Pushes every platform, then publishes; nothing stands under the deployment's tag before that."""
    target, platforms = target_of(job.build), job.build.platforms
    _look_at_credentials(job, target)
    pushed = parallel.for_each(
        platforms,
        lambda platform, deadline: _push(job, built[platform], target, deadline),
        deadline=job.deadline,
        limit=len(platforms),
    )
    digest = _publish(job, target, list(pushed.values()))
    images = {platform: _facts(target, done) for platform, done in pushed.items()}
    job.build.keep(images=images, digest=digest, image=_to_start(job, images, f"{target.endpoint}@{digest}"))


def _to_start(job: Job, images: Mapping[str, Mapping[str, Any]], published: str) -> str:
    """One platform's image for the engine here; all of them where each node takes its own."""
    native = None if job.runtime.any_platform else images.get(wiring.native_platform())
    return str(native["reference"]) if native else published


def _facts(target: Reference, done: Pushed) -> dict[str, str | int]:
    return {"reference": f"{target.endpoint}@{done.digest}", "digest": done.digest, "size": done.size}


def _look_at_credentials(job: Job, target: Reference) -> None:
    """A refresh that was asked for and fails ends the deployment; one ahead of time only shows."""
    wanted = job.deployment.refresh_credentials
    faults = wiring.registry_faults(f"Renewing the credentials of {target.host}", target, job.server.slug)
    with job.timeline.step(StepKind.CREDENTIALS) as step, faults:
        found = _check_credentials(job, target, step.line, renew=wanted)
        known = {"status": found.status, "source": found.source, "seconds": found.seconds}
        step.details.update({key: value for key, value in known.items() if value is not None})


def _check_credentials(job: Job, target: Reference, line: LineSink, *, renew: bool) -> AuthHealth:
    policy = HealthPolicy(
        lead=settings.REGISTRY_AUTH_LEAD_SECONDS, max_age=settings.REGISTRY_AUTH_MAX_AGE_SECONDS
    )
    return health.check(
        client=wiring.registry_client(target.host),
        target=target,
        policy=policy,
        report=_reporter(job.timeline, target),
        line=line,
        retry_limit=_policy(job.deployment).attempts,
        renew=renew,
    )


def _push(job: Job, built: BuiltImage, target: Reference, deadline: Deadline) -> Pushed:
    doing = f"The push to {target.endpoint} ({built.platform})"
    faults = wiring.registry_faults(doing, target, job.server.slug)
    with job.timeline.step(StepKind.PUSH, built.platform) as step, faults:
        step.expect(built.size)
        if done := _pushed_before(job, built, target):
            _tag_again(job, done, target, step.line)
            step.details.update(taken_over=True, **_pushed_facts(done, target))
            return done
        done = push.push_image(
            engine_url=runtime_choice.engine_url(),
            image=built.tag,
            target=_target_for(job.build, target, built.platform),
            platform=built.platform,
            client=wiring.registry_client(target.host),
            policy=_policy(job.deployment),
            report=_reporter(job.timeline, target),
            line=step.line,
            control=deadline,
            progress=step.progress,
        )
        step.details.update(_pushed_facts(done, target))
        return done


def _pushed_facts(done: Pushed, target: Reference) -> dict[str, Any]:
    return {"digest": done.digest, "manifest_size": done.size, "registry_endpoint": target.endpoint}


def _pushed_before(job: Job, built: BuiltImage, target: Reference) -> Pushed | None:
    """What the deployment that is resumed pushed of this very image, if the registry still holds it."""
    base = job.deployment.based_on
    if job.deployment.mode != Mode.RESUME or base is None:
        return None
    done = base.steps.filter(platform=built.platform, status=StepStatus.SUCCEEDED)
    details = dict(done.values_list("kind", "details"))
    build, pushed = details.get(StepKind.BUILD, {}), details.get(StepKind.PUSH, {})
    if build.get("image_id") != built.image_id or pushed.get("registry_endpoint") != target.endpoint:
        return None
    return _held(target.with_digest(pushed["digest"]), built.platform)


def _held(ref: Reference, platform: str) -> Pushed | None:
    try:
        found = wiring.registry_client(ref.host).head_manifest(ref)
    except RegistryError:  # whatever it is, the push that follows meets it too and tells it better
        return None
    return Pushed(platform, found.digest, found.size, found.media_type)


def _tag_again(job: Job, done: Pushed, target: Reference, line: LineSink) -> None:
    manifest.move_tag(
        client=wiring.registry_client(target.host),
        target=target.with_digest(done.digest),
        tag=_target_for(job.build, target, done.platform).tag,
        report=_reporter(job.timeline, target),
        line=line,
        policy=_policy(job.deployment),
        control=job.deadline,
    )
    line(f"Taken over from #{job.base_number}: the registry holds {done.digest}")


def _publish(job: Job, target: Reference, pushed: list[Pushed]) -> str:
    """The digest under the deployment's tag: an index where there are several platforms, else the image."""
    client, single = wiring.registry_client(target.host), pushed[0].digest
    faults = wiring.registry_faults(f"Publishing {target}", target, job.server.slug)
    with job.timeline.step(StepKind.PUBLISH) as step, faults:
        digest = single
        if len(pushed) > 1:
            digest = manifest.publish(
                client=client,
                target=target,
                children=pushed,
                annotations=_annotations(job),
                report=_reporter(job.timeline, target),
                line=step.line,
                policy=_policy(job.deployment),
                control=job.deadline,
            )
        step.details.update(digest=digest, tag=target.tag, registry_endpoint=target.endpoint)
        return digest


def move_tag(timeline: Timeline) -> None:
    """Puts the moving tag on what serves now. A failure fails nothing: servers start by digest; it shows."""
    deployment, build, say = timeline.deployment, timeline.deployment.build, timeline.say
    tag = settings.REGISTRY_MOVING_TAG
    if not (settings.REGISTRY and build.images and build.digest) or tag == NO_MOVING_TAG:
        return
    target = target_of(build).with_digest(build.digest)
    try:
        with wiring.registry_faults(f"Moving the tag {tag}", target, deployment.server.slug):
            manifest.move_tag(
                client=wiring.registry_client(target.host),
                target=target,
                tag=tag,
                report=_reporter(timeline, target),
                line=say,
                policy=_policy(deployment),
            )
    except UserError as error:
        say(str(error))


def _policy(deployment: Deployment) -> PushPolicy:
    attempts = deployment.push_retries or settings.REGISTRY_PUSH_RETRIES
    return PushPolicy(attempts=attempts, deadline=settings.REGISTRY_PUSH_TIMEOUT)


def _annotations(job: Job) -> dict[str, str]:
    created = job.deployment.created_at.replace(microsecond=0)
    source = job.server.source.get("url", "")
    return {
        manifest.ANNOTATION_REVISION: job.build.revision,
        manifest.ANNOTATION_CREATED: created.isoformat().replace("+00:00", "Z"),
        **({manifest.ANNOTATION_SOURCE: source} if source else {}),
    }


def _reporter(timeline: Timeline, target: Reference) -> Report:
    """Tells what the registry library does, and lets the nodes' secret follow a renewed credential."""
    deployment = timeline.deployment
    return push_report.reporter(
        deployment.server_id,
        deployment.pk,
        target,
        on_refresh=lambda: _renew_pull_secret(timeline, target),
    )


def hand_on_credentials(timeline: Timeline, image: str) -> None:
    """Ahead of a start, to nodes that pull for themselves: whoever renewed the file, and even where nothing
    was pushed. One request where nothing differs.
    """
    _renew_pull_secret(timeline, Reference.parse(image), tell_unchanged=False)


def _renew_pull_secret(timeline: Timeline, ref: Reference, *, tell_unchanged: bool = True) -> None:
    """A failure here never fails the deployment; it shows."""
    if not (settings.K8S_REGISTRY_SECRET_NAME and settings.REGISTRY_AUTH_DOCKERCONFIG):
        return
    about = {"secret": settings.K8S_REGISTRY_SECRET_NAME, "namespace": settings.K8S_NAMESPACE}
    watch = Stopwatch()
    try:
        changed = pull_secret.patch(
            name=settings.K8S_REGISTRY_SECRET_NAME,
            namespace=settings.K8S_NAMESPACE,
            context=settings.K8S_CONTEXT,
            config_path=settings.REGISTRY_AUTH_DOCKERCONFIG,
            logins=_login(ref),
        )
    except UserError as error:
        failure = {**about, "error": str(error), "error_kind": error.kind, "duration_ms": watch.ms()}
        timeline.event("pull_secret_failed", failure)
        timeline.say(f"The pull secret was not renewed: {error}")
        return
    if changed or tell_unchanged:
        timeline.event("pull_secret_patched", {**about, "changed": changed, "duration_ms": watch.ms()})


def _login(ref: Reference) -> dict[str, Any]:
    try:
        return pull_secret.login_of(wiring.credentials().for_host(ref.host, ref.repository), ref.host)
    except RegistryError:  # a push or a pull tells better; what is in the file goes to the nodes all the same
        return {}


def target_of(build: Build) -> Reference:
    """The immutable tag of a build: `<number>-<short revision>`."""
    return image_names.reference(build.server, f"{build.number}-{_tag_text(build.short_revision)}")


def tags_of(build: Build) -> list[Reference]:
    """Every tag that the pushes of a build may have made."""
    if not settings.REGISTRY or not build.revision or not build.platforms:
        return []
    target = target_of(build)
    several = [_target_for(build, target, platform) for platform in build.platforms]
    return list(dict.fromkeys([target, *several]))


def forget(server: Server, builds: Sequence[Build]) -> None:
    """Removes the tags of these builds where the registry allows it; what the others pushed stays."""
    tags = [tag for build in builds for tag in tags_of(build)]
    if not tags:
        return
    kept = server.builds.startable().exclude(pk__in=[build.pk for build in builds])
    with wiring.registry_faults(f"Pruning {tags[0].endpoint}", tags[0]):
        prune.prune(
            client=wiring.registry_client(tags[0].host),
            repository=tags[0],
            tags=[tag.tag for tag in tags],
            keep={digest for build in kept for digest in _digests_of(build)},
            line=push_report.note,
        )


def _digests_of(build: Build) -> set[str]:
    return {build.digest, *(image.get("digest", "") for image in build.images.values())} - {""}


def _target_for(build: Build, target: Reference, platform: str) -> Reference:
    """With several platforms each has a tag of its own, and the index has the build's."""
    return target.for_platform(platform) if len(build.platforms) > 1 else target


def _tag_text(revision: str) -> str:
    """A revision such as `name==1.2` in the characters that a tag may have (distribution spec)."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", revision).strip("-.") or "latest"
