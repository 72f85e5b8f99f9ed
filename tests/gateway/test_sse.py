from __future__ import annotations

import pytest

from gateway.sse import LOOKED_AT, Tail


def tail(*chunks: bytes, events: bool = True) -> Tail:
    made = Tail(events=events)
    for chunk in chunks:
        made.feed(chunk)
    return made


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n"])
def test_an_empty_line_ends_an_event(ending: bytes) -> None:
    assert tail(b"data: 1" + ending).between_events
    assert tail(b"data: 1", *(bytes([byte]) for byte in ending)).between_events


@pytest.mark.parametrize("begun", [b"data: 1", b"data: 1\n", b"data: 1\r\n", b"data: 1\n\nid: 2\n"])
def test_within_an_event_is_not_between_events(begun: bytes) -> None:
    assert not tail(begun).between_events


def test_the_last_message_is_found_however_it_was_cut() -> None:
    stream = b': hello\n\ndata: {"id":1}\n\nevent: message\r\nid: 7\r\ndata: {"id":\r\ndata: 2}\r\n\r\n'
    assert tail(stream).message() == {"id": 2}
    assert tail(*(bytes([byte]) for byte in stream)).message() == {"id": 2}


def test_a_body_that_is_no_event_stream_is_looked_at_whole() -> None:
    assert tail(b'{"id":', b"1}", events=False).message() == {"id": 1}


def test_what_is_long_or_no_message_is_not_looked_at() -> None:
    long = b'data: {"id":"' + b"x" * LOOKED_AT + b'"}\n\n'
    assert tail(long).message() == {}
    assert tail(long, b'data: {"id":2}\n\n').message() == {"id": 2}
    assert tail(b"data: 1\n\n").message() == tail(b"<html>", events=False).message() == tail().message() == {}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_counted_and_the_last_is_found_whatever_ends_a_line(end: bytes, size: int) -> None:
    stream = end.join([b"\xef\xbb\xbfdata: {}", b"", b"id: 7", b'data: {"id":2}', b"", b""])
    made = tail(*(stream[at : at + size] for at in range(0, len(stream), size)))
    assert made.message() == {"id": 2}
    assert made.messages == 2 - (size < 3)  # a mark that comes in pieces is not looked for


@pytest.mark.parametrize("after", [b": keep-alive\n\n", b"id: 9\n\n", b"\n", b": no data:\n\n", b"data: {"])
def test_what_follows_the_last_message_does_not_hide_it(after: bytes) -> None:
    message = b'data: {"id":1}\n\n'
    assert tail(message, after).message() == {"id": 1}
    assert tail(message + after).message() == {"id": 1}
    assert tail(message, after, after).message() == {"id": 1}
    assert tail(message, *(bytes([byte]) for byte in after)).message() == {"id": 1}


def test_an_event_that_was_not_completed_is_none() -> None:
    assert tail(b'data: {"id":1}\n').message() == {}


def test_a_comment_does_not_bring_back_what_came_before_a_long_message() -> None:
    long = b'data: {"id":"' + b"x" * LOOKED_AT + b'"}\n\n'
    assert tail(b'data: {"id":1}\n\n', long, b": keep-alive\n\n").message() == {}
