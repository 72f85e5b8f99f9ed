"""Base images for linux/amd64 and linux/arm64 without an image hub. See `serve`."""

from __future__ import annotations

from .workspace import Workspace


def serve(workspace: Workspace) -> dict[str, str]:
    raise NotImplementedError(workspace)
