"""Builds JSON objects that both the REST API and the live feed send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from metrics.payload import moment
from servers import states
from servers.models import Deployment, LogLine, Server, Step

LOG_COLUMNS = ("id", "at", "stream", "level", "text", "deployment_id", "step_id")


def log_line(line: LogLine) -> dict[str, Any]:
    """Builds a log line from its row."""
    return log_row({column: getattr(line, column) for column in LOG_COLUMNS})


def log_row(row: dict[str, Any]) -> dict[str, Any]:
    """Builds a log line from a row of `LOG_COLUMNS`."""
    return {
        "id": row["id"],
        "at": moment(row["at"]),
        "stream": row["stream"],
        "level": row["level"],
        "text": row["text"],
        "deployment": row["deployment_id"],
        "step": row["step_id"],
    }


def step_progress(step: Step, details: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the progress of a push. `percent` never falls.

    While `whole` is False, `bytes_total` is an upper bound.
    """
    return {
        "deployment": step.deployment_id,
        "step": step.pk,
        "platform": step.platform,
        "bytes_done": details["bytes_done"],
        "bytes_total": details["bytes_total"],
        "whole": details["bytes_whole"],
        "percent": details["percent"],
    }


def with_newest_deployment(servers: QuerySet[Server]) -> QuerySet[Server]:
    """Adds `newest`, `{id, number, status}` of each server's last requested deployment, in the same query."""
    newest = Deployment.objects.filter(server=OuterRef("pk")).order_by("-number")
    as_json = newest.values(json=JSONObject(id="id", number="number", status="status"))[:1]
    return servers.select_related("current_deployment__run").annotate(newest=Subquery(as_json))


def server_status(server: Server) -> dict[str, Any]:
    """Builds the status of a server that was read through `with_newest_deployment`."""
    look, serving = states.look(server.status), server.serving
    return {
        "server": server.pk,
        "slug": server.slug,
        "status": server.status,
        "label": look.label,
        "tone": look.tone,
        "error_kind": server.error_kind,
        "error": server.error,
        "serving": serving.number if serving else None,
        "deployment": getattr(server, "newest", None),
    }


def server_gone(server_id: int, slug: str) -> dict[str, Any]:
    """Builds the last status of a server whose row is deleted."""
    return {
        "server": server_id, "slug": slug, "status": "deleted", "label": "Deleted", "tone": "grey",
        "error_kind": "", "error": "", "serving": None, "deployment": None,
    }  # fmt: skip
