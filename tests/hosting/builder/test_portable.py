from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hosting.builder import portable

BRIDGE = Path(__file__).parents[3] / "bridge"
LOOK = """
import sys
sys.path.insert(0, {parent!r})
import bridge.cli, ctypes, traceback
from bridge.child import interpreter
print(*interpreter())
print(open("/proc/self/maps").read())
"""


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("carried") / "python"
    subprocess.run([sys.executable, portable.__file__, BRIDGE, into], check=True)
    return into


def test_what_is_carried_uses_nothing_that_lies_elsewhere(carried: Path) -> None:
    started = [f"{carried}/ld", "--library-path", f"{carried}/libs", f"{carried}/bin/python3"]
    look = LOOK.format(parent=str(BRIDGE.parent))

    done = subprocess.run(
        [*started, "-I", "-S", "-c", look], env={}, check=True, capture_output=True, text=True
    )

    own, *lines = done.stdout.splitlines()
    mapped = {Path(words[5]) for line in lines if len(words := line.split(None, 5)) == 6 and "/" in words[5]}
    programs = {path for path in mapped if path.read_bytes().startswith(portable.ELF)}
    assert len(programs) > 5
    assert [path for path in programs if not path.is_relative_to(carried)] == []
    assert own.split() == started, "its children are started in the same way"


def test_anybody_may_read_it(carried: Path) -> None:
    files = [path for path in carried.rglob("*") if not path.is_symlink()]
    assert all(path.stat().st_mode & 0o004 for path in files)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + b"\0" * 90])
def test_what_asks_for_no_loader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "program").write_bytes(content)
    assert portable.interpreter_of(tmp_path / "program") == ""


def test_what_asks_for_one() -> None:
    assert Path(portable.interpreter_of(Path(sys.executable).resolve())).is_file()
