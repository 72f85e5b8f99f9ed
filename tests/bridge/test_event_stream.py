"""Streams are cut as the WHATWG's HTML says ("Parsing an event stream"), in Python and on the page."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.event_stream import Splitter, TooLong, data_of, with_data, written

PAGE = Path(__file__).parents[2] / "static/mcphost/mcp.js"
READS = """
const { EventSplitter } = await import(`data:text/javascript,${encodeURIComponent(SOURCE)}`);
console.log(JSON.stringify(STREAMS.map((pieces) => {
  const splitter = new EventSplitter();
  return pieces.flatMap((piece) => [...splitter.feed(piece)]);
})));
"""
# A stream, and the data of the events that a client is given.
CASES = {
    "LF": ("data: 1\n\ndata: 2\n\n", ["1", "2"]),
    "CRLF": ("data: 1\r\n\r\ndata: 2\r\n\r\n", ["1", "2"]),
    "CR": ("data: 1\r\rdata: 2\r\r", ["1", "2"]),
    "mixed": ("data: 1\r\n\ndata: 2\n\rdata: 3\r\r\ndata: 4\n\r\n", ["1", "2", "3", "4"]),
    "a byte order mark": ("\ufeffdata: 1\n\n", ["1"]),
    "one is enough": ("\ufeff\ufeffdata: 1\n\ndata: 2\n\n", ["2"]),
    "lines are joined": ("data: 1\ndata: 2\r\ndata:3\rdata:\n\n", ["1\n2\n3\n"]),
    "one space": ("data:1\n\ndata: 1\n\ndata:  1\n\n", ["1", "1", " 1"]),
    "no colon": ("data\n\ndata\ndata\n\n", ["", "\n"]),
    "other fields": ("event: message\nid: 7\nretry: 1\ndata: 1\ndatum: 2\nDATA: 3\n\n", ["1"]),
    "comments": (": hello\n\n:data: 1\n\ndata: 2\n: 3\n\n", ["2"]),
    "nothing without data": ("id: 7\n\nevent: message\n\n\n\n", []),
    "nothing without an empty line": ("data: 1\n\ndata: 2\n", ["1"]),
    "empty lines": ("\n\n\r\r\r\n\r\n\ndata: 1\n\n\n\n", ["1"]),
    "nothing": ("", []),
    "text": ('data: {"a": "é\u2028 ✓\x0b\x0c\x85"}\n\n', ['{"a": "é\u2028 ✓\x0b\x0c\x85"}']),
}


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("case", CASES)
def test_a_stream_in_pieces(case: str, size: int) -> None:
    stream, expected = CASES[case][0].encode(), [each.encode() for each in CASES[case][1]]
    splitter, events = Splitter(), list[bytes]()
    for at in range(0, len(stream), size):
        events += splitter.feed(stream[at : at + size])
    assert [data for each in events if (data := data_of(each)) is not None] == expected
    assert b"".join(events) + splitter.rest() == stream


def test_the_page_reads_them_alike() -> None:
    streams = [_pieces(stream, size) for size in (1, 2, 3, 1000) for stream, _ in CASES.values()]
    constants = f"const SOURCE = {json.dumps(PAGE.read_text())}, STREAMS = {json.dumps(streams)};"
    argv = ["node", "--input-type=module", "-"]
    done = subprocess.run(argv, input=constants + READS, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [expected for _ in range(4) for _, expected in CASES.values()]


def _pieces(stream: str, size: int) -> list[str]:
    """As a decoder of UTF-8 hands them on: it has taken the byte order mark."""
    text = stream.removeprefix("\ufeff")
    return [text[at : at + size] for at in range(0, len(text), size)]


def test_an_event_is_there_with_the_end_of_its_empty_line() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: 1\r\n\r") == [b"data: 1\r\n\r"]
    assert splitter.feed(b"\ndata: 2\r\r") == [b"\ndata: 2\r\r"]
    assert splitter.rest() == b""


def test_only_so_much_of_an_event_is_held() -> None:
    splitter = Splitter(limit=20)
    assert splitter.feed(b"data: 1\n\n" * 10) == [b"data: 1\n\n"] * 10
    assert splitter.feed(b"data: 0123456789") == []
    with pytest.raises(TooLong):
        splitter.feed(b"01234")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_data_is_replaced_and_all_else_stays(end: str) -> None:
    event = end.join(["", ": note", "data: 1", "id: 7", "data", "", ""]).encode()
    changed = with_data(event, b"{}")
    assert changed == f"{end}: note\nid: 7\ndata: {{}}{end}{end}".encode()
    assert data_of(changed) == b"{}"


def test_an_event_is_written() -> None:
    assert written(b'{"a":\r1}') == b'event: message\ndata: {"a": 1}\n\n'
    assert written(b"1", "s-1") == b"event: message\nid: s-1\ndata: 1\n\n"
