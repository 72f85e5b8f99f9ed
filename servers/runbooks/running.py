"""Failures between an image and a server that answers, and of a server that has answered."""

from __future__ import annotations

from collections.abc import Iterator

from registry.reasons import Reason
from servers.runbooks.base import Runbook
from servers.runbooks.facts import Facts
from servers.states import DeploymentStatus


def _last_words(facts: Facts) -> Iterator[str]:
    if facts.last_lines:
        yield f"It wrote last: “{' ⏎ '.join(facts.last_lines[-5:])}”."
    else:
        yield "It wrote nothing."


def _error(facts: Facts) -> Iterator[str]:
    if facts.error:
        yield facts.error


def _of_start(facts: Facts) -> Iterator[str]:
    yield from _last_words(facts)
    if facts.can_start_again:
        yield "What was built is kept: it can be started again without a build."


def _of_pull(facts: Facts) -> Iterator[str]:
    if facts.registry:
        yield f"The image is at {facts.registry}."
    if seconds := facts.health.get("seconds"):
        yield f"The platform's own credential had {max(int(seconds), 0) // 60} minutes left when it pushed."


NODE_FULL = Runbook(
    name="node-full",
    title="The cluster has no room for it",
    sign="`runtime`: namespace's quota is used up, No node takes the server, evicted, disk pressure",
    means="A quota of the namespace, or the nodes' memory, processors or disks stand in the way.",
    first="Raise the quota, add or free nodes, or lower the server's limits.",
    recognises=lambda facts: facts.error_kind == "runtime" and facts.reason == Reason.NO_CAPACITY,
    remedies=("resume", "roll-back", "stop"),
)
IMAGE_PULL = Runbook(
    name="image-pull",
    title="The image could not be pulled",
    sign="`runtime`: the nodes or the engine cannot pull the image",
    means="It was pushed, but where it is to run it cannot be had: no credentials, no way, or no such image.",
    first="Check that the nodes reach the registry, and the pull secret (K8S_REGISTRY_SECRET_NAME).",
    recognises=lambda facts: facts.error_kind == "runtime" and facts.reason == Reason.IMAGE_UNAVAILABLE,
    told=_of_pull,
    remedies=("resume", "rebuild", "roll-back", "stop"),
)
CRASH = Runbook(
    name="crash",
    title="The server ends as soon as it is started",
    sign="`runtime`: has exited, exits before it answers, keeps ending, out of memory",
    means="It was built and started, and its process ended before it had answered MCP.",
    first="Correct its code, its command, its environment or its limits, as its last lines say.",
    recognises=lambda facts: (
        facts.error_kind == "runtime" and facts.reason in (Reason.CRASHED, Reason.OUT_OF_MEMORY)
    ),
    told=_of_start,
    remedies=("redeploy", "resume", "roll-back", "stop"),
)
MODULE = Runbook(
    name="module",
    title="The server misses a module, or a part of one",
    sign="`runtime`: It misses the module, It asks for what the installed packages do not have",
    means="It was started, and uses what is not installed: a dependency that nobody declared, or a newer "
    "version that has it no more.",
    first="Declare the dependency, or bound its version in the build settings (mcp<2); then redeploy.",
    recognises=lambda facts: (
        facts.error_kind == "runtime"
        and facts.status == DeploymentStatus.FAILED
        and facts.reason == Reason.MISSING_MODULE
    ),
    told=_of_start,
    remedies=("redeploy", "roll-back", "stop"),
)
CONFIGURATION = Runbook(
    name="configuration",
    title="The server asks for a setting",
    sign="`runtime`: It asks for the variable, the setting, the argument, the option; It serves HTTP on port",
    means="It was built and started, and said that it cannot run as it is set: most often a key is missing.",
    first="Set what it names: a variable in its environment (as a secret where it is one), or an argument of "
    "its source; then redeploy.",
    recognises=lambda facts: (
        facts.error_kind == "runtime"
        and facts.status == DeploymentStatus.FAILED
        and facts.reason == Reason.MISCONFIGURED
    ),
    told=_of_start,
    remedies=("redeploy", "resume", "roll-back", "stop"),
)
NEVER_HEALTHY = Runbook(
    name="never-healthy",
    title="The server runs, but does not answer MCP",
    sign="`runtime`: did not answer MCP in time, speaks no version of MCP",
    means="Its process lives, but no MCP handshake was answered within HEALTH_TIMEOUT.",
    first="Check its transport, port and path; raise HEALTH_TIMEOUT if it is only slow to start.",
    recognises=lambda facts: facts.error_kind == "runtime" and facts.reason == Reason.UNHEALTHY,
    told=_of_start,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
START = Runbook(
    name="start",
    title="The server could not be started",
    sign="`runtime`: anything else",
    means="The runtime refused it, or what it needs to run is not there.",
    first="Correct what the error names.",
    recognises=lambda facts: facts.error_kind == "runtime" and facts.status == DeploymentStatus.FAILED,
    told=_of_start,
    remedies=("resume", "redeploy", "roll-back", "stop"),
)
UNSEEN = Runbook(
    name="unseen",
    title="The server cannot be seen, or not all of it runs",
    sign="`runtime`, of the deployment that serves, while the server is degraded",
    means="What runs it does not answer, or says that something is wrong. Calls still go to the server. The "
    "platform looks again by itself, and calls it running as soon as it is seen to run.",
    first="See to the engine or the cluster, as the error says: a deployment needs it too.",
    recognises=lambda facts: (
        facts.status == DeploymentStatus.SUCCEEDED and facts.is_current and facts.serving == facts.number
    ),
    told=_error,
    remedies=("restart", "rebuild", "roll-back", "stop"),
)
WENT_DOWN = Runbook(
    name="went-down",
    title="The server went down after it had served",
    sign="`runtime`, of a deployment that succeeded and serves no more",
    means="It served, then its process ended. The platform starts it again by itself, ever later, and gives "
    "up in the end.",
    first="See what it wrote last: memory, a service that it needs, or a fault of its own.",
    recognises=lambda facts: facts.status == DeploymentStatus.SUCCEEDED,
    told=lambda facts: [*_error(facts), *_last_words(facts)],
    remedies=("restart", "roll-back", "redeploy", "stop"),
)
