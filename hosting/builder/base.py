"""The input and the result of an image build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.pulls import Pulls


@dataclass(frozen=True)
class ImageBuild:
    """One image to build for one platform, such as `linux/amd64`.

    `dockerfile` is an absolute path. `tag` exists in the engine only. `target` is the stage to build, ""
    means the last one. `arguments` are build arguments, which anybody who has the image can read. `pulls`
    says which images the build may pull, and with which login. `here` is the platform of the engine, "" where
    it is not known. `scratch` is a directory outside of the context, for the login while the build runs; None
    means the system's temporary directory. A platform that is killed leaves the login there, until `scratch`
    is cleared.
    """

    context: Path
    dockerfile: Path
    platform: str
    tag: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    scratch: Path | None = None
    pulls: Pulls = field(default_factory=Pulls)
    here: str = ""


@dataclass(frozen=True)
class BuiltImage:
    """An image in the engine. `image_id` is `sha256:…`, `size` is in bytes; `entrypoint` and `command` are
    those of the image config (OCI image-spec, config.md).
    """

    platform: str
    tag: str
    image_id: str
    size: int
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
