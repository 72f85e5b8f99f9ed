"""The actions that an operator can choose. `diagnosis` carries them out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from servers.push_options import NO_OPTIONS, PushOptions
from servers.runbooks import preconditions as when
from servers.runbooks import previews
from servers.runbooks.facts import Facts
from servers.states import Mode


@dataclass(frozen=True)
class DeployRequest:
    """Arguments of `services.deploy`. `base` is the number of the deployment to start from; 0: none."""

    mode: Mode
    base: int = 0
    options: PushOptions = NO_OPTIONS


@dataclass(frozen=True)
class Remedy:
    """An action, with its texts.

    `refusal` returns why it cannot help now, or "". `request` is None for an action that is not a deployment.
    """

    name: str
    label: Callable[[Facts], str]
    does: str
    refusal: Callable[[Facts], str]
    preview: Callable[[Facts], Iterator[str]]
    request: Callable[[Facts], DeployRequest] | None
    danger: bool = False


def _resume(facts: Facts, **options: object) -> DeployRequest:
    return DeployRequest(Mode.RESUME, facts.number, PushOptions(**options))  # type: ignore[arg-type]


def _with_revision(mode: Mode) -> Callable[[Facts], DeployRequest]:
    return lambda facts: DeployRequest(mode, previews.with_revision(facts))


_ALL = (
    Remedy(
        name="refresh-credentials",
        label=lambda facts: "Refresh credentials and push again",
        does="renews the registry's credentials, then resumes",
        refusal=when.can_push,
        preview=previews.refresh,
        request=lambda facts: _resume(facts, refresh_credentials=True),
    ),
    Remedy(
        name="resume",
        label=lambda facts: "Resume",
        does="goes on where it failed, with what was built and what arrived",
        refusal=when.can_go_on,
        preview=previews.resume,
        request=_resume,
    ),
    Remedy(
        name="retry-platform",
        label=lambda facts: f"Retry {facts.failed_platform or 'the platform'}",
        does="builds and pushes the platform that failed anew, and takes the others over",
        refusal=when.can_retry_platform,
        preview=previews.retry,
        request=lambda facts: _resume(facts, platform_anew=facts.failed_platform),
    ),
    Remedy(
        name="raise-retries",
        label=lambda facts: "Push again with more attempts",
        does="resumes with twice the attempts, in that one deployment",
        refusal=when.can_raise,
        preview=previews.more_attempts,
        request=lambda facts: _resume(facts, push_retries=previews.raised_retries(facts)),
    ),
    Remedy(
        name="redeploy",
        label=lambda facts: "Deploy the newest source",
        does="fetches the source again and builds it",
        refusal=when.possible,
        preview=previews.redeploy,
        request=lambda facts: DeployRequest(Mode.LATEST),
    ),
    Remedy(
        name="rebuild",
        label=lambda facts: "Rebuild",
        does="builds the same revision again",
        refusal=when.can_rebuild,
        preview=previews.rebuild,
        request=_with_revision(Mode.REBUILD),
    ),
    Remedy(
        name="no-cache",
        label=lambda facts: "Rebuild without cache",
        does="builds the same revision again, every layer anew",
        refusal=when.can_rebuild,
        preview=previews.no_cache,
        request=_with_revision(Mode.NO_CACHE),
    ),
    Remedy(
        name="roll-back",
        label=lambda facts: f"Roll back to #{facts.good}" if facts.good else "Roll back",
        does="starts what the newest good deployment built",
        refusal=when.can_roll_back,
        preview=previews.roll_back,
        request=lambda facts: DeployRequest(Mode.SAME_DIGEST, facts.good),
    ),
    Remedy(
        name="restart",
        label=lambda facts: "Restart",
        does="starts the same digest again",
        refusal=when.can_restart,
        preview=previews.restart,
        request=lambda facts: DeployRequest(Mode.SAME_DIGEST),
    ),
    Remedy(
        name="approve",
        label=lambda facts: "Approve",
        does="serves what the schema gate holds",
        refusal=when.can_decide,
        preview=previews.approve,
        request=None,
    ),
    Remedy(
        name="decline",
        label=lambda facts: "Decline",
        does="gives up what the schema gate holds; what serves goes on",
        refusal=when.can_decide,
        preview=previews.decline,
        request=None,
        danger=True,
    ),
    Remedy(
        name="stop",
        label=lambda facts: "Stop",
        does="gives up on it for now: nothing serves, nothing is tried",
        refusal=when.can_stop,
        preview=previews.stop,
        request=None,
        danger=True,
    ),
)
REMEDIES: dict[str, Remedy] = {remedy.name: remedy for remedy in _ALL}
