"""The directories that a process of the platform expects to be there."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def make_directories() -> None:
    """Creates them. Other accounts may not read DATA_DIR: it holds uploads, the database and environments."""
    Path(settings.DATA_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
