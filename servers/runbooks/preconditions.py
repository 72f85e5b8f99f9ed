"""Functions that return why a remedy cannot help now, as a sentence; "" if it can. Pure."""

from __future__ import annotations

from servers.push_options import MOST_ATTEMPTS
from servers.runbooks.facts import Facts
from servers.states import DeploymentStatus


def possible(facts: Facts) -> str:
    return "The server is being deleted." if facts.desired == "deleted" else ""


def can_go_on(facts: Facts) -> str:
    if facts.status not in (DeploymentStatus.FAILED, DeploymentStatus.CANCELLED):
        return f"#{facts.number} did not fail."
    if facts.newer:
        return f"#{facts.newer} was asked for since: go on from there."
    if not facts.revision:
        return f"#{facts.number} failed before it had a revision: there is nothing to go on from."
    return possible(facts)


def can_push(facts: Facts) -> str:
    if facts.can_start_again:
        return f"What #{facts.number} built is pushed: nothing is left to push."
    if not facts.registry:
        return "No registry is set, so that nothing is pushed."
    return can_go_on(facts)


def can_retry_platform(facts: Facts) -> str:
    if len(facts.platforms) < 2:
        return "It has one platform only: resume does the same."
    if not facts.failed_platform:
        return "No platform of it failed by itself."
    return can_go_on(facts)


def can_raise(facts: Facts) -> str:
    if facts.retry_limit >= MOST_ATTEMPTS:
        return f"It had {facts.retry_limit} attempts: more are not made."
    return can_push(facts)


def can_rebuild(facts: Facts) -> str:
    known = facts.revision or facts.current
    return possible(facts) or ("" if known else "No revision of it is known yet: deploy the newest source.")


def can_roll_back(facts: Facts) -> str:
    if facts.serving and not facts.is_current:
        return f"#{facts.serving} is serving: nothing has to be rolled back."
    return possible(facts) or ("" if facts.good else "No earlier deployment can be started again.")


def can_restart(facts: Facts) -> str:
    return possible(facts) or ("" if facts.current_can_start else "Nothing was built that could be started.")


def can_decide(facts: Facts) -> str:
    return "" if facts.status == DeploymentStatus.HELD else f"#{facts.number} does not wait for approval."


def can_stop(facts: Facts) -> str:
    return "" if facts.desired == "running" else "It is stopped already."
