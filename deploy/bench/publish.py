"""Put a root file system into an open registry as an image, and several images under one tag."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

_TYPES = "application/vnd.docker.distribution.manifest"
_IMAGE, _LIST = f"{_TYPES}.v2+json", f"{_TYPES}.list.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_EPOCH = "2026-01-01T00:00:00Z"  # fixed, so that the same content keeps its digest
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """A pushed image of one architecture, as an index describes it."""

    digest: str
    size: int
    architecture: str


def image(
    host: str,
    repository: str,
    root: Path,
    architecture: str,
    work: Path,
    env: tuple[str, ...] = (),
    command: tuple[str, ...] = ("/bin/sh",),
) -> Image:
    """Push `root` as an image of one layer, by digest; `work` takes its file, `env` is NAME=value."""
    layer = work / "layer.tar.gz"
    diff_id = _pack(root, layer)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": {"Env": [_PATH, *env], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": _EPOCH, "created_by": "mcphost bench"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _IMAGE,
        "config": {"mediaType": _CONFIG, **_push_blob(host, repository, json.dumps(config).encode())},
        "layers": [{"mediaType": _LAYER, **_push_blob(host, repository, layer.read_bytes())}],
    }
    body = json.dumps(manifest).encode()
    _put_manifest(host, repository, _digest(body), body, _IMAGE)
    return Image(_digest(body), len(body), architecture)


def with_command(source: str, host: str, repository: str, architecture: str, command: list[str]) -> str:
    """Push the image that `source` names, of one layer, with another command; returns its reference."""
    base, _, rest = source.partition("/")
    path, _, tag = rest.rpartition(":")
    listed = _get(f"http://{base}/v2/{path}/manifests/{tag}", _LIST)
    [child] = [m for m in listed["manifests"] if m["platform"]["architecture"] == architecture]
    manifest = _get(f"http://{base}/v2/{path}/manifests/{child['digest']}", _IMAGE)
    config = _get(f"http://{base}/v2/{path}/blobs/{manifest['config']['digest']}", _CONFIG)
    config["config"] = {**config["config"], "Entrypoint": command, "Cmd": None}
    [layer] = manifest["layers"]
    content = requests.get(f"http://{base}/v2/{path}/blobs/{layer['digest']}", timeout=60).content
    _push_blob(host, repository, content)
    pushed = _push_blob(host, repository, json.dumps(config).encode())
    body = json.dumps({**manifest, "config": {"mediaType": _CONFIG, **pushed}}).encode()
    _put_manifest(host, repository, "latest", body, _IMAGE)
    return f"{host}/{repository}:latest"


def _get(url: str, media_type: str) -> dict[str, Any]:
    answer = requests.get(url, headers={"Accept": media_type}, timeout=60)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def index(host: str, repository: str, tag: str, images: list[Image]) -> None:
    """Publish images of several architectures under one tag."""
    entries = [
        {
            "mediaType": _IMAGE,
            "digest": entry.digest,
            "size": entry.size,
            "platform": {"os": "linux", "architecture": entry.architecture},
        }
        for entry in images
    ]
    body = json.dumps({"schemaVersion": 2, "mediaType": _LIST, "manifests": entries}).encode()
    _put_manifest(host, repository, tag, body, _LIST)


def _pack(root: Path, target: Path) -> str:
    """Write a gzipped tar of `root`, all owned by root; returns the digest of the tar itself."""
    options = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
    plain, compressor = hashlib.sha256(), zlib.compressobj(1, wbits=31)
    with (
        subprocess.Popen(["tar", "-c", "-C", str(root), *options, "."], stdout=subprocess.PIPE) as tar,
        target.open("wb") as out,
    ):
        assert tar.stdout is not None
        while piece := tar.stdout.read(1 << 20):
            plain.update(piece)
            out.write(compressor.compress(piece))
        out.write(compressor.flush())
    return f"sha256:{plain.hexdigest()}"


def _push_blob(host: str, repository: str, content: bytes) -> dict[str, Any]:
    digest = _digest(content)
    opened = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", timeout=60)
    opened.raise_for_status()
    headers = {"Content-Type": "application/octet-stream"}
    done = requests.put(
        opened.headers["Location"], params={"digest": digest}, data=content, headers=headers, timeout=300
    )
    done.raise_for_status()
    return {"digest": digest, "size": len(content)}


def _put_manifest(host: str, repository: str, reference: str, body: bytes, media_type: str) -> None:
    url = f"http://{host}/v2/{repository}/manifests/{reference}"
    requests.put(url, data=body, headers={"Content-Type": media_type}, timeout=60).raise_for_status()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
