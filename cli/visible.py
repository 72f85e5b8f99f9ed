"""Makes text from outside safe for a terminal. Control characters are written out: a terminal would move the
cursor, rename its window or reverse the direction of writing. Pure."""

from __future__ import annotations

import re

COLOURS = re.compile(r"\x1b\[([0-9;:]*)m")  # SGR of ECMA-48, section 8.3.117
RESET = "\x1b[0m"
# C0 but tab and line feed, DEL, C1; line separators and what sets the direction of writing (Unicode TR 36).
CONTROLS = (
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in CONTROLS}


def visible(text: str, *, colours: bool = False) -> str:
    r"""`text` with control characters written out, `\x1b` for escape. CR LF becomes LF.

    With `colours`, colour codes stay, except the one that hides text. They are reset at the end.
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.isprintable():
        return text
    return _coloured(text) if colours and "\x1b" in text else text.translate(_SHOWN)


def _conceals(parameters: str) -> bool:
    return "8" in [each.lstrip("0") for each in parameters.replace(":", ";").split(";")]


def _coloured(text: str) -> str:
    parts, at, last = [], 0, ""
    for found in COLOURS.finditer(text):
        if _conceals(found[1]):
            continue
        parts += [text[at : found.start()].translate(_SHOWN), found[0]]
        at, last = found.end(), found[1]
    rest = text[at:].translate(_SHOWN)
    if last.strip("0;"):  # else text that follows would have this colour
        line, end = (rest[:-1], "\n") if rest.endswith("\n") else (rest, "")
        rest = line + RESET + end
    return "".join([*parts, rest])
