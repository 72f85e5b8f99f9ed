"""Failures outside of the steps themselves: time limits, workers, people, and the platform's own faults."""

from __future__ import annotations

from collections.abc import Iterator

from registry.reasons import Reason
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts, times
from servers.states import DeploymentStatus


def _of_step(facts: Facts) -> Iterator[str]:
    if facts.failed_step:
        yield f"It was in the step {facts.failed_step.title}."


def _of_workers(facts: Facts) -> Iterator[str]:
    yield f"It was taken up {times(facts.claims, 'time')}."
    yield from _of_step(facts)


def _of_tools(facts: Facts) -> Iterator[str]:
    yield from facts.breaking
    yield f"{'#' + str(facts.serving) if facts.serving else 'Nothing'} serves meanwhile."


SCHEMA_CHANGE = Runbook(
    name="schema-change",
    title="Its tools break callers",
    sign="status `held`",
    means="It was built, started and healthy, and its tools are not what callers of the serving deployment "
    "know. The server's schema gate holds it until a person decides.",
    recognises=lambda facts: facts.status == DeploymentStatus.HELD,
    told=_of_tools,
    remedies=("approve", "decline", "redeploy", "stop"),
)
TIMEOUT = Runbook(
    name="timeout",
    title="It took longer than it may",
    sign="`timeout`",
    means="A step or the whole deployment reached its limit: BUILD_TIMEOUT, HEALTH_TIMEOUT, DEPLOY_TIMEOUT.",
    first="Raise the limit that the error names, if it is only slow.",
    recognises=lambda facts: facts.error_kind == "timeout",
    told=_of_step,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
LOST_WORKER = Runbook(
    name="lost-worker",
    title="Its workers were lost",
    sign="`internal`: The worker was lost",
    means="The process that did the work ended without a word, again and again: killed for its memory, or "
    "with its machine.",
    first="See the platform's log and the machine's memory; lower DEPLOYMENTS_PARALLEL or BUILDS_PARALLEL.",
    recognises=lambda facts: facts.error_kind == "internal" and facts.reason == Reason.WORKER_LOST,
    told=_of_workers,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
CANCELLED = Runbook(
    name="cancelled",
    title="It was cancelled",
    sign="`cancelled`",
    means="Somebody pressed cancel or stop, or the server was stopped meanwhile. Nothing is wrong with it.",
    recognises=lambda facts: facts.status == DeploymentStatus.CANCELLED or facts.error_kind == "cancelled",
    told=_of_step,
    remedies=("resume", "redeploy", "roll-back"),
)
INTERNAL = Runbook(
    name="internal",
    title="A fault of the platform",
    sign="`internal`",
    means="Something happened that the platform does not know. Its log has it whole, under the reference.",
    first="Search the platform's log for the reference, and report it.",
    recognises=lambda facts: True,
    told=_of_step,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
