from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from hosting.runtimes import docker_logs
from hosting.runtimes.docker_logs import Cursor

SECOND = 10**9
START = 1_795_000_000 * SECOND


def frame(nanoseconds: int, text: str, stream: int = 1) -> bytes:
    seconds = datetime.fromtimestamp(nanoseconds // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    payload = f"{seconds}.{nanoseconds % SECOND:09d}Z {text}\n".encode()
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def engine(log: list[tuple[int, str]], cursor: Cursor, chunk: int = 50) -> Iterator[bytes]:
    """What the engine answers: of all lines, in the order written, those not before `since`."""
    whole, _, fraction = cursor.since.partition(".")
    since = int(whole) * SECOND + int(fraction)
    data = b"".join(frame(time, text) for time, text in log if time >= since)
    return (data[at : at + chunk] for at in range(0, len(data), chunk))


def test_lines_have_their_stream_time_and_text() -> None:
    data = frame(START + 5, "one") + frame(START + 1_500_000_000, "zw\u00f6lf \x00 \rred", stream=2)
    lines, _ = docker_logs.after(Cursor(), iter([data]))
    assert [(line.stream, line.text) for line in lines] == [("stdout", "one"), ("stderr", "red")]
    assert lines[1].at == datetime.fromtimestamp(START // SECOND + 1.5, UTC)


def test_a_cursor_is_text_that_can_be_saved() -> None:
    cursor = Cursor(START + 42, 7)
    assert Cursor.parse(str(cursor)) == cursor
    assert Cursor.parse("") == Cursor()
    assert cursor.since == f"{START // SECOND}.000000042"


@given(
    steps=st.lists(st.integers(min_value=-SECOND // 3, max_value=2 * SECOND), min_size=1, max_size=60),
    looks=st.sets(st.integers(min_value=0, max_value=60)),
)
def test_no_line_comes_twice_and_none_is_lost(steps: list[int], looks: set[int]) -> None:
    """Times may step back a little, as those of two streams do."""
    latest, log = START, []
    for number, step in enumerate(steps):
        log.append((latest + step, f"line {number}"))
        latest = max(latest, latest + step)
    seen: list[str] = []
    cursor = Cursor()
    for upto in [*sorted(looks), len(log)]:
        lines, cursor = docker_logs.after(cursor, engine(log[:upto], cursor))
        cursor = Cursor.parse(str(cursor))
        seen += [line.text for line in lines]
    assert sorted(seen) == sorted(text for _, text in log)


def test_a_flood_is_read_in_pieces() -> None:
    log = [(START + number, "x" * 16_000) for number in range(1000)]
    seen, cursor = 0, Cursor()
    for _ in range(5):
        lines, cursor = docker_logs.after(cursor, engine(log, cursor, chunk=65_536))
        assert sum(len(line.text) for line in lines) <= docker_logs.MAX_BYTES + 16_000
        seen += len(lines)
    assert seen == len(log)
