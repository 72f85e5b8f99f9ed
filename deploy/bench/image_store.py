"""Images without an image hub: made once, into the store of a registry in the user's cache directory.

A session only starts a read-only registry over that store.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import debian, publish, registry
from .cache import cache_directory, cache_lock
from .workspace import Workspace


@dataclass(frozen=True)
class Recipe:
    """`make(architecture, work)` returns the root file system, below `work`."""

    make: Callable[[str, Path], Path]
    env: tuple[str, ...] = ()
    command: tuple[str, ...] = ("/bin/sh",)


@dataclass(frozen=True)
class ImageStore:
    """Raise `version` when what is in the images changes."""

    name: str
    version: int
    recipes: Mapping[str, Recipe]
    architectures: tuple[str, ...]

    def serve(self, workspace: Workspace) -> dict[str, str]:
        """Start the registry over it; returns references by name."""
        host = registry.start_plain(workspace, store=self.prepare(), readonly=True).host
        return {name: f"{host}/base/{name}:latest" for name in self.recipes}

    def prepare(self) -> Path:
        """The directory with the images, made on first use; later calls find it."""
        store = cache_directory() / f"{self.name}-{self._key()}"
        with cache_lock(self.name):
            if not store.exists():
                self._remove_unfinished()
                print(f"preparing {self.name} (once, about two minutes)", file=sys.stderr, flush=True)
                self._make(store)
        return store

    def _key(self) -> str:
        """Changes with the recipes and with the certificates that the images carry."""
        return f"{self.version}-{hashlib.sha256(debian.ca_bundle().read_bytes()).hexdigest()[:12]}"

    def _remove_unfinished(self) -> None:
        for scratch in cache_directory().glob(f"{self.name}-new-*"):
            shutil.rmtree(scratch)

    def _make(self, store: Path) -> None:
        prefix = f"{self.name}-new-"
        with (
            tempfile.TemporaryDirectory(dir=store.parent, prefix=prefix) as scratch,
            Workspace() as workspace,
        ):
            new = Path(scratch) / "store"
            host = registry.start_plain(workspace, store=new).host
            for name, recipe in self.recipes.items():
                images = [_publish(host, name, recipe, each, Path(scratch)) for each in self.architectures]
                publish.index(host, f"base/{name}", "latest", images)
            new.rename(store)


def _publish(host: str, name: str, recipe: Recipe, architecture: str, scratch: Path) -> publish.Image:
    work = scratch / f"{name}-{architecture}"
    work.mkdir()
    root = recipe.make(architecture, work)
    image = publish.image(host, f"base/{name}", root, architecture, work, recipe.env, recipe.command)
    shutil.rmtree(work)
    return image
