"""Failures between the source and an image or an environment."""

from __future__ import annotations

from collections.abc import Iterator

from registry.reasons import Reason
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts


def _of_build(facts: Facts) -> Iterator[str]:
    if facts.failed_platform:
        yield f"It failed for {facts.failed_platform}, at revision {facts.revision[:12]}."
    if facts.last_lines:
        yield f"It said last: “{' ⏎ '.join(facts.last_lines[-3:])}”."


def _of_source(facts: Facts) -> Iterator[str]:
    if not facts.revision:
        yield "No revision was fetched, so that there is nothing to resume."


SOURCE = Runbook(
    name="source",
    title="The source could not be had",
    sign="`source`",
    means="The repository, archive, package or image could not be fetched, unpacked or recognised.",
    first="Correct what the error names: the address, the reference, its credential, or the contents.",
    recognises=lambda facts: facts.error_kind == "source",
    told=_of_source,
    remedies=("redeploy", "roll-back", "stop"),
)
EMULATION = Runbook(
    name="emulation",
    title="This machine cannot build for the platform",
    sign="`build`: emulation is not set up, exec format error",
    means="A platform of REGISTRY_ARCH_TARGETS is foreign to this machine, and nothing emulates it.",
    first="Install qemu-user-static and binfmt-support where the engine runs, or take the platform out of "
    "REGISTRY_ARCH_TARGETS.",
    recognises=lambda facts: facts.error_kind == "build" and facts.reason == Reason.WRONG_PLATFORM,
    told=lambda facts: [f"The platforms were {', '.join(facts.platforms)}."] if facts.platforms else [],
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
ENGINE_FULL = Runbook(
    name="engine-full",
    title="The disk of this machine is full",
    sign="`build`, `runtime`, `source`: no space left, disk is full",
    means="The engine or the platform could not write. Other servers are about to meet the same.",
    first="Make room: docker system df shows what the engine uses; lower KEEP_DEPLOYMENTS.",
    recognises=lambda facts: (
        facts.error_kind in ("build", "runtime", "source", "internal") and facts.reason == Reason.FULL
    ),
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
ENGINE_AWAY = Runbook(
    name="engine-away",
    title="The Docker Engine does not answer",
    sign="`build`, `push`, `runtime`: The Docker Engine does not answer",
    means="Nothing can be built, pushed or started until it is back; what ran on it may run on.",
    first="Start it (systemctl start docker), or check DOCKER_HOST.",
    recognises=lambda facts: facts.reason == Reason.ENGINE_UNAVAILABLE,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
PACKAGES = Runbook(
    name="packages",
    title="The packages cannot be installed together",
    sign="`build`: no versions fit together, the index has no such package, another Python is needed",
    means="What the source asks for cannot be had, or not at once. The same source fails again.",
    first="Correct what the error names: a name, a bound, the lock, or the server's Python.",
    recognises=lambda facts: facts.error_kind in ("build", "source") and facts.reason == Reason.UNSATISFIABLE,
    told=_of_build,
    remedies=("redeploy", "roll-back", "stop"),
)
BUILD = Runbook(
    name="build",
    title="The build failed",
    sign="`build`",
    means="A step of the Dockerfile or the installation ended with an error. The same source fails again, "
    "unless a cache or a download was at fault.",
    first="Correct the source, if what the build said last names something in it.",
    recognises=lambda facts: facts.error_kind == "build",
    told=_of_build,
    remedies=("redeploy", "no-cache", "resume", "roll-back", "stop"),
)
