"""Rules of the house: who imports whom, and a README that lists every setting as it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from django.conf import settings

from mcphost.settings import env
from tests.conftest import LONGEST, SLOW
from tests.rooms import ROOMS, ROOT

NO_ROOMS = {"benchmarks", "deploy", "tests"}  # what is beside the house
ELSEWHERE = ("api.", "hosting.builder", "servers.deploying", "servers.operations", "servers.services")
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|–) \| \S")


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_every_package_is_a_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - NO_ROOMS
    assert packages == set(ROOMS)
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert packages == set(tools["mypy"]["packages"])


def test_the_data_path_loads_a_third_of_the_house() -> None:
    """Of our own modules 388 came with `gateway.app` when the gateway imported what builds and deploys."""
    loaded = _loaded_with("gateway.app")
    assert len(loaded) <= 388 / 3
    assert not [name for name in loaded if name.startswith(ELSEWHERE)]


def _loaded_with(module: str) -> list[str]:
    script = f"import sys, json, django; django.setup(); import {module}; print(json.dumps([*sys.modules]))"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return [name for name in json.loads(ended.stdout) if name.partition(".")[0] in ROOMS]


def test_what_is_slow_is_there() -> None:
    tests = ROOT / "tests"
    paths = [path.relative_to(tests).as_posix() for path in tests.rglob("*.py")]
    assert not [slow for slow in SLOW if not any(path.startswith(slow) for path in paths)]
    assert not {*LONGEST} - {*paths}


def test_the_readme_lists_every_setting_with_its_default() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("## Configuration")
    table = dict(match.groups(default="") for line in rest.splitlines() if (match := ROW.match(line)))
    declared = {name: each.default for name, each in env.declared.items()}
    declared["DATA_DIR"] = str(Path(declared["DATA_DIR"]).relative_to(settings.BASE_DIR))
    assert table == declared
