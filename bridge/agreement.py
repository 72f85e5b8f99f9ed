"""Whether the headers of a modern request say what its body says.

Servers must refuse a request whose headers do not (2026-07-28, Streamable HTTP, "Server validation"). The
bridge checks this for the program behind it, which sees no headers. The gateway checks it because its own
rules and records rely on both.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Callable, Dict, Optional, Sequence

from bridge import jsonrpc, protocol

_ENCODED = re.compile(r"=\?base64\?(.*)\?=\Z")


def disagreement(values: Callable[[str], Sequence[str]], message: jsonrpc.Message) -> Optional[str]:
    """The first header that is repeated or does not say what the body says; None when all agree.

    Args:
        values: every value of a header, without the white space around it; it is asked by the name of the
            header as the specification writes it.
        message: a JSON-RPC request.
    """
    for header, said in _mirrored(message).items():
        given = values(header)
        if len(given) > 1:
            return header
        if header == protocol.NAME_HEADER:
            agrees = said is None or decoded(given[0] if given else None) == said
        else:
            agrees = bool(given) and given[0] == said
        if not agrees:
            return header
    return None


def _mirrored(message: jsonrpc.Message) -> Dict[str, Any]:
    """What the body says, by the header that repeats it. The name is None where there is none to repeat."""
    method = message["method"]
    return {
        protocol.VERSION_HEADER: jsonrpc.meta(message).get(protocol.VERSION_KEY),
        protocol.METHOD_HEADER: method,
        protocol.NAME_HEADER: jsonrpc.params(message).get(protocol.NAMED[method])
        if method in protocol.NAMED
        else None,
    }


def decoded(value: Optional[str]) -> Optional[str]:
    """The text behind `=?base64?…?=`, or the value itself where it has not that form; None for base64 that is
    not canonical or no UTF-8."""
    found = _ENCODED.match(value or "")
    if not found:
        return value
    try:
        text = base64.b64decode(found[1], validate=True)
        return text.decode("utf-8") if base64.b64encode(text).decode() == found[1] else None
    except (binascii.Error, ValueError):
        return None
