"""Functions that yield what a remedy will do, a sentence each. Pure.

Images are said to be taken over as far as the rows know. Whether the engine and the registry still hold them
is found out by the deployment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from servers.push_options import MOST_ATTEMPTS
from servers.runbooks.facts import Facts
from servers.states import DeploymentStatus, StepKind


def resume(facts: Facts) -> Iterator[str]:
    yield f"A new deployment goes on where #{facts.number} failed, at revision {facts.revision[:12]}."
    if facts.can_start_again:
        yield "What was built is started; nothing is built or pushed."
    else:
        yield from (_of_platform(facts, platform) for platform in facts.platforms)
    yield from _beside(facts)


def _of_platform(facts: Facts, platform: str, anew: str = "") -> str:
    if platform == anew:
        return f"{platform} is built and pushed anew."
    if platform in facts.succeeded(StepKind.PUSH):
        return f"{platform} is taken over: the registry has it."
    if platform in facts.succeeded(StepKind.BUILD):
        return f"{platform} is pushed: what was built is taken over."
    return f"{platform} is built and pushed."


def refresh(facts: Facts) -> Iterator[str]:
    how = (
        "REGISTRY_REFRESH_COMMAND is run" if facts.has_refresh_command else "The file or helper is read again"
    )
    yield f"{how} once, and the registry is asked whether it takes the result. If not, it ends there."
    yield from resume(facts)


def retry(facts: Facts) -> Iterator[str]:
    yield f"A new deployment goes on where #{facts.number} failed, at revision {facts.revision[:12]}."
    yield from (_of_platform(facts, platform, facts.failed_platform) for platform in facts.platforms)
    yield from _beside(facts)


def more_attempts(facts: Facts) -> Iterator[str]:
    raised = raised_retries(facts)
    yield f"Each push has {raised} attempts instead of {facts.retry_limit}, in this one deployment."
    yield from resume(facts)


def redeploy(facts: Facts) -> Iterator[str]:
    yield "The source is fetched again, and its newest state is built."
    yield from _beside(facts)


def rebuild(facts: Facts) -> Iterator[str]:
    yield f"The revision of #{with_revision(facts)} is built again, for every platform."
    yield from _beside(facts)


def no_cache(facts: Facts) -> Iterator[str]:
    yield f"The revision of #{with_revision(facts)} is built again, every layer anew."
    yield from _beside(facts)


def with_revision(facts: Facts) -> int:
    return facts.number if facts.revision else facts.current


def roll_back(facts: Facts) -> Iterator[str]:
    yield f"What #{facts.good} built is started, without building or pushing."
    yield from around(facts.serving, facts.open)


def restart(facts: Facts) -> Iterator[str]:
    yield f"What #{facts.current} built is started again: the same digest, nothing is built or pushed."
    yield from around(facts.serving, facts.open)


def approve(facts: Facts) -> Iterator[str]:
    yield from facts.breaking
    yield f"A new deployment starts what #{facts.number} built, without building or asking again."
    yield from around(facts.serving, facts.open)


def decline(facts: Facts) -> Iterator[str]:
    yield f"What #{facts.number} built is removed; to have it after all, deploy it again."
    if facts.serving:
        yield f"#{facts.serving} goes on serving."


def stop(facts: Facts) -> Iterator[str]:
    yield from (f"#{number} is cancelled." for number in facts.open)
    if facts.serving:
        yield f"#{facts.serving} is stopped: clients get an error until it is started again."
    yield "What was built is kept. Nothing is tried any more until somebody starts it."


def _beside(facts: Facts) -> Iterator[str]:
    """Yields what a new build means for the rest of the server; it also ends a deployment that is held."""
    yield from around(facts.serving, facts.open)
    if facts.held:
        yield given_up(facts.held)


def given_up(held: int) -> str:
    return f"#{held}, which waits for approval, is given up, and what it built is removed."


def around(serving: int, waiting: Mapping[int, str]) -> Iterator[str]:
    """Yields what a new deployment means for the one that serves, and for open ones.

    `waiting` maps the numbers of open ones to their status.
    """
    if serving:
        yield f"#{serving} keeps serving until the new deployment is healthy, or if it fails."
    else:
        yield "Nothing serves now; calls are answered once the deployment is healthy."
    for number, status in waiting.items():
        if status == DeploymentStatus.QUEUED:
            yield f"#{number} is queued and will be superseded."
        else:
            yield f"#{number} is in progress: the new deployment waits until it is over."


def raised_retries(facts: Facts) -> int:
    return min(2 * facts.retry_limit, MOST_ATTEMPTS)
