"""Checks that the headers of a modern request say the same as its body.

Servers must refuse other requests (2026-07-28, Streamable HTTP, "Server validation"). The bridge checks this
for its server, which sees no headers. The gateway checks it because its rules and its records use both.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Callable, Dict, Optional, Sequence

from bridge import jsonrpc, protocol

_ENCODED = re.compile(r"=\?base64\?(.*)\?=\Z")


def disagreement(values: Callable[[str], Sequence[str]], message: jsonrpc.Message) -> Optional[str]:
    """The name of the first header that is repeated or differs from the body; None when all agree.

    `values` returns all values of a header, without white space around them; it is called with the name as
    the specification writes it. `message` is a request.
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
    """The values of the body by header. That of Mcp-Name is None for a method without a name."""
    method = message["method"]
    return {
        protocol.VERSION_HEADER: jsonrpc.meta(message).get(protocol.VERSION_KEY),
        protocol.METHOD_HEADER: method,
        protocol.NAME_HEADER: jsonrpc.params(message).get(protocol.NAMED[method])
        if method in protocol.NAMED
        else None,
    }


def decoded(value: Optional[str]) -> Optional[str]:
    """The text in `=?base64?…?=`, or the value itself where it has another form. None where the base64 is not
    canonical (RFC 4648, section 3.5) or its text is not UTF-8.
    """
    found = _ENCODED.match(value or "")
    if not found:
        return value
    try:
        text = base64.b64decode(found[1], validate=True)
        return text.decode("utf-8") if base64.b64encode(text).decode() == found[1] else None
    except (binascii.Error, ValueError):
        return None
