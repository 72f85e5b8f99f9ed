"""Follows one deployment as a reader would: which files it leads through, and how often one comes back.

**Files**: those of `servers` and `hosting` of which a function is called. Rows (`servers/models`) are left
out, and so are the libraries below: one reads what they are for, not how they do it. A file from which
nothing of ours in another file is called is a **leaf**: one looks it up, and the way goes on elsewhere.
**Returns**: pairs of a function in these files, and another file of ours into which it calls. One goes there,
reads, and comes back; what is called twice, or by a loop, counts once.

Code that is not ours (Django, a thread pool) is passed over. What a class makes by itself, the top of a
module, the sign of life and the writer of the log are no part of the way.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from tests.rooms import ROOMS, ROOT

OURS = tuple(f"{ROOT / room}/" for room in ROOMS)
ASIDE = ("heartbeat", "logbook")  # threads


def _is_followed(file: str) -> bool:
    return file.startswith(("servers/", "hosting/")) and not file.startswith("servers/models/")


@dataclass
class Way:
    entered: set[str] = field(default_factory=set)
    calls: set[tuple[str, str, str]] = field(default_factory=set)  # file, function, file that it calls into

    def enter(self, frame: FrameType) -> None:
        if not (here := _place(frame)):
            return
        self.entered.add(here[0])
        above = frame.f_back
        while above and not _place(above):
            above = above.f_back
        caller = _place(above) if above else None
        if caller and caller[0] != here[0]:
            self.calls.add((*caller, here[0]))

    @property
    def files(self) -> list[str]:
        return sorted(filter(_is_followed, self.entered))

    @property
    def leaves(self) -> list[str]:
        leading = {caller for caller, _, _ in self.calls}
        return [file for file in self.files if file not in leading]

    @property
    def returns(self) -> list[tuple[str, str, str]]:
        return sorted(call for call in self.calls if _is_followed(call[0]))

    def told(self) -> str:
        """For a person: files with the returns of each, leaves last."""
        leading = [file for file in self.files if file not in self.leaves]
        lines = [f"{len(self.files)} files ({len(self.leaves)} of them leaves), {len(self.returns)} returns"]
        for file in leading:
            lines.append(f"{sum(call[0] == file for call in self.returns):4} {file}")
        return "\n".join([*lines, *(f"   – {file}" for file in self.leaves)])


def _place(frame: FrameType) -> tuple[str, str] | None:
    """File and function, where they are ours."""
    code = frame.f_code
    if not code.co_filename.startswith(OURS) or code.co_name == "<module>":
        return None
    return code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname


@contextmanager
def followed(until: Callable[..., Any]) -> Iterator[Way]:
    """Follows this thread, and those that it starts, until the function `until` returns."""
    way, over, last = Way(), threading.Event(), until.__code__

    def look(frame: FrameType, event: str, _: object) -> None:
        if over.is_set():
            sys.setprofile(None)
        elif event == "call" and not threading.current_thread().name.startswith(ASIDE):
            way.enter(frame)
        elif event == "return" and frame.f_code is last:
            over.set()

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield way
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert over.is_set(), f"{until} was never reached"
