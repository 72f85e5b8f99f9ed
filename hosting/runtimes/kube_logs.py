"""The log of a pod's container, read from the API server in pieces: no line twice, none lost."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hosting.runtimes.base import OutputLine
from hosting.runtimes.kube_pods import CONTAINER
from hosting.runtimes.output_files import clean

MAX_BYTES = 4 << 20  # of what is new, in one look
LONGEST_LINE = 1 << 20
_OVERLAP = 1_000_000_000  # what two streams of one container write lies a moment out of order
_DOUBTFUL = 1000
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Mark:
    """The line that was read last, in the order of the log: its time (nanoseconds), its number in the row of
    lines of that time, the hash of its text. `newest` is the latest time of all that was read.

    A log only grows, so what follows that line is new. A kubelet shows the newest of its files only: where a
    newer line comes and that one did not, the file is a new one, and so is all of it.
    """

    time: int = 0
    nth: int = 0
    digest: str = ""
    newest: int = 0

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Also what was saved in its place once: a second before the newest time, and a count."""
        parts = text.split(":")
        if len(parts) == 4:
            return cls(int(parts[0]), int(parts[1]), parts[2], int(parts[3]))
        before = int(parts[0] or 0)
        return cls(newest=before + _OVERLAP) if before else cls()

    def __str__(self) -> str:
        return f"{self.time}:{self.nth}:{self.digest}:{self.newest}"

    @property
    def since(self) -> int:
        """From where the log has to be read again, in seconds; 0 from its start."""
        return max(0, ((self.time or self.newest) - _OVERLAP) // 10**9)


NOTHING = Mark()


@dataclass(frozen=True)
class Cursors:
    """How far one has read of each pod, or of each of its containers once it was restarted."""

    pods: Mapping[str, Mark] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Cursors:
        held: Mapping[str, str] = json.loads(text or "{}")
        return cls({pod: Mark.parse(position) for pod, position in held.items()})

    def __str__(self) -> str:
        """ "" where nothing was read."""
        read = {pod: str(mark) for pod, mark in sorted(self.pods.items())}
        return json.dumps(read) if read else ""


def life(pod: str, number: int) -> str:
    """The name under which the output of a pod's container is kept count of; 0 is its first."""
    return f"{pod} ({number})" if number else pod


def query(mark: Mark, *, previous: bool = False) -> dict[str, str]:
    """Parameters for a pod's log. The API server takes whole seconds only, and its limit would leave what is
    known and cut off what is new.
    """
    since = datetime.fromtimestamp(mark.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "container": CONTAINER,
        "timestamps": "true",
        **({"sinceTime": since} if mark.since else {}),
        **({"previous": "true"} if previous else {}),
    }


def after(mark: Mark, chunks: Iterable[bytes], *, pod: str = "") -> tuple[list[OutputLine], Mark]:
    """The lines of an answer to `query` that come after `mark`, some MAX_BYTES, and the next one.

    `pod` is set before each. The API does not tell stdout and stderr apart.
    """
    new = list(_bounded(_new(mark, _entries(chunks))))
    if not new:
        return [], mark
    last, newest = new[-1], max(mark.newest, *(entry.time for entry in new))
    prefix = f"[{pod}] " if pod else ""
    lines = [OutputLine(entry.at, "stdout", prefix + clean(entry.text)) for entry in new]
    return lines, Mark(last.time, last.nth, last.digest, newest)


def merged(parts: Sequence[Sequence[OutputLine]]) -> list[OutputLine]:
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

    def is_at(self, mark: Mark) -> bool:
        return (self.time, self.nth) == (mark.time, mark.nth) and self.digest == mark.digest


def _new(mark: Mark, entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """What follows the marked line. Until that comes, lines are doubtful. A newer one decides: it stands only
    behind the marked line, or in a new file.
    """
    doubtful = deque[_Entry](maxlen=_DOUBTFUL if mark.digest else 0)
    for entry in entries:
        if entry.is_at(mark):
            break
        if entry.time > mark.newest:
            yield from (*doubtful, entry)
            break
        doubtful.append(entry)
    yield from entries


def _bounded(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    taken = 0
    for entry in entries:
        yield entry
        taken += len(entry.text) + 32  # with its time: empty lines take room too
        if taken > MAX_BYTES:
            return


def _entries(chunks: Iterable[bytes]) -> Iterator[_Entry]:
    """`2026-11-22T17:05:32.908058739Z text`; what has no time is the kubelet's own word."""
    time = nth = 0
    for line in _whole(chunks):
        stamp, _, text = line.partition(b" ")
        if found := _STAMP.fullmatch(stamp):
            at = _nanoseconds(found)
            nth = nth + 1 if at == time else 1
            time = at
            yield _Entry(time, nth, text)


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines only, for the rest comes the next time; of one without end, its beginning."""
    pending = b""
    for chunk in chunks:
        for number, piece in enumerate(chunk.split(b"\n")):
            if number:
                yield pending
                pending = b""
            pending += piece[: LONGEST_LINE - len(pending)]


def _nanoseconds(stamp: re.Match[bytes]) -> int:
    """A node may tell the time of its own zone."""
    seconds, fraction, zone = (part.decode() for part in stamp.groups(b""))
    whole = datetime.fromisoformat(seconds + zone.replace("Z", "+00:00"))
    return int(whole.timestamp()) * 10**9 + int(fraction.ljust(9, "0"))
