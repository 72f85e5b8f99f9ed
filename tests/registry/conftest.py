"""Small images in the private engine, and a recorder for what the library reports."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from registry.client import RegistryClient
from registry.commands import Refresher
from registry.credentials import CredentialStore
from registry.events import Control, NeverCancelled, RegistryEvent
from registry.push import Pushed, PushPolicy, push_image
from registry.reference import Reference

FAST = PushPolicy(attempts=3, base_delay=0.02, max_delay=0.1, deadline=120)
MakeImage = Callable[..., str]


@pytest.fixture
def make_image(docker_host: str) -> MakeImage:
    """`make_image(platform, size=…)`: the local tag of a new image of one random layer."""
    api = docker.APIClient(base_url=docker_host)

    def make(platform: str = "linux/amd64", size: int = 64 << 10) -> str:
        tag = f"mcphost.local/{uuid.uuid4().hex}:1"
        api.load_image(_archive(tag, platform, os.urandom(size)))
        return tag

    return make


def _archive(tag: str, platform: str, content: bytes) -> bytes:
    layer = _tar({"blob": content})
    os_name, architecture, *variant = platform.split("/")
    config = {
        "os": os_name,
        "architecture": architecture,
        **({"variant": variant[0]} if variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "test"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": json.dumps(manifest).encode(),
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
        }
    )


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Push:
    """Pushes to one registry, and what was told meanwhile."""

    engine_url: str
    host: str
    client: RegistryClient
    events: list[RegistryEvent] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    happened: threading.Condition = field(default_factory=threading.Condition)

    def report(self, event: RegistryEvent) -> None:
        with self.happened:
            self.events.append(event)
            self.happened.notify_all()

    def __call__(
        self,
        image: str,
        *,
        target: Reference | None = None,
        platform: str = "linux/amd64",
        policy: PushPolicy = FAST,
        control: Control | None = None,
    ) -> Pushed:
        return push_image(
            engine_url=self.engine_url,
            image=image,
            target=target or self.ref(),
            platform=platform,
            client=self.client,
            policy=policy,
            report=self.report,
            line=self.lines.append,
            control=control or NeverCancelled(),
        )

    def ref(self) -> Reference:
        return Reference(self.host, f"push/{uuid.uuid4().hex}", "v1")

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def last(self) -> dict[str, Any]:
        return self.events[-1].details

    def of(self, event_type: str) -> list[dict[str, Any]]:
        return [event.details for event in self.events if event.type == event_type]


MakePush = Callable[..., Push]


@pytest.fixture
def make_push(docker_host: str, tmp_path: Path) -> MakePush:
    """`make_push(host, username, password, refresher=…)`: a pusher with a Docker config of its own."""

    def make(host: str, username: str = "", password: str = "", refresher: Refresher | None = None) -> Push:
        path = None
        if username or refresher:
            path = tmp_path / "config.json"
            write_config(path, host, username, password)
        store = CredentialStore(path, refresher)
        return Push(docker_host, host, RegistryClient(host, credentials=store, timeout=60))

    return make


def write_config(path: Path, host: str, username: str, password: str) -> None:
    path.write_text(json.dumps({"auths": {host: {"username": username, "password": password}}}))
