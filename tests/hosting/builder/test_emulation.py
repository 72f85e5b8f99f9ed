from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hosting.builder import emulation
from hosting.errors import BuildError

NOBODY = "unix:///nonexistent/docker.sock"  # the architecture is then this machine's
NATIVE = f"linux/{emulation.engine_architecture(NOBODY)}"
FOREIGN = "linux/s390x"


@pytest.fixture
def binfmt(tmp_path: Path) -> Path:
    (tmp_path / "register").touch()
    (tmp_path / "status").write_text("enabled\n")
    return tmp_path


def register(binfmt: Path, flags: str, state: str = "enabled") -> None:
    (binfmt / "qemu-s390x").write_text(f"{state}\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\n")


def test_nothing_is_missing_for_the_machine_itself(binfmt: Path) -> None:
    assert emulation.missing([NATIVE], NOBODY, binfmt=binfmt) == []


def test_a_foreign_platform_needs_an_entry(binfmt: Path) -> None:
    assert emulation.missing([NATIVE, FOREIGN], NOBODY, binfmt=binfmt) == [FOREIGN]

    register(binfmt, "POCF")
    assert emulation.missing([NATIVE, FOREIGN], NOBODY, binfmt=binfmt) == []


@pytest.mark.parametrize(("flags", "state"), [("P", "enabled"), ("F", "disabled")])
def test_an_entry_that_does_not_help_inside_images(binfmt: Path, flags: str, state: str) -> None:
    register(binfmt, flags, state)

    assert emulation.missing([FOREIGN], NOBODY, binfmt=binfmt) == [FOREIGN]


def test_the_error_names_the_packages(binfmt: Path) -> None:
    with pytest.raises(BuildError, match=f"cannot build for {FOREIGN}") as caught:
        emulation.require([NATIVE, FOREIGN], NOBODY, binfmt=binfmt)

    assert "qemu-user-static and binfmt-support" in caught.value.hint
    assert "tonistiigi/binfmt" in caught.value.hint
    assert caught.value.kind == "build"


def test_one_line_per_platform(binfmt: Path) -> None:
    native, foreign = emulation.capabilities([NATIVE, FOREIGN], NOBODY, binfmt=binfmt)

    assert (native.name, native.found, native.detail) == (f"platform {NATIVE}", True, "native")
    assert (foreign.found, foreign.advice) == (False, emulation.ADVICE)


def test_an_engine_elsewhere_is_believed(binfmt: Path) -> None:
    assert emulation.missing([FOREIGN], "tcp://127.0.0.1:9", binfmt=binfmt) == []

    (line,) = emulation.capabilities([FOREIGN], "tcp://127.0.0.1:9", binfmt=binfmt)
    assert (line.found, line.detail) == (False, "not known from here")


def test_a_bare_machine_without_binfmt_misc_emulates_nothing(tmp_path: Path) -> None:
    for binfmt in (tmp_path, tmp_path / "nowhere"):
        assert emulation.missing([NATIVE, FOREIGN], NOBODY, binfmt=binfmt, outside_container=True) == [
            FOREIGN
        ]


def test_a_container_without_binfmt_misc_cannot_tell(tmp_path: Path) -> None:
    emulation.require([NATIVE, FOREIGN], NOBODY, binfmt=tmp_path, outside_container=False)

    native, foreign = emulation.capabilities(
        [NATIVE, FOREIGN], NOBODY, binfmt=tmp_path, outside_container=False
    )
    assert (native.found, native.detail) == (True, "native")
    assert (foreign.found, foreign.detail) == (False, "not known from here")
    assert "where the engine runs" in foreign.advice
    assert "qemu-user-static" in foreign.advice


def test_a_container_that_has_it_mounted_can(binfmt: Path) -> None:
    assert emulation.missing([FOREIGN], NOBODY, binfmt=binfmt, outside_container=False) == [FOREIGN]


@pytest.mark.real
def test_a_fresh_proc_as_containers_have_it() -> None:
    look = (
        "from hosting.builder import emulation as e;"
        f"print(e.OUTSIDE_CONTAINER, e.missing([{FOREIGN!r}], {NOBODY!r}))"
    )
    contained = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, "-c", look]
    told = subprocess.run(contained, capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["False", "[]"]


@pytest.mark.real
def test_the_engine_of_this_machine(docker_host: str, base_images: dict[str, str]) -> None:
    assert emulation.missing(["linux/amd64", "linux/arm64"], docker_host) == []
