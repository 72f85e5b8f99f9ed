"""Checks `Mcp-Param-*` headers (2026-07-28, Streamable HTTP, "Custom headers"), which repeat arguments of a
tool.

A server that speaks HTTP checks them itself. A server behind the bridge does not see headers, so they are
checked here, by the tools' schemas that were listed at its deployment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge import agreement, protocol
from gateway.era import mismatch
from gateway.request import Request
from servers.models import Deployment

KEY = "x-mcp-header"
PREFIX = protocol.ARGUMENT_HEADER.lower().encode()
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
TYPES = frozenset({"string", "integer", "boolean"})
DECIMAL = re.compile(r"-?[0-9]+(\.0+)?\Z")


@dataclass(frozen=True)
class Mirrored:
    """An argument that is also sent as a header; `path` leads to it in the arguments."""

    path: tuple[str, ...]
    header: bytes
    type: str


Declared = dict[str, list[Mirrored]]


def declared_by(run_id: int) -> Declared:
    """Queries which tools of a run have such arguments; returns them by the tool's name. A restart may bring
    others."""
    found = Deployment.objects.filter(runs=run_id).values_list("discovery", flat=True).first()
    tools = found.get("tools", ()) if isinstance(found, dict) else ()
    named = [tool for tool in tools if isinstance(tool.get("name"), str)]
    return {tool["name"]: mirrored for tool in named if (mirrored := _valid(tool.get("inputSchema")))}


def check(request: Request, mirrored: list[Mirrored], arguments: Any) -> None:
    """Raises `Refusal` unless each header equals its argument, or both are absent."""
    for one in mirrored:
        value, sent = _at(arguments, one.path), request.every(PREFIX + one.header)
        given = sent[0].decode("latin-1").strip(" \t") if sent else None
        if len(sent) > 1 or not _agree(one, value, given):
            name = f"{protocol.ARGUMENT_HEADER}{one.header.decode()}"
            raise mismatch(f"The {name} header is repeated or does not match the argument.")


def _agree(one: Mirrored, value: Any, given: str | None) -> bool:
    written = _written(value)
    if written is None or given is None:
        return written is None and given is None
    decoded = agreement.decoded(given)
    if decoded is None or decoded == written:
        return decoded is not None
    whole = one.type == "integer" and DECIMAL.match(decoded) and DECIMAL.match(written)
    return bool(whole) and decoded.partition(".")[0] == written.partition(".")[0]


def _written(value: Any) -> str | None:
    """Returns the value as clients write it into a header; None for other types."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        arguments = arguments.get(key) if isinstance(arguments, dict) else None
    return arguments


def _valid(schema: Any) -> list[Mirrored]:
    """Returns the mirrored arguments; [] if one declaration is invalid, since clients then
    ignore the tool.
    """
    found = list(_declared(schema, ()))
    names = [one.header for one in found]
    fine = all(TOKEN.match(one.header.decode("latin-1")) and one.type in TYPES for one in found)
    return found if fine and len(set(names)) == len(names) else []


def _declared(schema: Any, path: tuple[str, ...]) -> Iterator[Mirrored]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for key, inner in properties.items() if isinstance(properties, dict) else ():
        if isinstance(inner, dict):
            if header := inner.get(KEY):
                yield Mirrored((*path, key), str(header).lower().encode(), str(inner.get("type")))
            yield from _declared(inner, (*path, key))
