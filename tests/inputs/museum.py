"""Reads the kinds of this directory, and speaks to the servers in them."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise

HERE = Path(__file__).parent
SERVERS = {".py": "server.py", ".mjs": "server.mjs"}


@dataclass(frozen=True)
class Kind:
    name: str
    told: Mapping[str, Any]

    @property
    def expected(self) -> Mapping[str, Any]:
        return dict(self.told.get("expected", {}))

    @property
    def start(self) -> Mapping[str, Any] | None:
        return self.told.get("start")

    def laid_out(self, into: Path) -> BuildContext:
        """The project as a source gives it, with its server in its place."""
        shutil.copytree(HERE / self.name / "project", into)
        if server := self.told.get("server"):
            place = into / server
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / "servers" / SERVERS[place.suffix], place)
        return BuildContext(into / self.told.get("subdirectory", ""), "r", top=into)

    def plan(self, context: BuildContext, *, images: bool) -> Plan:
        return recognise(context, Choices.of(self.told.get("build", {})), images=images)


def kinds() -> list[Kind]:
    found = sorted(HERE.glob("*/input.toml"))
    return [Kind(path.parent.name, tomllib.loads(path.read_text("utf-8"))) for path in found]


def conversation(packages: list[str]) -> str:
    """What a client writes to a stdio server to learn which of `packages` are installed."""
    client = {"name": "museum", "version": "1"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    call = {"name": "installed", "arguments": {"packages": packages}}
    asked = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": call},
    ]
    return "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in asked)


def installed(written: str) -> dict[str, str]:
    """The versions that a server told in answer to `conversation`."""
    answers = {answer["id"]: answer for answer in map(json.loads, written.splitlines())}
    assert answers[1]["result"]["serverInfo"]["name"] == "notes"
    return dict(json.loads(answers[2]["result"]["content"][0]["text"]))
