"""Kubernetes from Debian's source package, whose vendor directory is complete: no module is fetched.

It is built once into the user's cache directory (on two idle cores about 6 minutes for `API`, 9 for `FULL`;
4 GB of disk while it lasts) and found there by every later call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import debian
from .cache import cache_directory, cache_lock
from .requirement import BenchError, Requirement

VERSION = "1.20.2"
API = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
FULL = (*API, "kubelet", "kube-proxy")
GO = "/usr/lib/go-1.19/bin/go"  # a newer one does not compile this source
TOOLS = (
    Requirement(GO, "golang-1.19-go"),
    Requirement("dpkg-source", "dpkg-dev"),
    Requirement("make", "make"),
    Requirement("gcc", "gcc"),
    Requirement("rsync", "rsync"),
)
_SUITE = "bookworm"  # the Debian release that has both this source and this Go
_RECIPE = 1  # raise it when what is built changes
_UNFINISHED = "kubernetes-new-"
_VERSION_FILE = f"""\
KUBE_GIT_COMMIT=0000000000000000000000000000000000000000
KUBE_GIT_TREE_STATE=clean
KUBE_GIT_VERSION=v{VERSION}
KUBE_GIT_MAJOR=1
KUBE_GIT_MINOR=20
"""


def find(programs: tuple[str, ...] = API) -> Path | None:
    """The directory that holds these programs, if an earlier run built them."""
    for built in (FULL, API):
        if set(programs) <= set(built) and _target(built).exists():
            return _target(built)
    return None


def build(programs: tuple[str, ...] = API) -> Path:
    """The directory with `API` or `FULL`, built on first use; raises BenchError with the compiler's words."""
    if found := find(programs):
        return found  # without the lock: a build of more programs may hold it for long
    with cache_lock("kubernetes"):
        if found := find(programs):
            return found
        for unfinished in cache_directory().glob(f"{_UNFINISHED}*"):
            shutil.rmtree(unfinished)
        print(f"building Kubernetes {VERSION} (once, 6 to 20 minutes)", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix=_UNFINISHED) as scratch:
            _build(programs, Path(scratch)).rename(_target(programs))
    return _target(programs)


def _target(programs: tuple[str, ...]) -> Path:
    return cache_directory() / f"kubernetes-{VERSION}-{'full' if programs == FULL else 'api'}-{_RECIPE}"


def _build(programs: tuple[str, ...], work: Path) -> Path:
    description = debian.fetch_source("kubernetes", _SUITE, work / "package")
    source = work / "source"
    _run(["dpkg-source", "--no-check", "-x", str(description), str(source)], work)
    _run(["make", "generated_files"], source, _environment(work))
    _run(["make", f"WHAT={' '.join(f'cmd/{name}' for name in programs)}"], source, _environment(work))
    built = work / "bin"
    built.mkdir()
    for name in programs:
        [compiled] = source.glob(f"_output/local/bin/linux/*/{name}")
        _run(["install", "-s", "-m", "755", str(compiled), str(built)], work)
    return built


def _environment(work: Path) -> dict[str, str]:
    version = work / "version"
    version.write_text(_VERSION_FILE)
    return {
        **os.environ,
        "PATH": f"{Path(GO).parent}:{os.environ['PATH']}",
        "GOPROXY": "off",
        "GOFLAGS": "",
        "GOCACHE": str(work / "go-cache"),
        "KUBE_GIT_VERSION_FILE": str(version),
        "TMPDIR": str(work),
    }


def _run(command: list[str], directory: Path, environment: dict[str, str] | None = None) -> None:
    """Runs at the lowest priority, because the build takes minutes and other work should not slow down."""
    done = subprocess.run(
        ["nice", "-n", "19", *command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-30:])
        raise BenchError(f"{' '.join(command)} failed:\n{last}")
