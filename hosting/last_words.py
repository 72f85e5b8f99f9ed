"""What a server or a build wrote last, for the sentence that says why it failed."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOK_BACK = 100  # what is restarted a few times says the same each time, and help on usage is long
OF_THE_BRIDGE = "bridge: "
MARKS = frozenset("~^")  # below the code in a traceback: beside other lines they point at nothing
LONGEST = 500
HEADING = "Traceback (most recent call last):"
# Where in Node's own code, and in which Node: below the message, which matters.
OF_NODE = re.compile(r"at .{1,300}:\d+:\d+\)?$|at .{1,200}\((?:<anonymous>|native)\)$|Node\.js v\d+[\d.]*$")


def last_words(lines: Iterable[str], count: int) -> list[str]:
    """The last `count` of the lines, each once; the bridge's own only where the server wrote nothing.

    `lines` in the order in which they were written.
    """
    newest = [text for line in lines if (text := line.strip()) and not _says_nothing(text)][::-1]
    own = [line for line in newest if not line.startswith(OF_THE_BRIDGE)]
    return list(dict.fromkeys(own or newest))[:count][::-1]


def _says_nothing(text: str) -> bool:
    return text == HEADING or MARKS.issuperset(text) or bool(OF_NODE.match(text[:LONGEST]))
