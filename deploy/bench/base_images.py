"""Base images for linux/amd64 and linux/arm64 without an image hub.

They are made once, into the store of a registry in the user's cache directory; a session only starts a
read-only registry over that store, from which BuildKit pulls the platform it needs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import debian, publish, registry
from .binfmt import enable_arm64
from .cache import cache_directory, cache_lock
from .requirement import program
from .workspace import Workspace

ARCHITECTURES = ("amd64", "arm64")
_RECIPE = 2  # raise it when what is in the images changes
_UNFINISHED = "base-images-new-"
_NODE, _NPM = "24.21.0", "npm@11"
_NODE_NAMES = {"amd64": "x64", "arm64": "arm64"}


def serve(workspace: Workspace) -> dict[str, str]:
    """Start the registry of base images; returns references for FROM by name: python, node, busybox."""
    enable_arm64()
    host = registry.start_plain(workspace, store=prepare(), readonly=True).host
    return {name: f"{host}/base/{name}:latest" for name in _RECIPES}


def prepare() -> Path:
    """The store with the images, made on first use (about two minutes); later calls find it."""
    store = cache_directory() / f"base-images-{_key()}"
    with cache_lock("base-images"):
        if not store.exists():
            _remove_unfinished()
            print("preparing base images (once, about two minutes)", file=sys.stderr, flush=True)
            _make(store)
    return store


def _remove_unfinished() -> None:
    for scratch in cache_directory().glob(f"{_UNFINISHED}*"):
        shutil.rmtree(scratch)


def _key() -> str:
    """Changes with the recipe and with the certificates that the images carry."""
    return f"{_RECIPE}-{hashlib.sha256(debian.ca_bundle().read_bytes()).hexdigest()[:12]}"


def _make(store: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir=store.parent, prefix=_UNFINISHED) as scratch,
        Workspace() as workspace,
    ):
        new = Path(scratch) / "store"
        host = registry.start_plain(workspace, store=new).host
        for name, recipe in _RECIPES.items():
            images = [
                _publish_one(host, name, recipe, architecture, scratch) for architecture in ARCHITECTURES
            ]
            publish.index(host, f"base/{name}", "latest", images)
        new.rename(store)


def _publish_one(host: str, name: str, recipe: Recipe, architecture: str, scratch: str) -> publish.Image:
    work = Path(scratch) / f"{name}-{architecture}"
    work.mkdir()
    image = publish.image(
        host, f"base/{name}", recipe(architecture, work), architecture, work, _ENVIRONMENT.get(name, ())
    )
    shutil.rmtree(work)
    return image


Recipe = Callable[[str, Path], Path]


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
    """Named by the busybox of this machine's architecture: it is the same for every other."""
    here = work / "busybox"  # it goes by the name that it is called by
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
    root = debian.root_file_system(["python3", "python3-pip", "python3-venv"], architecture, work)
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
    """A package as npm's registry has it, unpacked; npm's own configuration says where that is."""
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


# Node brings its own certificates and takes others only when told.
_ENVIRONMENT = {"node": (f"NODE_EXTRA_CA_CERTS=/{debian.CA_BUNDLE}",)}
_RECIPES: dict[str, Recipe] = {"busybox": _busybox, "python": _python, "node": _node}
