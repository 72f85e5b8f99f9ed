"""Two deployments side by side, over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from api.query import Number
from hosting.errors import Invalid
from hosting.tool_changes import ToolChanges
from servers import comparison
from servers.models import Deployment

WITH = Number("with", "Number of the other deployment.", low=1)


def as_json(deployment: Deployment, number: int | None) -> dict[str, Any]:
    other = comparison.other_of(deployment, str(number or ""))
    if other is None:
        raise Invalid(f"#{deployment.number} has no earlier one to be compared with.", field="with")
    found = comparison.compare(deployment, other)
    known = found.configuration_known
    return {
        "before": found.before.number,
        "after": found.after.number,
        "facts": [asdict(row) for row in found.facts],
        "durations": [asdict(took) for took in found.durations],
        "plan": [asdict(row) for row in found.plan] if found.plan_known else None,
        "environment": asdict(found.environment) if known else None,
        "secrets": asdict(found.secrets) if known else None,
        "settings": [asdict(row) for row in found.settings] if known else None,
        "tools": _tools(found.tools) if found.tools_known else None,
    }


def _tools(changes: ToolChanges) -> dict[str, Any]:
    return {
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed": [{**asdict(change), "breaking": change.breaking} for change in changes.changed],
    }
