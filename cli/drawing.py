"""Tables and progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cli.terminal import Shown
from cli.visible import visible


class Console(rich.console.Console):
    """Rich's console on the standard output. Rich may move the cursor; the text that it prints may not, and
    is not read as markup."""

    def __init__(self, **given: Any) -> None:
        stream: Any = sys.stdout
        unguarded = stream.stream if isinstance(stream, Shown) else stream
        super().__init__(file=unguarded, highlight=False, markup=False, **given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def drawn(text: str) -> Text:
    """A line from outside with its own colours; other control characters are written out."""
    return Text.from_ansi(visible(text, colours=True))
