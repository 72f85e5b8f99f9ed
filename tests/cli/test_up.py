"""A signal that comes while the platform starts its parts: see tests/e2e/test_up.py for whole platforms."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cli.management.commands import up
from servers.deploying import heartbeat
from servers.operations import background
from tests.platform import Platform


class Interrupted(background.Background):
    """Somebody presses Ctrl-C just before its threads start."""

    def start(self) -> None:
        signal.raise_signal(signal.SIGINT)
        super().start()


@pytest.fixture
def handlers() -> Iterator[None]:
    """A platform that stops listens to no signal any more; these tests go on."""
    before = {number: signal.getsignal(number) for number in up.STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    heartbeat.interrupted.clear()


def test_what_was_started_is_stopped(idle: Platform, handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "Background", Interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), up._background(frozenset(up.PARTS), said.append):
        pytest.fail("it serves")
    assert said == ["\nStopping …", "Stopped."]
