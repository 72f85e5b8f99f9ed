"""The only caller of `send_event`: what is announced on the live feed, on which channel."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.models import UsageMetric
from servers.models import LogLine, Server


def metric_recorded(metric: UsageMetric) -> None:
    """Announces one metric to `server-<id>-metrics`, once the transaction is committed."""


def lines_written(server_id: int, lines: Sequence[LogLine]) -> None:
    """Announces a batch of log lines to `server-<id>-logs`, once the transaction is committed."""


def status_changed(server_id: int) -> None:
    """Announces the server's status to staff and its owner, once the transaction is committed."""


def server_deleted(server: Server) -> None:
    """Announces that the server is gone, once the transaction is committed."""
