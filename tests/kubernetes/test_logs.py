"""The pieces of a pod's log, on answers as a kubelet gives them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hosting.runtimes import kube_logs
from hosting.runtimes.base import Handle
from hosting.runtimes.kube_client import Cluster
from hosting.runtimes.kube_logs import NOTHING, Cursors, Position
from hosting.runtimes.kubernetes import KubernetesRuntime
from hosting.runtimes.kubernetes_manifests import Placement
from tests.kubernetes.test_client import Answer, ApiServer, cluster, server

__all__ = ["cluster", "server"]

FIRST = b"2026-11-22T17:05:32.908058739Z one\n2026-11-22T17:05:32.908058740Z two\n"
SECOND = b"2026-11-22T17:05:34.100000000Z three\n"
NANO = 10**9
START = 1_795_000_000 * NANO
Log = list[tuple[int, str]]


def texts(mark: Position, answer: bytes) -> tuple[list[str], Position]:
    lines, after, _ = kube_logs.after(mark, [answer])
    return [line.text for line in lines], after


def written(nanoseconds: int, text: str) -> bytes:
    seconds = datetime.fromtimestamp(nanoseconds // NANO, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}.{nanoseconds % NANO:09d}Z {text}\n".encode()


def kubelet(file: Log, mark: Position, chunk: int = 50) -> Iterator[bytes]:
    """What it answers out of its newest file: lines in the order written, those not before a whole second."""
    wanted = kube_logs.query(mark)
    since = wanted.get("sinceTime", "1970-01-01T00:00:00Z").replace("Z", "+00:00")
    first = int(datetime.fromisoformat(since).timestamp()) * NANO
    data = b"".join(written(time, text) for time, text in file if time >= first)
    return (data[at : at + chunk] for at in range(0, len(data), chunk))


class Reader:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.mark = NOTHING

    def look(self, file: Log, chunk: int = 65_536) -> list[str]:
        lines, mark, _ = kube_logs.after(self.mark, kubelet(file, self.mark, chunk))
        self.mark = Position.parse(str(mark))
        self.seen += [line.text for line in lines]
        return [line.text for line in lines]


def test_no_line_comes_twice_and_none_is_lost() -> None:
    first, mark = texts(NOTHING, FIRST)
    again, same = texts(mark, FIRST)
    rest, last = texts(mark, FIRST + SECOND)
    assert (first, again, rest) == (["one", "two"], [], ["three"])
    assert same == mark
    assert texts(last, FIRST + SECOND)[0] == []


@given(
    steps=st.lists(st.integers(min_value=-NANO // 3, max_value=2 * NANO), min_size=1, max_size=60),
    looks=st.sets(st.integers(min_value=0, max_value=60)),
    words=st.integers(min_value=1, max_value=60),
)
@example(steps=[0, -1, 0], looks={3}, words=1)  # back, and at the same time as before
def test_whenever_one_looks_each_line_comes_once_and_in_order(
    steps: list[int], looks: set[int], words: int
) -> None:
    """Times may step back a little or be equal, and texts may be the same."""
    latest, log = START, []
    for number, step in enumerate(steps):
        log.append((latest + step, f"line {number % words}"))
        latest = max(latest, latest + step)
    reader = Reader()
    for upto in [*sorted(looks), len(log)]:
        reader.look(log[:upto], chunk=50)
    assert sorted(reader.seen) == sorted(text for _, text in log)


def test_a_burst_is_read_in_pieces_to_its_end() -> None:
    """All of it in one second, which is all that one can ask the API server for."""
    log = [(START + number, f"{number} " + "x" * 16_000) for number in range(1000)]
    reader = Reader()
    for _ in range(5):
        assert sum(map(len, reader.look(log))) <= kube_logs.MAX_BYTES + 20_000
    assert reader.seen == [text for _, text in log]
    assert reader.look([*log, (START + 1000, "after")]) == ["after"]


def test_empty_lines_are_bounded_too() -> None:
    log = [(START + number, "") for number in range(200_000)]
    reader = Reader()
    assert len(reader.look(log)) < 150_000
    assert len(reader.look(log)) > 50_000


def test_nothing_is_lost_when_the_kubelet_begins_a_new_file() -> None:
    old = [(START + number, f"old {number}") for number in range(5)]
    new = [(START + 10 + number, f"new {number}") for number in range(3)]
    reader = Reader()
    reader.look(old)
    assert reader.look(new) == ["new 0", "new 1", "new 2"]
    assert reader.look([*new, (START + NANO, "new 3")]) == ["new 3"]


def test_nor_what_is_written_out_of_order_just_then() -> None:
    reader = Reader()
    reader.look([(START + 5, "old")])
    assert reader.look([(START + 5, "same time"), (START + 4, "late"), (START + 6, "new")]) == [
        "same time",
        "late",
        "new",
    ]


def test_lines_of_one_time_are_told_apart() -> None:
    log = [(START, "same"), (START, "same")]
    reader = Reader()
    reader.look(log[:1])
    assert reader.look(log) == ["same"]
    assert reader.look(log) == []
    assert reader.look([*log, (START, "same"), (START, "other")]) == ["same", "other"]


def test_a_line_without_end_takes_bounded_room() -> None:
    endless = (b"2026-11-22T17:05:32.000000000Z " + b"x" * 65_505 for _ in range(1))
    more = (b"x" * 65_536 for _ in range(100))
    lines, *_ = kube_logs.after(NOTHING, [*endless, *more, b"\n", SECOND])
    assert [len(line.text) <= kube_logs.LONGEST_LINE for line in lines] == [True, True]
    assert lines[1].text == "three"


def test_a_line_that_was_cut_off_comes_whole_the_next_time() -> None:
    first, mark = texts(NOTHING, FIRST + SECOND[:-3])
    assert first == ["one", "two"]
    assert texts(mark, FIRST + SECOND)[0] == ["three"]


def test_a_node_may_tell_the_time_of_its_own_zone() -> None:
    [line], mark, _ = kube_logs.after(NOTHING, [b"2026-11-22T19:05:34.1+02:00 three\n"])
    assert line.at == datetime(2026, 11, 22, 17, 5, 34, 100_000, tzinfo=UTC)
    assert texts(mark, SECOND)[0] == []


def test_a_word_of_the_kubelets_own_is_no_line() -> None:
    assert texts(NOTHING, FIRST + b"unable to retrieve container logs for containerd://1\n")[0] == [
        "one",
        "two",
    ]


def test_what_is_asked_for_begins_at_a_whole_second() -> None:
    _, mark = texts(NOTHING, FIRST + SECOND)
    assert kube_logs.query(mark)["sinceTime"] == "2026-11-22T17:05:33Z"
    assert "sinceTime" not in kube_logs.query(NOTHING)
    assert "limitBytes" not in kube_logs.query(mark)


def test_cursors_are_kept_for_each_pod() -> None:
    kept = Cursors({"a": Position(5, 1, "ff", 6), "b": Position(7, 2, "00", 7)})
    assert Cursors.parse(str(kept)) == kept
    assert str(Cursors.parse("")) == ""


def test_a_cursor_of_the_old_form_goes_on_where_it_stood() -> None:
    """It held a second before the newest time, and how many lines were read since then."""
    log = [(START, "one"), (START + NANO, "two"), (START + 2 * NANO, "three")]
    old = Cursors.parse(f'{{"a": "{START}:2", "b": "0:0"}}').pods
    assert [line.text for line in kube_logs.after(old["a"], kubelet(log, old["a"]))[0]] == ["three"]
    assert old["b"] == NOTHING


def test_lines_of_several_pods_are_named_and_in_order() -> None:
    one, *_ = kube_logs.after(NOTHING, [SECOND], pod="a")
    two, *_ = kube_logs.after(NOTHING, [FIRST], pod="b")
    assert [line.text for line in kube_logs.merged([one, two])] == ["[b] one", "[b] two", "[a] three"]


# --- Through the runtime, on the stand-in of an API server

HANDLE = Handle("kubernetes", "", {"name": "mcp-012345-weather-42", "deployment": 42})


@pytest.fixture
def runtime(cluster: Cluster) -> KubernetesRuntime:
    return KubernetesRuntime(Placement("0123456789ab", "hosted"))


def pods(restarts: int = 0, **ending: datetime) -> Answer:
    """One that lives, and those that end, with the time when they should be gone."""
    state = {"name": "server", "ready": True, "restartCount": restarts, "state": {"running": {}}}
    status = {"containerStatuses": [state]}
    found = [{"metadata": {"name": "w-1"}, "status": status}]
    for name, at in ending.items():
        about = {"name": name, "deletionTimestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        found.append({"metadata": about, "status": status})
    return 200, {}, {"items": found, "metadata": {"resourceVersion": "5"}}


def log(text: bytes) -> Answer:
    return 200, {}, text


def test_the_last_words_of_a_crash_come_though_a_burst_precedes_them(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    burst = b"".join(written(START + number, "x" * 16_000) for number in range(500))
    crashed = burst + written(START + 1000, "out of cheese")
    seen, cursor = [], ""
    for answers in (
        [log(crashed)],
        [log(crashed)],
        [log(crashed), log(written(START + NANO, "I am back"))],
    ):
        server.answers = [pods(restarts=1), *answers]
        lines, cursor = runtime.output(HANDLE, cursor)
        seen += [line.text for line in lines]
    assert server.answers == []
    assert seen[500:] == ["out of cheese", "I am back"]
    asked = [parse_qs(urlsplit(path).query) for _, path, _ in server.asked if "/log" in path]
    assert ["previous" in query for query in asked] == [True, True, True, False]


def test_a_container_that_cannot_be_read_yet_keeps_what_was_read(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    cursor = first_read(server, runtime)
    server.answers = [pods(restarts=0), server.status(400, "ContainerCreating")]
    assert runtime.output(HANDLE, cursor) == ([], cursor)


def first_read(server: ApiServer, runtime: KubernetesRuntime) -> str:
    server.answers = [pods(restarts=0), log(FIRST), none_before(server)]
    lines, cursor = runtime.output(HANDLE, "")
    assert [line.text for line in lines] == ["one", "two"]
    return cursor


def none_before(server: ApiServer) -> Answer:
    return server.status(400, "previous terminated container not found")


def test_a_restart_that_the_api_server_has_not_heard_of(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    """The lines of the new container are read once, and what the old one wrote at last is not lost."""
    cursor = first_read(server, runtime)
    old, new = log(FIRST + SECOND), log(written(START + NANO, "I am back"))
    server.answers = [pods(restarts=0), new, old]
    assert runtime.output(HANDLE, cursor) == ([], cursor)
    server.answers = [pods(restarts=1), old]
    lines, cursor = runtime.output(HANDLE, cursor)
    assert [line.text for line in lines] == ["three"]
    server.answers = [pods(restarts=1), old, new]
    assert [line.text for line in runtime.output(HANDLE, cursor)[0]] == ["I am back"]


def test_a_restart_that_came_before_the_first_look(server: ApiServer, runtime: KubernetesRuntime) -> None:
    server.answers = [pods(restarts=0), log(SECOND), log(FIRST)]
    assert runtime.output(HANDLE, "") == ([], "")


def test_a_container_that_waits_for_its_restart_is_read(
    server: ApiServer, runtime: KubernetesRuntime
) -> None:
    """Its log is then the one from before, too."""
    server.answers = [pods(restarts=0), log(FIRST), log(FIRST)]
    assert [line.text for line in runtime.output(HANDLE, "")[0]] == ["one", "two"]


@pytest.mark.parametrize("before", [log(SECOND), None], ids=["restarted long ago", "never restarted"])
def test_a_log_that_was_rotated_is_new(
    server: ApiServer, runtime: KubernetesRuntime, before: Answer | None
) -> None:
    cursor = first_read(server, runtime)
    server.answers = [pods(restarts=0), log(SECOND), before or none_before(server)]
    assert [line.text for line in runtime.output(HANDLE, cursor)[0]] == ["three"]


def test_what_a_pod_writes_on_its_way_out_is_read(server: ApiServer, runtime: KubernetesRuntime) -> None:
    now = datetime.now(UTC)
    ending = {"leaving": now + timedelta(seconds=10), "on_a_lost_node": now - timedelta(minutes=5)}
    server.answers = [pods(**ending), log(SECOND), none_before(server), log(FIRST)]
    lines, cursor = runtime.output(HANDLE, "")
    assert [line.text for line in lines] == ["[leaving] one", "[leaving] two", "[w-1] three"]
    server.answers = [pods(**ending), log(SECOND), server.status(403, "its node shuts down")]
    assert runtime.output(HANDLE, cursor) == ([], cursor)
    assert server.answers == []
