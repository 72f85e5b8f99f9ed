"""Requests of 2026-07-28 whose headers agree with their bodies, or do not: for bridges and the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VERSION = "2026-07-28"


@dataclass(frozen=True)
class Agreement:
    """`changed` are the headers that are not as usual: None leaves one out, a tuple sends it more than once.
    `refused` names the header that does not agree, "" where all do."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, str | tuple[str, ...] | None] = field(default_factory=dict)
    refused: str = ""

    def message(self) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {**self.params, "_meta": meta}
        return {"jsonrpc": "2.0", "id": 8, "method": self.method, "params": params}

    def headers(self) -> list[tuple[str, str]]:
        usual = {"MCP-Protocol-Version": VERSION, "Mcp-Method": self.method}
        sent = {**usual, **self.changed}
        return [
            (name, value)
            for name, given in sent.items()
            for value in (given if isinstance(given, tuple) else (given,))
            if value is not None
        ]


ECHO = {"name": "echo", "arguments": {"text": "x"}}
AGREEMENTS = {
    "as usual": Agreement("tools/call", ECHO, {"Mcp-Name": "echo"}),
    "encoded": Agreement("tools/call", ECHO, {"Mcp-Name": "=?base64?ZWNobw==?="}),
    "white space around": Agreement("tools/call", ECHO, {"Mcp-Name": " echo\t"}),
    "another version": Agreement(
        "tools/list", {}, {"MCP-Protocol-Version": "2026-07-29"}, "MCP-Protocol-Version"
    ),
    "another method": Agreement("tools/list", {}, {"Mcp-Method": "tools/call"}, "Mcp-Method"),
    "a method in other letters": Agreement("tools/list", {}, {"Mcp-Method": "Tools/List"}, "Mcp-Method"),
    "no method": Agreement("tools/list", {}, {"Mcp-Method": None}, "Mcp-Method"),
    "two methods": Agreement("tools/list", {}, {"Mcp-Method": ("tools/list",) * 2}, "Mcp-Method"),
    "two versions": Agreement(
        "tools/list", {}, {"MCP-Protocol-Version": (VERSION,) * 2}, "MCP-Protocol-Version"
    ),
    "another name": Agreement("tools/call", ECHO, {"Mcp-Name": "other"}, "Mcp-Name"),
    "no name": Agreement("tools/call", ECHO, {}, "Mcp-Name"),
    "two names": Agreement("tools/call", ECHO, {"Mcp-Name": ("echo", "echo")}, "Mcp-Name"),
    "two names for none": Agreement("tools/list", {}, {"Mcp-Name": ("a", "a")}, "Mcp-Name"),
    "base64 that is not canonical": Agreement(
        "tools/call", ECHO, {"Mcp-Name": "=?base64?ZWNobw=?="}, "Mcp-Name"
    ),
    "base64 of no UTF-8": Agreement("tools/call", ECHO, {"Mcp-Name": "=?base64?/w==?="}, "Mcp-Name"),
    "a name that is no text": Agreement("tools/call", {"name": 5}, {"Mcp-Name": "5"}, "Mcp-Name"),
    "an address": Agreement(
        "resources/read", {"uri": "a://b", "name": "no"}, {"Mcp-Name": "a://c"}, "Mcp-Name"
    ),
    "a prompt": Agreement("prompts/get", {"name": "p"}, {"Mcp-Name": "q"}, "Mcp-Name"),
    # Only three methods have a name to repeat.
    "no name to repeat": Agreement("tools/list", {"name": "echo"}),
    "an empty key": Agreement("tools/list", {"": "echo"}),
    "a name nobody asked for": Agreement("tools/list", {}, {"Mcp-Name": "echo"}),
    # Prefix and suffix do not share their question mark: this is a name as it stands.
    "the name =?base64?=": Agreement("prompts/get", {"name": "=?base64?="}, {"Mcp-Name": "=?base64?="}),
    "the name =?base64??= is none": Agreement(
        "tools/call", {"name": "=?base64??="}, {"Mcp-Name": "=?base64??="}, "Mcp-Name"
    ),
}
