"""Base images for linux/amd64 and linux/arm64, from which BuildKit pulls the platform it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from . import debian
from .binfmt import enable_arm64
from .image_store import ImageStore, Recipe
from .requirement import program
from .workspace import Workspace

_NODE, _NPM = "24.21.0", "npm@11"
_NODE_NAMES = {"amd64": "x64", "arm64": "arm64"}


def serve(workspace: Workspace) -> dict[str, str]:
    """Start the registry of base images; returns references for FROM by name: python, node, busybox."""
    enable_arm64()
    return _STORE.serve(workspace)


def prepare() -> Path:
    """The store with the images, made on first use (about two minutes); later calls find it."""
    return _STORE.prepare()


def _busybox(architecture: str, work: Path) -> Path:
    root = work / "root"
    for directory in ("bin", "etc", "proc", "sys", "dev", "root", "tmp"):
        (root / directory).mkdir(parents=True)
    _fetch_busybox(architecture, work / architecture, root / "bin/busybox")
    for applet in _applets(work):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "tmp").chmod(0o1777)
    return root


def _applets(work: Path) -> list[str]:
    """The names of busybox's commands, from this machine's busybox: they are the same for each
    architecture."""
    here = work / "busybox"  # it decides by its file name what it does
    _fetch_busybox(own_architecture(), work / "own", here)
    names = subprocess.run([str(here), "--list"], check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if name != "busybox"]


def _fetch_busybox(architecture: str, work: Path, target: Path) -> None:
    [deb] = [deb for deb in debian.fetch(["busybox-static"], architecture, work) if "busybox" in deb.name]
    debian.unpack_file(deb, "./bin/busybox", target)


def own_architecture() -> str:
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _python(architecture: str, work: Path) -> Path:
    root = debian.root_file_system(
        ["python3", "python3-pip", "python3-venv", "libstdc++6"], architecture, work
    )
    (root / "usr/bin/python").symlink_to("python3")
    return root


def _node(architecture: str, work: Path) -> Path:
    root = debian.root_file_system(["libstdc++6", "libatomic1"], architecture, work)
    node = _npm_package(f"node-linux-{_NODE_NAMES[architecture]}@{_NODE}", work / "node")
    shutil.copy2(node / "bin/node", root / "usr/bin/node")
    modules = root / "usr/lib/node_modules"
    modules.mkdir(parents=True)
    _npm_package(_NPM, work / "npm").rename(modules / "npm")
    for command in ("npm", "npx"):
        (root / "usr/bin" / command).symlink_to(f"../lib/node_modules/npm/bin/{command}-cli.js")
    return root


def _npm_package(package: str, work: Path) -> Path:
    """A package from the registry of npm's own configuration, unpacked."""
    work.mkdir()
    environment = {**os.environ, "npm_config_loglevel": "error", "npm_config_update_notifier": "false"}
    subprocess.run(
        [program("npm"), "pack", package], cwd=work, env=environment, check=True, capture_output=True
    )
    [archive] = work.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(work, filter="data")
    for script in work.glob("package/bin/*"):
        script.chmod(0o755)
    return work / "package"


_STORE = ImageStore(
    "base-images",
    version=3,
    recipes={
        "busybox": Recipe(_busybox),
        "python": Recipe(_python),
        # Node has its own certificates and uses others only if this variable names them.
        "node": Recipe(_node, env=(f"NODE_EXTRA_CA_CERTS=/{debian.CA_BUNDLE}",)),
    },
    architectures=("amd64", "arm64"),
)
