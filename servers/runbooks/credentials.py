"""Failures of the platform's login at the registry: it is rejected, or may not do what is needed."""

from __future__ import annotations

from collections.abc import Iterator

from registry.reasons import Reason
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts, span, times
from servers.states import StepKind


def _of_credentials(facts: Facts) -> Iterator[str]:
    health, seconds = facts.health, facts.health.get("seconds")
    if source := health.get("source"):
        yield f"The credential for {facts.registry} came from {source}."
    if isinstance(seconds, int):
        yield f"It {_when(seconds)} when this deployment looked at it."
    yield _refreshed(facts)
    if not facts.has_refresh_command:
        yield (
            "REGISTRY_REFRESH_COMMAND is not set: a refresh only reads the file again, or asks its helper. "
            "Renew the login there first."
        )
    if arrived := facts.succeeded(StepKind.PUSH):
        yield f"{', '.join(arrived)} had arrived before."


def _when(seconds: int) -> str:
    return f"had ended {span(-seconds)} before" if seconds <= 0 else f"was good for another {span(seconds)}"


def _refreshed(facts: Facts) -> str:
    if failures := facts.of("auth_refresh_failed"):
        return f"A refresh was tried and failed: {failures[-1].details.get('error', '')}"
    if count := len(facts.of("auth_refresh_succeeded")):
        return f"It was refreshed {times(count, 'time')}, and the new one was rejected too."
    return "No refresh was made."


def _of_denial(facts: Facts) -> Iterator[str]:
    yield f"The repository is {facts.registry}."
    if source := facts.health.get("source"):
        anonymous = source == "anonymous"
        yield "No account was given." if anonymous else f"The account is that of {source}."
    if facts.of("auth_refresh_succeeded") or facts.of("auth_refresh_failed"):
        yield "Its login was renewed once, in case that it had expired: it is denied all the same."
    yield "Trying again with the same account cannot help, and was not done."


AUTH_EXPIRED = Runbook(
    name="auth-expired",
    title="The registry rejected the credentials",
    sign="`auth_expired`",
    means="The login that the platform pushes with has expired, was revoked, or is not there.",
    first="Renew the login in the file that REGISTRY_AUTH_DOCKERCONFIG names, unless a command renews it.",
    recognises=lambda facts: facts.error_kind == "auth_expired",
    told=_of_credentials,
    remedies=("refresh-credentials", "resume", "roll-back", "stop"),
)
DENIED = Runbook(
    name="denied",
    title="The account may not push there",
    sign="`remote`: denied, 403, insufficient scope",
    means="The registry knows the account, and does not let it push to this repository.",
    first="Give the account the right to push to the repository and to pull from it.",
    recognises=lambda facts: facts.error_kind == "remote" and facts.reason == Reason.DENIED,
    told=_of_denial,
    remedies=("resume", "refresh-credentials", "roll-back", "stop"),
)
