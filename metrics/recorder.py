"""The one way in which a metric is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metrics.models import UsageMetric


def record(
    *, server_id: int, deployment_id: int | None, event_type: str, details: Mapping[str, Any]
) -> UsageMetric:
    """Writes one event; `details` must be JSON, with the contract's keys for that event type."""
    return UsageMetric.objects.create(
        server_id=server_id,
        deployment_id=deployment_id,
        event_type=event_type,
        platform=str(details.get("platform", "")),
        details=dict(details),
    )
