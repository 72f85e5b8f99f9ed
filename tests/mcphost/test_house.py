"""Rules of the house: who imports whom, and a README that lists every setting as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from mcphost.settings import env

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|–) \| \S")


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_readme_lists_every_setting_with_its_default() -> None:
    _, _, rest = (ROOT / "README.md").read_text().partition("## Configuration")
    table = dict(match.groups(default="") for line in rest.splitlines() if (match := ROW.match(line)))
    declared = {name: each.default for name, each in env.declared.items()}
    declared["DATA_DIR"] = str(Path(declared["DATA_DIR"]).relative_to(settings.BASE_DIR))
    assert table == declared
