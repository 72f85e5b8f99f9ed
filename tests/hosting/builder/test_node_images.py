"""A Node project's own manager in an image, built on a real engine."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from hosting.build_settings import BuildSettings
from tests.hosting.builder.test_buildkit import Yard, builder, engine, output, prepared_from, settings, yard
from tests.hosting.sources.node_samples import write

__all__ = ["builder", "engine", "settings", "yard"]
pytestmark = pytest.mark.real


def test_a_workspace_of_pnpm_without_its_manager_in_the_image(
    yard: Yard, settings: BuildSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """Cases B05, B06 and B20 as an image."""
    scripts = {"preinstall": "npx only-allow pnpm", "prepare": "husky"}
    root = {"name": "root", "private": True, "packageManager": "pnpm@9.15.0", "scripts": scripts}
    tree = {
        "package.json": root,
        "pnpm-workspace.yaml": "packages: ['packages/*']\n",
        "packages/server/package.json": {
            "name": "server",
            "main": "x.js",
            "scripts": {"start": "node x.js"},
            "dependencies": {"@acme-notes-zz/core": "workspace:*", "is-number": "7.0.0"},
        },
        "packages/server/x.js": "console.log(require('@acme-notes-zz/core'), require('is-number')(7))",
        "packages/core/package.json": {"name": "@acme-notes-zz/core", "version": "1.0.0"},
        "packages/core/index.js": "module.exports = 'ours'",
    }
    prepared = prepared_from(write(tmp_path / "source", tree), tmp_path / "into", settings, "streamable-http")

    image = yard.build(prepared)

    assert output(engine, image) == "ours true"
    assert output(engine, image, "-c", "command -v pnpm || echo none", entrypoint="/bin/sh") == "none"
