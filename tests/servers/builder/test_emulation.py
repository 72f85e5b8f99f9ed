from __future__ import annotations

from pathlib import Path

import pytest

from servers.builder import emulation
from servers.errors import BuildError

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


@pytest.mark.real
def test_the_engine_of_this_machine(docker_host: str, base_images: dict[str, str]) -> None:
    assert emulation.missing(["linux/amd64", "linux/arm64"], docker_host) == []
