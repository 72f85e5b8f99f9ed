"""Failures on the way to the registry, and answers of the registry."""

from __future__ import annotations

from collections.abc import Iterator

from registry.reasons import Reason
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts, span, times
from servers.states import StepKind

AGAIN = ("resume", "raise-retries", "retry-platform", "roll-back", "stop")


def _of_attempts(facts: Facts) -> Iterator[str]:
    platform = f" of {facts.failed_platform}" if facts.failed_platform else ""
    if facts.attempts:
        yield (
            f"The push{platform} to {facts.registry} was tried {times(facts.attempts, 'time')} "
            f"of {facts.retry_limit}."
        )
    if waited := sum(int(event.details.get("delay_ms", 0)) for event in facts.of("push_retry")):
        yield f"It waited {span(waited // 1000)} between the attempts."
    if arrived := facts.succeeded(StepKind.PUSH):
        yield f"{', '.join(arrived)} arrived and is not pushed again."


def _of_room(facts: Facts) -> Iterator[str]:
    yield f"The registry is {facts.registry}."
    sizes = [int(s.details["size"]) for s in facts.steps if s.kind == StepKind.BUILD and "size" in s.details]
    if sizes:
        yield f"The largest image of this deployment has {max(sizes) / 2**20:.1f} MB."


RATE_LIMIT = Runbook(
    name="rate-limit",
    title="The registry limits how much it takes",
    sign="`remote`: 429, toomanyrequests",
    means="Too many requests in too short a time. It passes by itself; nothing was lost.",
    first="Wait for as long as the registry asks, or raise its limit.",
    recognises=lambda facts: facts.error_kind == "remote" and facts.reason == Reason.RATE_LIMITED,
    told=_of_attempts,
    remedies=("raise-retries", "resume", "roll-back", "stop"),
)
REGISTRY_FULL = Runbook(
    name="registry-full",
    title="The registry has no room",
    sign="`remote`: no space left, quota, 507, 413",
    means="A disk, a quota or a limit on sizes at the registry stands in the way. It stays so until "
    "room is made.",
    first="Make room there, raise the quota or the largest size of a request, or lower KEEP_DEPLOYMENTS.",
    recognises=lambda facts: facts.error_kind == "remote" and facts.reason in (Reason.FULL, Reason.TOO_LARGE),
    told=_of_room,
    remedies=("resume", "roll-back", "stop"),
)
UNTRUSTED = Runbook(
    name="untrusted",
    title="The registry's certificate is not trusted",
    sign="`push`: x509, certificate, HTTP response to HTTPS client",
    means="The platform or the engine does not trust who answers there, or it speaks plain http.",
    first="Give its authority, or its own certificate, to both (REGISTRY_CA_BUNDLE, /etc/docker/certs.d). "
    "One that speaks plain http: list it in REGISTRY_INSECURE and in the engine's insecure-registries.",
    recognises=lambda facts: (
        facts.error_kind == "push" and facts.reason in (Reason.UNTRUSTED, Reason.PLAIN_HTTP)
    ),
    told=_of_attempts,
    remedies=("resume", "roll-back", "stop"),
)
NETWORK = Runbook(
    name="network",
    title="The way to the registry is broken",
    sign="`push`: refused, reset, GOAWAY, EOF, timeout, no progress; `remote`: 500, 502 to 504, 520 to 530",
    means="Connections to the registry broke or it had trouble itself, and this outlasted all attempts.",
    recognises=lambda facts: (
        facts.error_kind == "push" or (facts.error_kind == "remote" and facts.reason == Reason.UNAVAILABLE)
    ),
    told=_of_attempts,
    remedies=AGAIN,
)
IMAGE_LOST = Runbook(
    name="image-lost",
    title="The engine lost what was built",
    sign="`tag`: no such image",
    means="The image was removed from the engine between the build and the push, by a clean-up for example.",
    recognises=lambda facts: facts.error_kind == "tag",
    remedies=("retry-platform", "rebuild", "roll-back", "stop"),
)
REGISTRY_OTHER = Runbook(
    name="registry-other",
    title="The registry refused",
    sign="`remote`: anything else",
    means="The registry said no in words that no rule knows. It was not tried again: nobody knows whether "
    "it passes.",
    first="Read what it said, and its own log.",
    recognises=lambda facts: facts.error_kind == "remote",
    told=_of_attempts,
    remedies=AGAIN,
)
