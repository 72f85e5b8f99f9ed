"""A command's output, to the last word."""

from __future__ import annotations

import selectors
import sys
from typing import Any

import psutil
import pytest

from hosting import process_group
from hosting.deadline import Deadline
from tests.eventually import eventually


class LooksTooEarly(selectors.DefaultSelector):
    """Its first look finds nothing, and the command writes all that it has and ends right after it."""

    looks = 0
    others: set[psutil.Process] = set()

    def select(self, timeout: float | None = None) -> Any:
        type(self).looks += 1
        if self.looks > 1:
            return super().select(timeout)
        [command] = set(psutil.Process().children()) - self.others
        eventually(lambda: command.status() == psutil.STATUS_ZOMBIE, what="the command has ended")
        return []


def test_what_a_command_writes_between_a_vain_look_and_its_end_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LooksTooEarly, "others", set(psutil.Process().children()))
    monkeypatch.setattr(process_group.selectors, "DefaultSelector", LooksTooEarly)
    said: list[str] = []
    script = "print('the reason'); raise SystemExit(3)"
    code = process_group.run([sys.executable, "-c", script], deadline=Deadline.of(60), on_line=said.append)
    assert (code, said) == (3, ["the reason"])
