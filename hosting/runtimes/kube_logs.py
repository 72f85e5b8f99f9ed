"""Reads the log of a pod's container from the API server in pieces: each line once, and all of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

from hosting.runtimes.base import OutputLine
from hosting.runtimes.kube_pods import CONTAINER
from hosting.runtimes.output_files import clean

MAX_BYTES = 4 << 20  # of new lines in one call
LONGEST_LINE = 1 << 20
_OVERLAP = 1_000_000_000  # nanoseconds: the lines of two streams can be out of order by a moment
_DOUBTFUL = 1000
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Position:
    """The position in a log: the line that was read last.

    `time` is in nanoseconds, `nth` is its number among the lines of the same time, `digest` is the hash of
    its text. `newest` is the latest time of all lines that were read.

    A log only grows, so the lines after that line are new. But a kubelet rotates its files and shows only the
    newest. When a line comes with a later time than `newest`, and the marked line has not come before, the
    file is a new one and all its lines are new.
    """

    time: int = 0
    nth: int = 0
    digest: str = ""
    newest: int = 0

    @classmethod
    def parse(cls, text: str) -> Position:
        """Reads what `str` of a position gives, and what an older version saved: the newest time less a
        second, and a count.
        """
        parts = text.split(":")
        if len(parts) == 4:
            return cls(int(parts[0]), int(parts[1]), parts[2], int(parts[3]))
        before = int(parts[0] or 0)
        return cls(newest=before + _OVERLAP) if before else cls()

    def __str__(self) -> str:
        return f"{self.time}:{self.nth}:{self.digest}:{self.newest}"

    @property
    def since(self) -> int:
        """The time in seconds from which to read again; 0 is the start of the log."""
        return max(0, ((self.time or self.newest) - _OVERLAP) // 10**9)


NOTHING = Position()


class Piece(NamedTuple):
    """What was read of a log: the new lines, and the next position. `marked`: the marked line was in it."""

    lines: list[OutputLine]
    position: Position
    marked: bool


@dataclass(frozen=True)
class Cursors:
    """The position in the log of each container of a run; the keys are those of `key`."""

    pods: Mapping[str, Position] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Cursors:
        """Reads what `str` of cursors gives; "" is the start."""
        held: Mapping[str, str] = json.loads(text or "{}")
        return cls({pod: Position.parse(position) for pod, position in held.items()})

    def __str__(self) -> str:
        """ "" where nothing was read."""
        read = {pod: str(position) for pod, position in sorted(self.pods.items())}
        return json.dumps(read) if read else ""


def key(pod: str, restarts: int) -> str:
    """The key of a container: the name of its pod, and the number of restarts where it is not 0."""
    return f"{pod} ({restarts})" if restarts else pod


def query(position: Position, *, previous: bool = False) -> dict[str, str]:
    """The parameters to read a pod's log (core/v1, "read log of the specified Pod").

    `sinceTime` has a resolution of one second. `limitBytes` is not used: it would return the lines that are
    known already, and cut off the new ones. `previous` reads the container before the last restart.
    """
    since = datetime.fromtimestamp(position.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "container": CONTAINER,
        "timestamps": "true",
        **({"sinceTime": since} if position.since else {}),
        **({"previous": "true"} if previous else {}),
    }


def after(position: Position, chunks: Iterable[bytes], *, pod: str = "") -> Piece:
    """The lines after `position` in an answer to `query`, about MAX_BYTES, and the next position.

    Where `pod` is given, each line begins with it. All lines count as stdout: the API mixes both streams.
    """
    entries = _entries(chunks)
    kept_back, marked = _passed_over(position, entries)
    new = list(_bounded(chain(kept_back, entries)))
    if not new:
        return Piece([], position, marked)
    last, newest = new[-1], max(position.newest, *(entry.time for entry in new))
    prefix = f"[{pod}] " if pod else ""
    lines = [OutputLine(entry.at, "stdout", prefix + clean(entry.text)) for entry in new]
    return Piece(lines, Position(last.time, last.nth, last.digest, newest), marked)


def merged(parts: Sequence[Sequence[OutputLine]]) -> list[OutputLine]:
    """All lines of several containers, ordered by time."""
    return sorted((line for part in parts for line in part), key=lambda line: line.at)


@dataclass(frozen=True)
class _Entry:
    time: int
    nth: int
    text: bytes

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.time / 10**9, UTC)

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.text, digest_size=8).hexdigest()

    def is_at(self, position: Position) -> bool:
        return (self.time, self.nth) == (position.time, position.nth) and self.digest == position.digest


def _passed_over(position: Position, entries: Iterator[_Entry]) -> tuple[list[_Entry], bool]:
    """Takes the entries up to the marked line, and returns those that are new all the same, and whether the
    marked line was among them.

    Until it comes, entries are kept back, since they may be known. An entry newer than `position.newest`
    cannot come before the marked line, so it shows that the file is a new one.
    """
    doubtful = deque[_Entry](maxlen=_DOUBTFUL if position.digest else 0)
    for entry in entries:
        if entry.is_at(position):
            return [], True
        if entry.time > position.newest:
            return [*doubtful, entry], False
        doubtful.append(entry)
    return [], False


def _bounded(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    taken = 0
    for entry in entries:
        yield entry
        taken += len(entry.text) + 32  # 32 for its time: empty lines take room too
        if taken > MAX_BYTES:
            return


def _entries(chunks: Iterable[bytes]) -> Iterator[_Entry]:
    """Parses lines such as `2026-11-22T17:05:32.908058739Z text`. Lines of the kubelet have no time."""
    counts: dict[int, int] = {}  # of the newest times alone: a clock steps back a little, not far
    for line in _whole(chunks):
        stamp, _, text = line.partition(b" ")
        if found := _STAMP.fullmatch(stamp):
            time = _nanoseconds(found)
            counts[time] = counts.get(time, 0) + 1
            yield _Entry(time, counts[time], text)
            if len(counts) > _DOUBTFUL:
                del counts[next(iter(counts))]


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Complete lines only: an unfinished one comes with the next call. Long lines are cut to LONGEST_LINE."""
    pending = b""
    for chunk in chunks:
        for number, piece in enumerate(chunk.split(b"\n")):
            if number:
                yield pending
                pending = b""
            pending += piece[: LONGEST_LINE - len(pending)]


def _nanoseconds(stamp: re.Match[bytes]) -> int:
    """The time in nanoseconds since 1970. A node may write the time of its own zone."""
    seconds, fraction, zone = (part.decode() for part in stamp.groups(b""))
    whole = datetime.fromisoformat(seconds + zone.replace("Z", "+00:00"))
    return int(whole.timestamp()) * 10**9 + int(fraction.ljust(9, "0"))
