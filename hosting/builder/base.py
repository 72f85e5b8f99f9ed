"""What a build is given and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.pulls import Pulls


@dataclass(frozen=True)
class ImageBuild:
    """One image for one platform. `tag` is engine-local; `dockerfile` is an absolute path.

    `target` is the stage to build, "" the last; `arguments` are its build arguments, which everybody may see.
    `pulls` says what it may pull, and as whom; `here` is the engine's own platform, "" where nobody knows.
    `scratch`, outside the context, is where the CLI's login lies while it builds: a platform that is killed
    meanwhile leaves it there, for whoever clears that directory. None: the system's temporary directory.
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
    """`image_id` is the engine's `sha256:…`; `entrypoint` and `command` come from the image config."""

    platform: str
    tag: str
    image_id: str
    size: int
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
