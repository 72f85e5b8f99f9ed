"""The schema gate: compares a new deployment's tools with those that serve, and may hold the deployment.

It comes after discovery and before the traffic moves. It does not apply to a restart, a rollback or an
approval, which start an earlier build: a person must always be able to bring back what ran before.
"""

from __future__ import annotations

from typing import Any

from hosting import tool_changes
from hosting.errors import UserError
from hosting.tool_changes import ToolChanges
from servers.models import Deployment, Server
from servers.models.server import SchemaGate
from servers.states import Mode
from servers.timeline import Timeline

SENTENCES = 5
APPROVE = "What it built is kept. Approve it to serve it, or decline it."


class Held(UserError):
    """The deployment is healthy, but breaks callers; a person decides.

    `details` are those of `deploy_held`.
    """

    kind = ""
    permanent = False


def check(deployment: Deployment, timeline: Timeline) -> None:
    """Stores what changed in the deployment's row, and reports it.

    Raises `Held` if `schema_gate` is `hold`.
    """
    server = Server.objects.with_current().get(pk=deployment.server_id)
    current = server.current_deployment
    if current is None:
        return
    changes = tool_changes.compare(_tools(current), _tools(deployment))
    if not changes:
        return
    gate = SchemaGate.OFF if deployment.mode == Mode.SAME_DIGEST else SchemaGate(server.schema_gate)
    deployment.keep(tool_changes=as_json(changes, against=current.number, gate=gate))
    if changes.breaking and gate != SchemaGate.OFF:
        _tell(timeline, deployment.number, changes, current, gate)


def _tell(
    timeline: Timeline, number: int, changes: ToolChanges, current: Deployment, gate: SchemaGate
) -> None:
    about: dict[str, Any] = {"number": number, "against": current.number}
    timeline.event(
        "schema_changed",
        {
            **about,
            "gate": gate.value,
            "added": list(changes.added),
            "removed": list(changes.removed),
            "changed": [change.name for change in changes.changed],
            "breaking": changes.breaking,
        },
    )
    message = f"Its tools are not what callers of #{current.number} know: {sentences(changes.breaking)}"
    if gate == SchemaGate.HOLD:
        raise Held(message, hint=APPROVE, details={**about, "breaking": changes.breaking})
    timeline.say(message)


def as_json(changes: ToolChanges, *, against: int, gate: str) -> dict[str, Any]:
    """Returns what `Deployment.tool_changes` holds.

    `against` is the number of the deployment compared with.
    """
    return {
        "against": against,
        "gate": str(gate),
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed": [
            {"name": one.name, "breaking": list(one.broken), "other": list(one.other)}
            for one in changes.changed
        ],
        "breaking": changes.breaking,
    }


def sentences(breaking: list[str]) -> str:
    """Returns the first SENTENCES of these sentences, and how many more there are."""
    more = len(breaking) - SENTENCES
    return " ".join(breaking[:SENTENCES]) + (f" And {more} more." if more > 0 else "")


def _tools(deployment: Deployment) -> list[dict[str, Any]]:
    return deployment.discovery.get("tools") or []
