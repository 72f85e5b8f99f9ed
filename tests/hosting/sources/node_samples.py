"""Small Node projects, written where a test wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise


def write(top: Path, files: dict[str, Any]) -> Path:
    """`files` by their path; what is no text is written as JSON."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return top


def planned(top: Path, files: dict[str, Any], subdirectory: str = "", **choices: Any) -> Plan:
    write(top, files)
    return recognise(BuildContext(top / subdirectory, "r", top=top), Choices(**choices), images=False)


def words(plan: Plan, kind: str = "") -> list[str]:
    return [" ".join(step.argv) for step in plan.steps if step.kind == kind or not kind]
