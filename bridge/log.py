"""The bridge's own lines on stderr, between those of its servers. Bodies of messages never go here."""

from __future__ import annotations

import sys
from contextlib import suppress

QUOTE_CHARACTERS = 500


def log(text: str) -> None:
    with suppress(OSError):  # whoever read the log is gone: no reason to stop serving
        print(f"bridge: {text}", file=sys.stderr, flush=True)


def quote(line: bytes) -> str:
    """Foreign text, printable and short."""
    text = line.decode("utf-8", "replace")[:QUOTE_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in text)
