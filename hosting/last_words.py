"""The last lines that a server or a build has written, for the message that says why it failed."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOK_BACK = 100  # lines to read: a server that is restarted repeats its error, and a usage text is long
OF_THE_BRIDGE = "bridge: "
MARKS = frozenset("~^")  # of a traceback: without the line of code above they say nothing
LONGEST = 500
HEADING = "Traceback (most recent call last):"
# Lines of Node's stack trace and its version. They follow the message, which is the line to show.
OF_NODE = re.compile(r"at .{1,300}:\d+:\d+\)?$|at .{1,200}\((?:<anonymous>|native)\)$|Node\.js v\d+[\d.]*$")


def last_words(lines: Iterable[str], count: int) -> list[str]:
    """The last `count` of `lines`, oldest first and without repeats. Empty lines and stack traces are left
    out.

    Lines of the bridge are taken only where the server itself has written none.
    """
    newest = [text for line in lines if (text := line.strip()) and not _says_nothing(text)][::-1]
    own = [line for line in newest if not line.startswith(OF_THE_BRIDGE)]
    return list(dict.fromkeys(own or newest))[:count][::-1]


def _says_nothing(text: str) -> bool:
    return text == HEADING or MARKS.issuperset(text) or bool(OF_NODE.match(text[:LONGEST]))
