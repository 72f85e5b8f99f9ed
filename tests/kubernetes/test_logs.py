"""The pieces of a pod's log, on answers as the API server gives them."""

from __future__ import annotations

from servers.runtimes import kube_logs
from servers.runtimes.docker_logs import Cursor
from servers.runtimes.kube_logs import Cursors

FIRST = b"2026-11-22T17:05:32.908058739Z one\n2026-11-22T17:05:32.908058740Z two\n"
SECOND = b"2026-11-22T17:05:34.100000000Z three\n"


def texts(cursor: Cursor, answer: bytes) -> tuple[list[str], Cursor]:
    lines, after = kube_logs.after(cursor, answer)
    return [line.text for line in lines], after


def test_no_line_comes_twice_and_none_is_lost() -> None:
    first, cursor = texts(Cursor(), FIRST)
    again, same = texts(cursor, FIRST)
    rest, last = texts(cursor, FIRST + SECOND)
    assert (first, again, rest) == (["one", "two"], [], ["three"])
    assert same == cursor
    assert texts(last, FIRST + SECOND)[0] == []


def test_a_line_that_a_limit_cut_off_comes_whole_the_next_time() -> None:
    first, cursor = texts(Cursor(), FIRST + SECOND[:-3])
    assert first == ["one", "two"]
    assert texts(cursor, FIRST + SECOND)[0] == ["three"]


def test_what_is_asked_for_begins_at_a_whole_second() -> None:
    _, cursor = texts(Cursor(), FIRST + SECOND)
    assert kube_logs.query(cursor)["sinceTime"] == "2026-11-22T17:05:33Z"
    assert "sinceTime" not in kube_logs.query(Cursor())


def test_cursors_are_kept_for_each_pod() -> None:
    kept = Cursors({"a": Cursor(5, 1), "b": Cursor(7, 2)})
    assert Cursors.parse(str(kept)) == kept
    assert str(Cursors.parse("")) == ""


def test_lines_of_several_pods_are_named_and_in_order() -> None:
    one, _ = kube_logs.after(Cursor(), SECOND, pod="a")
    two, _ = kube_logs.after(Cursor(), FIRST, pod="b")
    assert [line.text for line in kube_logs.merged([one, two])] == ["[b] one", "[b] two", "[a] three"]
