"""The output of a run's pods, read from the API server in pieces: no line twice, none lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from servers.runtimes.base import OutputLine
from servers.runtimes.docker_logs import Cursor
from servers.runtimes.kube_pods import CONTAINER
from servers.runtimes.output_files import clean

MAX_BYTES = 4 << 20


@dataclass(frozen=True)
class Cursors:
    """How far one has read of each pod, or of each of its containers once it was restarted."""

    pods: Mapping[str, Cursor] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Cursors:
        held: Mapping[str, str] = json.loads(text or "{}")
        return cls({pod: Cursor.parse(position) for pod, position in held.items()})

    def __str__(self) -> str:
        """ "" where nothing was read."""
        read = {pod: str(cursor) for pod, cursor in sorted(self.pods.items())}
        return json.dumps(read) if read else ""


def life(pod: str, number: int) -> str:
    """The name under which the output of a pod's container is kept count of; 0 is its first."""
    return f"{pod} ({number})" if number else pod


def query(cursor: Cursor, *, previous: bool = False) -> dict[str, str]:
    """Parameters for a pod's log; the API server takes whole seconds only."""
    since = datetime.fromtimestamp(cursor.anchor // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "container": CONTAINER,
        "timestamps": "true",
        "limitBytes": str(MAX_BYTES),
        **({"sinceTime": since} if cursor.anchor else {}),
        **({"previous": "true"} if previous else {}),
    }


def after(cursor: Cursor, answer: bytes, *, pod: str = "") -> tuple[list[OutputLine], Cursor]:
    """The lines of an answer to `query` that come after `cursor`, and the next one; `pod` is set before each.

    The API does not tell stdout and stderr apart.
    """
    entries = [entry for entry in _entries(answer) if entry[0] >= cursor.anchor]
    new = entries[cursor.count :]
    prefix = f"[{pod}] " if pod else ""
    lines = [
        OutputLine(datetime.fromtimestamp(time / 10**9, UTC), "stdout", prefix + clean(text))
        for time, text in new
    ]
    return lines, cursor.advanced([time for time, _ in entries])


def merged(parts: Sequence[Sequence[OutputLine]]) -> list[OutputLine]:
    return sorted((line for part in parts for line in part), key=lambda line: line.at)


def _entries(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole lines only: `2026-11-22T17:05:32.908058739Z text`. What a limit cut off comes with the next."""
    for line in answer.split(b"\n")[:-1]:
        stamp, _, text = line.partition(b" ")
        yield _nanoseconds(stamp.decode("ascii", "replace")), text


def _nanoseconds(stamp: str) -> int:
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp())
    return whole * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
