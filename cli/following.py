"""Follows a deployment: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.drawing import Console, drawn
from cli.terminal import shown
from servers import states
from servers.models import Deployment, LogLine, Step
from servers.states import DeploymentStatus

POLL_SECONDS = 0.3
UNCLAIMED_SECONDS = 10.0
TONES = {"green": "green", "red": "red", "blue": "cyan", "amber": "yellow", "grey": "bright_black"}


def follow(deployment: Deployment, *, quiet: bool = False) -> bool:
    """Shows the deployment until it is over. True if it succeeded; the caller prints the error if not.

    `quiet` waits without printing.
    """
    console = Console(soft_wrap=True)
    if quiet:
        for _ in _states_of(deployment):
            pass
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=False) as live:
            for current, lines in _states_of(deployment):
                for line in lines:
                    live.console.print(Text("  ").append_text(drawn(line.text)), style="bright_black")
                live.update(_table(current))
    else:
        out, seen = shown(sys.stdout), dict[int, str]()
        for current, lines in _states_of(deployment):
            for said in _plain(current, lines, seen):
                print(said, file=out, flush=True)
    deployment.refresh_from_db()
    return deployment.status == DeploymentStatus.SUCCEEDED


def _states_of(deployment: Deployment) -> Iterator[tuple[Deployment, list[LogLine]]]:
    last_id, began, warned = 0, time.monotonic(), False
    while True:
        current = Deployment.objects.select_related("server").get(pk=deployment.pk)
        lines = list(current.log_lines.filter(pk__gt=last_id).order_by("pk"))
        last_id = lines[-1].pk if lines else last_id
        yield current, _without_reason(current, lines)
        if current.is_final:
            return
        waits = current.status == DeploymentStatus.QUEUED and time.monotonic() - began > UNCLAIMED_SECONDS
        if waits and not warned:
            warned = True
            print(
                "No worker has started it yet: is `manage.py up` running? --here does the work here.",
                file=sys.stderr,
            )
        time.sleep(POLL_SECONDS)


def _without_reason(deployment: Deployment, lines: list[LogLine]) -> list[LogLine]:
    """`lines` without the line that repeats the error, which the caller prints.

    The error's line is written after the row, and may have been read after it: so the row is read again.
    """
    deployment.refresh_from_db(fields=["error"])
    return [line for line in lines if line.text != deployment.error or not line.text]


def _table(deployment: Deployment) -> Table:
    table = Table.grid(padding=(0, 2))
    look = states.look(deployment.status)
    table.add_row(Text(str(deployment), style="bold"), "", Text(look.label, style=TONES[look.tone]), "")
    for step in deployment.steps.all():
        look = states.look(step.status)
        table.add_row(
            f"  {step.kind}",
            step.platform,
            Text(look.label, style=TONES[look.tone]),
            f"{step.duration.total_seconds():.1f} s",
        )
    return table


def _plain(deployment: Deployment, lines: list[LogLine], seen: dict[int, str]) -> Iterator[str]:
    yield from (f"  {line.text}" for line in lines)
    for step in deployment.steps.all():
        if seen.get(step.pk) != step.status:
            seen[step.pk] = step.status
            yield _step_line(step)
    if deployment.status == DeploymentStatus.SUCCEEDED:
        yield f"{deployment} {deployment.status}"


def _step_line(step: Step) -> str:
    took = f" after {step.duration.total_seconds():.1f} s" if step.finished_at else ""
    return f"{step} {step.status}{took}"
