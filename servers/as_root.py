"""Tells whether the platform, and so each server that runs as its process, is root on its machine. Pure."""

from __future__ import annotations

import os

AS_ROOT = "people's code runs as root, for this platform does."
NOT_AS_ROOT = "Start it as a user of its own, or host servers in containers (CONTAINER_RUNTIME=docker)."


def is_root() -> bool:
    return os.geteuid() == 0
