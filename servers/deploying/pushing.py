"""Pushes images from the engine to the registry, after a check of the credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from hosting.builder.base import BuiltImage
from hosting.deadline import Deadline
from hosting.process_group import LineSink
from registry import health, manifest, push
from registry.client import RegistryClient
from registry.errors import RegistryError
from registry.events import Report
from registry.health import AuthHealth, HealthPolicy
from registry.push import Pushed
from registry.reference import Reference
from registry.retry import PushPolicy
from servers import image_names, runtime_choice
from servers.deploying import parallel, pull_secret, push_report, registries
from servers.models import Deployment
from servers.states import StepKind, StepStatus
from servers.timeline import StepInProgress, Timeline


@dataclass(frozen=True)
class Destination:
    """Where the images of a build are pushed, with the client for that registry.

    `target` is the build's own tag. `report` is the callback for events of the registry library.
    """

    timeline: Timeline
    target: Reference
    client: RegistryClient
    policy: PushPolicy
    report: Report

    @property
    def deployment(self) -> Deployment:
        return self.timeline.deployment

    @property
    def endpoint(self) -> str:
        """The repository: `host/path`, without a tag."""
        return self.target.endpoint

    @contextmanager
    def step(self, kind: StepKind, doing: str, platform: str = "") -> Iterator[StepInProgress]:
        """Runs the block as a step, and translates errors of the registry library into `UserError`."""
        with self.timeline.step(kind, platform) as step, self.faults(doing):
            yield step

    def faults(self, doing: str) -> AbstractContextManager[None]:
        """Translates errors of the registry library into `UserError`; `doing` names the work in them."""
        return registries.faults(doing, self.target, self.deployment.server.slug)


def destination_of(timeline: Timeline) -> Destination:
    """Returns the destination of the deployment's build."""
    deployment = timeline.deployment
    target = image_names.target_of(deployment.build)
    attempts = deployment.push_retries or settings.REGISTRY_PUSH_RETRIES
    report = push_report.reporter(
        deployment.server_id,
        deployment.pk,
        target,
        on_refresh=lambda: pull_secret.renew(timeline, target),  # nodes need the renewed credential too
    )
    policy = PushPolicy(attempts=attempts, deadline=settings.REGISTRY_PUSH_TIMEOUT)
    return Destination(timeline, target, registries.client(target.host), policy, report)


def push_all(to: Destination, built: Mapping[str, BuiltImage], deadline: Deadline) -> dict[str, Pushed]:
    """Pushes each platform's image, and returns what the registry holds of each. Raises `UserError`.

    With several platforms, each has a tag of its own; `publishing.publish` sets the build's tag.
    """
    _look_at_credentials(to)
    return parallel.for_each(
        list(built),
        lambda platform, shared: _push(to, built[platform], shared),
        deadline=deadline,
        limit=len(built),
    )


def _look_at_credentials(to: Destination) -> None:
    """Checks the credentials, and renews them if they end soon or a person asked for it.

    The deployment fails only if a refresh that a person asked for fails.
    """
    with to.step(StepKind.CREDENTIALS, f"Renewing the credentials of {to.target.host}") as step:
        found = _check_credentials(to, step.line, renew=to.deployment.refresh_credentials)
        known = {"status": found.status, "source": found.source, "seconds": found.seconds}
        step.details.update({key: value for key, value in known.items() if value is not None})


def _check_credentials(to: Destination, line: LineSink, *, renew: bool) -> AuthHealth:
    policy = HealthPolicy(
        lead=settings.REGISTRY_AUTH_LEAD_SECONDS, max_age=settings.REGISTRY_AUTH_MAX_AGE_SECONDS
    )
    return health.check(
        client=to.client,
        target=to.target,
        policy=policy,
        report=to.report,
        line=line,
        retry_limit=to.policy.attempts,
        renew=renew,
    )


def _push(to: Destination, built: BuiltImage, deadline: Deadline) -> Pushed:
    doing = f"The push to {to.endpoint} ({built.platform})"
    with to.step(StepKind.PUSH, doing, built.platform) as step:
        step.expect(built.size)
        target = image_names.target_for(to.deployment.build, built.platform)
        resumed = to.deployment.resumed
        if resumed and (done := _pushed_before(to, built, resumed)):
            _tag_again(to, done, target, step.line, deadline)
            step.line(f"Taken over from #{resumed.number}: the registry holds {done.digest}")
            step.details.update(taken_over=True, **_facts(to, done))
            return done
        done = push.push_image(
            engine_url=runtime_choice.engine_url(),
            image=built.tag,
            target=target,
            platform=built.platform,
            client=to.client,
            policy=to.policy,
            report=to.report,
            line=step.line,
            control=deadline,
            progress=step.progress,
        )
        step.details.update(_facts(to, done))
        return done


def _facts(to: Destination, done: Pushed) -> dict[str, Any]:
    return {"digest": done.digest, "manifest_size": done.size, "registry_endpoint": to.endpoint}


def _pushed_before(to: Destination, built: BuiltImage, resumed: Deployment) -> Pushed | None:
    """Returns what the resumed deployment pushed of this image, if the registry still holds it."""
    done = resumed.steps.filter(platform=built.platform, status=StepStatus.SUCCEEDED)
    details = dict(done.values_list("kind", "details"))
    build, pushed = details.get(StepKind.BUILD, {}), details.get(StepKind.PUSH, {})
    if build.get("image_id") != built.image_id or pushed.get("registry_endpoint") != to.endpoint:
        return None
    return _held(to, pushed["digest"], built.platform)


def _held(to: Destination, digest: str, platform: str) -> Pushed | None:
    try:
        found = to.client.head_manifest(to.target.with_digest(digest))
    except RegistryError:  # the push that follows meets the same error and reports it better
        return None
    return Pushed(platform, found.digest, found.size, found.media_type)


def _tag_again(to: Destination, done: Pushed, target: Reference, line: LineSink, deadline: Deadline) -> None:
    manifest.move_tag(
        client=to.client,
        target=to.target.with_digest(done.digest),
        tag=target.tag,
        report=to.report,
        line=line,
        policy=to.policy,
        control=deadline,
    )
