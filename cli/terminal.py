"""Output streams of commands. They write control characters out, so that text from outside cannot act on the
terminal.

`guard` wraps the streams of the process: that covers every command, also those of Django and other packages.
`ShownCommand` wraps the streams that a caller passes to a command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand

from cli.visible import visible

DATA = "dumpdata"  # programs read what it writes to a file: every character stays as it is


class Shown:
    """Wraps a stream: what is written goes through `visible`. Colours stay if the stream is a terminal."""

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
    """Wraps the streams of this process. `command` is the name of the command that it runs."""
    sys.stderr = shown(sys.stderr)
    if command != DATA or sys.stdout.isatty():
        sys.stdout = shown(sys.stdout)


class ShownCommand(BaseCommand):
    """A command whose output streams are wrapped, also when other code calls it with streams of its own."""

    def __init__(self, stdout: Any = None, stderr: Any = None, **given: Any) -> None:
        super().__init__(stdout=shown(stdout or sys.stdout), stderr=shown(stderr or sys.stderr), **given)

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):
            if options.get(name):
                options[name] = shown(options[name])
        return super().execute(*args, **options)
