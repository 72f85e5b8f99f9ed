"""Images for the benchmark of pushes: layers of random bytes, which no registry has yet."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import docker

MB = 1 << 20


class Layer:
    """One layer: a tar with a file of `size` random bytes, on disk."""

    def __init__(self, directory: Path, size: int) -> None:
        self.path = directory / uuid.uuid4().hex
        info = tarfile.TarInfo("blob")
        info.size = size
        with self.path.open("wb") as file:
            file.write(info.tobuf())
            for left in range(size, 0, -MB):
                file.write(os.urandom(min(left, MB)))
            file.write(bytes(-size % 512 + 1024))
        with self.path.open("rb") as file:
            self.digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def layers(directory: Path, count: int, size: int) -> list[Layer]:
    return [Layer(directory, size) for _ in range(count)]


def load(engine_url: str, made_of: Sequence[Layer], platform: str = "linux/amd64") -> str:
    """Loads an image of these layers into the engine; its local tag."""
    tag = f"bench.local/{uuid.uuid4().hex}:1"
    os_name, architecture = platform.split("/")
    config = {
        "os": os_name,
        "architecture": architecture,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in made_of]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "bench"} for _ in made_of],
    }
    names = [f"{number}.tar" for number in range(len(made_of))]
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, layer in zip(names, made_of, strict=True):
                tar.add(layer.path, name)
            for name, content in (("manifest.json", manifest), ("config.json", config)):
                data = json.dumps(content).encode()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        archive.seek(0)
        docker.APIClient(base_url=engine_url, timeout=600).load_image(archive)
    return tag
