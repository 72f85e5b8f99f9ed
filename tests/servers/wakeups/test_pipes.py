"""Named pipes, read by real processes that stop, die and leave pipes behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from servers.wakeups import pipes
from tests.servers.wakeups.other import HEARS, Other, other

pytestmark = pytest.mark.slow


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def listener(data: Path) -> Iterator[Other]:
    with other(HEARS, f"sqlite:///{data}/mcphost.sqlite3", data) as made:
        assert made.heard() == "None"
        yield made


def left(data: Path) -> list[Path]:
    return list((data / "wakeups").iterdir())


def test_what_a_killed_process_left_is_removed(data: Path, listener: Other) -> None:
    listener.end()
    assert len(left(data)) == 1
    pipes.send("statuses")
    assert left(data) == []


def test_a_reader_that_hangs_holds_nobody_up(data: Path, listener: Other) -> None:
    listener.process.send_signal(signal.SIGSTOP)
    for _ in range(2 * pipes.MOST // len("statuses\n")):
        pipes.send("statuses")
    listener.process.send_signal(signal.SIGCONT)
    assert listener.heard() == "statuses"


def test_other_accounts_may_not_wake_us(data: Path, listener: Other) -> None:
    [pipe] = left(data)
    assert (pipe.parent.stat().st_mode & 0o777, pipe.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_pipe_is_only_seen_when_it_is_read(data: Path) -> None:
    """Else a sender would take it for one that a killed process left."""
    with pipes.line() as line:
        [pipe] = left(data)
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        assert line.fileno()
    assert left(data) == []


def test_one_that_refuses_does_not_keep_it_from_others(data: Path, listener: Other) -> None:
    """As the pipe of another account does. A pipe that leads to itself refuses everybody."""
    for name in range(20):
        (data / "wakeups" / f"{name}.wake").symlink_to(f"{name}.wake")
    with pytest.raises(OSError, match="symbolic links"):
        pipes.send("statuses")
    assert listener.heard() == "statuses"
