"""Reads the output of a container from the engine in pieces: each line once, and all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hosting.runtimes.base import OutputLine
from hosting.runtimes.output_files import clean

MAX_BYTES = 4 << 20
_HEADER = 8
_OVERLAP = 1_000_000_000
_STREAMS: dict[int, Literal["stdout", "stderr"]] = {1: "stdout", 2: "stderr"}


@dataclass(frozen=True)
class Cursor:
    """How far the output was read: of the lines at or after `anchor` (nanoseconds), the first `count`.

    The engine only appends lines, and it writes a line at most a moment after the time of the line. So in the
    list of all lines since an anchor one second in the past, new lines only come at the end, although the
    times in it may be out of order.
    """

    anchor: int = 0
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Reads what `str` of a cursor gives; "" is the start."""
        anchor, _, count = text.partition(":")
        return cls(int(anchor or 0), int(count or 0))

    def __str__(self) -> str:
        return f"{self.anchor}:{self.count}"

    @property
    def since(self) -> str:
        """For the parameter `since` of the API: seconds, with nanoseconds as the fraction."""
        return f"{self.anchor // 10**9}.{self.anchor % 10**9:09d}"

    def advanced(self, times: Sequence[int]) -> Cursor:
        """The next cursor, given the times of all lines since this anchor."""
        if not times:
            return self
        anchor = max(self.anchor, max(times) - _OVERLAP)
        return Cursor(anchor, sum(time >= anchor for time in times))


@dataclass(frozen=True)
class _Entry:
    time: int
    line: OutputLine


def after(cursor: Cursor, chunks: Iterator[bytes]) -> tuple[list[OutputLine], Cursor]:
    """The lines after `cursor`, about MAX_BYTES, and the next cursor.

    `chunks` is the answer of "Get container logs" to `since=cursor.since`, with timestamps.
    """
    entries = list(_bounded(_entries(chunks), cursor.count))
    times = [entry.time for entry in entries]
    new = sorted(entries[cursor.count :], key=lambda entry: entry.time)
    return [entry.line for entry in new], cursor.advanced(times)


def _bounded(entries: Iterator[_Entry], known: int) -> Iterator[_Entry]:
    """The first `known` entries, then new ones until their text has MAX_BYTES."""
    taken = 0
    for number, entry in enumerate(entries):
        yield entry
        taken += len(entry.line.text) if number >= known else 0
        if taken > MAX_BYTES:
            return


def _entries(chunks: Iterator[bytes]) -> Iterator[_Entry]:
    """Decodes the frames (Engine API, "Attach to a container"): stream, 3 zeros, length, one line."""
    pending = b""
    for chunk in chunks:
        pending += chunk
        at = 0
        while frame := _frame(pending, at):
            at += _HEADER + len(frame[1])
            yield _entry(*frame)
        pending = pending[at:]


def _frame(data: bytes, at: int) -> tuple[int, bytes] | None:
    start = at + _HEADER
    end = start + int.from_bytes(data[at + 4 : start], "big")
    if len(data) < start or len(data) < end:
        return None
    return data[at], data[start:end]


def _entry(stream: int, payload: bytes) -> _Entry:
    """Splits a line such as `2026-11-22T17:05:32.908058739Z text`."""
    stamp, _, text = payload.partition(b" ")
    time = _nanoseconds(stamp.decode("ascii", "replace"))
    at = datetime.fromtimestamp(time / 10**9, UTC)
    return _Entry(time, OutputLine(at, _STREAMS.get(stream, "stdout"), clean(text)))


def _nanoseconds(stamp: str) -> int:
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp())
    return whole * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
