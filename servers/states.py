"""Statuses, with their labels, colours and allowed moves. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Look:
    """How a status is shown. `tone` is the name of a colour in the page's style sheet."""

    label: str
    tone: str


class ServerStatus(StrEnum):
    PENDING = "pending"
    CLONING = "cloning"
    BUILDING = "building"
    PUSHING = "pushing"
    PUBLISHING = "publishing"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"
    DELETING = "deleting"


class DeploymentStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    HELD = "held"


class StepStatus(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """The state of one run. `draining` means that it was replaced, and finishes the calls that it has."""

    QUEUED = "queued"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    ENDED = "ended"


class StepKind(StrEnum):
    CLONE = "clone"
    BUILD = "build"
    CREDENTIALS = "credentials"
    PUSH = "push"
    PUBLISH = "publish"
    START = "start"
    HEALTH = "health"
    DISCOVER = "discover"


class Mode(StrEnum):
    """How a deployment gets its image.

    `latest` fetches the newest revision, or the one that is asked for. `rebuild` fetches the revision of an
    earlier deployment, `no-cache` does so and builds without a cache. `same-digest` starts an earlier build.
    `resume` continues a failed deployment: it takes over images that were built, and builds the missing ones.
    """

    LATEST = "latest"
    REBUILD = "rebuild"
    NO_CACHE = "no-cache"
    SAME_DIGEST = "same-digest"
    RESUME = "resume"


class Trigger(StrEnum):
    ADMIN = "admin"
    API = "api"
    COMMAND = "command"
    WEBHOOK = "webhook"
    ROLLBACK = "rollback"
    RECONCILER = "reconciler"


S, D = ServerStatus, DeploymentStatus

LOOKS: dict[str, Look] = {
    S.PENDING: Look("Pending", "grey"),
    S.CLONING: Look("Cloning", "blue"),
    S.BUILDING: Look("Building", "blue"),
    S.PUSHING: Look("Pushing", "blue"),
    S.PUBLISHING: Look("Publishing", "blue"),
    S.STARTING: Look("Starting", "blue"),
    S.RUNNING: Look("Running", "green"),
    S.DEGRADED: Look("Degraded", "amber"),
    S.STOPPING: Look("Stopping", "grey"),
    S.STOPPED: Look("Stopped", "grey"),
    S.ERROR: Look("Error", "red"),
    S.DELETING: Look("Deleting", "grey"),
    D.QUEUED: Look("Queued", "grey"),
    D.SUCCEEDED: Look("Succeeded", "green"),
    D.FAILED: Look("Failed", "red"),
    D.CANCELLED: Look("Cancelled", "grey"),
    D.SUPERSEDED: Look("Superseded", "grey"),
    D.HELD: Look("Waits for approval", "amber"),
    RunState.SERVING: Look("Serving", "green"),
    RunState.DRAINING: Look("Draining", "amber"),
    RunState.ENDED: Look("Ended", "grey"),
}

DEPLOYING = frozenset({S.CLONING, S.BUILDING, S.PUSHING, S.PUBLISHING, S.STARTING})
# No worker changes these again. A held one was built and healthy; a person decides about it.
FINAL = frozenset({D.SUCCEEDED, D.FAILED, D.CANCELLED, D.SUPERSEDED, D.HELD})
OPEN = frozenset({D.QUEUED, D.RUNNING})

_SETTLED = frozenset({S.RUNNING, S.DEGRADED, S.STOPPED, S.ERROR})
# A restart changes only these statuses; the others belong to a deployment, a stop or a deletion.
RESTARTABLE = frozenset({S.RUNNING, S.DEGRADED, S.ERROR, S.STARTING})
_ANY_BUT_DELETING = frozenset(S) - {S.DELETING}

# The statuses that each status may follow. A deployment goes forward, and may skip some.
SERVER_MOVES: dict[ServerStatus, frozenset[ServerStatus]] = {
    S.PENDING: _SETTLED | DEPLOYING | {S.PENDING, S.STOPPING},  # also put back, whichever step was lost
    S.CLONING: _SETTLED | {S.PENDING, S.CLONING, S.STARTING},  # a restart may run at the same time
    S.BUILDING: _SETTLED | {S.PENDING, S.CLONING, S.BUILDING},
    S.PUSHING: frozenset({S.PENDING, S.CLONING, S.BUILDING, S.PUSHING}),
    S.PUBLISHING: frozenset({S.PENDING, S.PUSHING, S.PUBLISHING}),
    S.STARTING: _SETTLED | {S.PENDING, S.CLONING, S.BUILDING, S.PUSHING, S.PUBLISHING, S.STARTING},
    S.RUNNING: DEPLOYING | {S.PENDING, S.DEGRADED, S.RUNNING, S.ERROR},
    S.DEGRADED: frozenset({S.RUNNING, S.STARTING, S.DEGRADED}),
    S.STOPPING: _ANY_BUT_DELETING,
    S.STOPPED: DEPLOYING | {S.STOPPING, S.PENDING, S.ERROR},
    S.ERROR: _ANY_BUT_DELETING,
    S.DELETING: frozenset(S),
}

DEPLOYMENT_MOVES: dict[DeploymentStatus, frozenset[DeploymentStatus]] = {
    D.QUEUED: frozenset({D.RUNNING}),  # its worker was lost
    D.RUNNING: frozenset({D.QUEUED}),
    D.SUCCEEDED: frozenset({D.RUNNING}),
    D.FAILED: OPEN,
    D.CANCELLED: OPEN | {D.HELD},
    D.SUPERSEDED: OPEN | {D.HELD},
    D.HELD: frozenset({D.RUNNING}),
}

STATUS_OF_STEP: dict[StepKind, ServerStatus] = {
    StepKind.CLONE: S.CLONING,
    StepKind.BUILD: S.BUILDING,
    StepKind.CREDENTIALS: S.PUSHING,
    StepKind.PUSH: S.PUSHING,
    StepKind.PUBLISH: S.PUBLISHING,
    StepKind.START: S.STARTING,
    StepKind.HEALTH: S.STARTING,
    StepKind.DISCOVER: S.STARTING,
}


def may_become(status: ServerStatus) -> frozenset[ServerStatus]:
    """Returns the statuses from which a server may move to `status`."""
    return SERVER_MOVES[status]


def work_look(status: str) -> Look:
    """Returns how a deployment's or step's status is shown: `running` there means that work is going on."""
    return Look("In progress", "blue") if status == DeploymentStatus.RUNNING else look(status)


def look(status: str) -> Look:
    """Returns how a status is shown. An unknown status gets its own words, in blue."""
    return LOOKS.get(status, Look(status.replace("-", " ").capitalize(), "blue"))
