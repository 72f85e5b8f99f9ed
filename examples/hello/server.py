"""An example MCP server: four tools, a resource and a prompt. Run it with `python server.py`."""

from __future__ import annotations

import datetime
import platform
import zoneinfo

from protocol import Call, Json, Prompt, Resource, Server, Tool, ToolError


def greet(call: Call, name: str) -> str:
    return f"Hello, {name}!"


def add(call: Call, a: float, b: float) -> Json:
    return {"sum": a + b}


def now(call: Call, timezone: str = "UTC") -> str:
    try:
        zone = datetime.UTC if timezone == "UTC" else zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ToolError(f"unknown time zone: {timezone}") from error
    return datetime.datetime.now(zone).isoformat(timespec="seconds")


def count(call: Call, to: int, delay_ms: int = 200) -> str:
    if not (0 < to <= 1000 and 0 <= delay_ms <= 60_000):
        raise ToolError("to must be 1 to 1000, delay_ms 0 to 60000")
    for number in range(1, to + 1):
        if call.cancelled.wait(delay_ms / 1000):
            return f"cancelled before {number}"
        call.progress(number, to, f"counted to {number}")
    return f"counted to {to}"


def about() -> str:
    return f"The hello server, on Python {platform.python_version()} ({platform.machine()}).\n"


def introduce(name: str) -> str:
    return f"Greet {name} with the greet tool, then tell them what else this server can do."


SERVER = Server(
    name="hello",
    version="1.0.0",
    instructions="Try greet first; count shows what progress looks like.",
    tools=[
        Tool(
            "greet",
            "Greet somebody by name.",
            {"name": {"type": "string", "description": "who to greet"}},
            ("name",),
            greet,
        ),
        Tool(
            "add",
            "Add two numbers.",
            {"a": {"type": "number"}, "b": {"type": "number"}},
            ("a", "b"),
            add,
            {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
        ),
        Tool(
            "now",
            "The time in a time zone.",
            {
                "timezone": {
                    "type": "string",
                    "description": "IANA name, such as Europe/Paris; UTC if left out",
                }
            },
            (),
            now,
        ),
        Tool(
            "count",
            "Count slowly, with progress notifications.",
            {
                "to": {"type": "integer", "minimum": 1, "maximum": 1000},
                "delay_ms": {"type": "integer", "minimum": 0, "maximum": 60_000, "default": 200},
            },
            ("to",),
            count,
        ),
    ],
    resources=[Resource("hello://about", "about", "What this server is and where it runs.", about)],
    prompts=[
        Prompt(
            "introduce", "Introduce this server to somebody.", {"name": "whom to introduce it to"}, introduce
        )
    ],
)

if __name__ == "__main__":
    SERVER.run()
