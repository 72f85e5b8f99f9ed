"""Writes the lines of the bridge to stderr, between those of its servers. It logs no body of a message."""

from __future__ import annotations

import sys
from contextlib import suppress

QUOTE_CHARACTERS = 500


def log(text: str) -> None:
    with suppress(OSError):  # without a reader of the log the bridge still serves
        print(f"bridge: {text}", file=sys.stderr, flush=True)


def quote(line: bytes) -> str:
    """Foreign text for the log: printable characters only, at most QUOTE_CHARACTERS."""
    text = line.decode("utf-8", "replace")[:QUOTE_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in text)
