"""Where all commands write: streams that show the control characters of what they are given.

`manage.py` guards the streams of the process, so that every command is held, Django's and other packages' own
too; `ShownCommand` those that a caller of a command gave it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand

from cli.visible import visible

DATA = "dumpdata"  # what it writes to a file is read by programs, and holds every character as it is


class Shown:
    """A stream but for what is written to it. Colours stay on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self.stream.write(visible(text, colours=self.stream.isatty()))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


def shown(stream: Any) -> TextIO:
    return cast("TextIO", stream if isinstance(stream, Shown) else Shown(stream))


def guard(command: str) -> None:
    """Of this process. `command` is the one that it runs."""
    sys.stderr = shown(sys.stderr)
    if command != DATA or sys.stdout.isatty():
        sys.stdout = shown(sys.stdout)


class ShownCommand(BaseCommand):
    """A command whose text is shown wherever it goes, also where another program calls it."""

    def __init__(self, stdout: Any = None, stderr: Any = None, **given: Any) -> None:
        super().__init__(stdout=shown(stdout or sys.stdout), stderr=shown(stderr or sys.stderr), **given)

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):
            if options.get(name):
                options[name] = shown(options[name])
        return super().execute(*args, **options)
