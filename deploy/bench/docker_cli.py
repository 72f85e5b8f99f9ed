"""A Docker CLI with buildx, which this machine's release may not have: unpacked, not installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import debian
from .cache import cache_directory, cache_lock

_SUITE = "trixie"
_PACKAGES = ("docker-cli", "docker-buildx")


def with_buildx() -> tuple[Path, Path]:
    """The program `docker`, and the directory of its plugins. Fetched on first use."""
    home = cache_directory() / f"docker-cli-{_SUITE}"
    with cache_lock("docker-cli"):
        if not home.exists():
            _make(home)
    return home / "usr/bin/docker", home / "usr/libexec/docker/cli-plugins"


def _make(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        for deb in debian.fetch_alone(_PACKAGES, _SUITE, Path(scratch)):
            debian.unpack(deb, Path(scratch) / "root")
        shutil.move(Path(scratch) / "root", home)
