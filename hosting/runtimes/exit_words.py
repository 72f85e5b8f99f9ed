"""Explains exit codes in sentences, and says what helps."""

from __future__ import annotations

import signal

EXITED = "Correct its code, its command or its environment; then redeploy."
_KNOWN = {
    0: "It ended by itself with exit code 0: an MCP server has to keep running.",
    126: "Its command could not be executed (exit code 126).",
    127: "Its command was not found (exit code 127).",
}
_SIGNALS = {
    signal.SIGKILL: "It was killed (SIGKILL): most often that means out of memory.",
    signal.SIGTERM: "It was asked to stop (SIGTERM).",
}


def describe_exit(code: int | None) -> str:
    """A sentence for an exit code. A signal is negative, as in `subprocess`, or 128 + its number, as in a
    container (POSIX, XCU 2.8.2). None: the code is not known.
    """
    if code is None:
        return "It has exited; its exit code is not known, because the platform was restarted meanwhile."
    if code in _KNOWN:
        return _KNOWN[code]
    number = _signal_of(code)
    if number is None:
        return f"It exited with code {code}."
    return _SIGNALS.get(number, f"It crashed with {number.name}.")


def _signal_of(code: int) -> signal.Signals | None:
    try:
        return signal.Signals(-code if code < 0 else code - 128)
    except ValueError:
        return None
