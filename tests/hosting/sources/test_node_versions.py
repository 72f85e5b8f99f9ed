from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder.base_images import node_image
from hosting.errors import BuildError, SourceError
from hosting.sources import node_versions
from hosting.sources.plan import Plan
from tests.hosting.sources.node_samples import planned


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (">=18", "18.0.0", "17.9.9"),
        ("^20.19.0 || >=22.12", "22.12.0", "21.0.0"),
        ("18 - 20", "20.9.9", "21.0.0"),
        ("20.x", "20.1.1", "21.0.0"),
        ("~20.19", "20.19.5", "20.20.0"),
        (">= 18.0.0 <21", "20.0.0", "21.0.0"),
        ("<=20", "20.9.9", "21.0.0"),
        (">20", "21.0.0", "20.9.9"),
        ("v20.11.1", "20.11.1", "20.11.2"),
        ("^0.2.3", "0.2.9", "0.3.0"),
        (">=18.0.0-0", "18.0.0", "17.0.0"),
    ],
)
def test_ranges_mean_what_they_mean_to_npm(wanted: str, inside: str, outside: str) -> None:
    assert node_versions.fits(inside, wanted)
    assert not node_versions.fits(outside, wanted)


@pytest.mark.parametrize(
    ("package", "files", "version"),
    [
        ({"engines": {"node": ">=18"}}, {".nvmrc": "v22.11.0\n"}, ">=18"),
        ({}, {".nvmrc": "v22.11.0\n"}, "^22.11.0"),
        ({}, {".nvmrc": "lts/jod"}, "22"),
        ({}, {".nvmrc": "lts/*"}, ""),
        ({}, {".node-version": "20"}, "20"),
        ({}, {".tool-versions": "python 3.12\nnodejs 20.11.1\n"}, "^20.11.1"),
        ({}, {"mise.toml": '[tools]\nnode = "22"\n'}, "22"),
        ({"volta": {"node": "18.19.0"}}, {}, "^18.19.0"),
        ({"devEngines": {"runtime": {"name": "node", "version": ">=22"}}}, {}, ">=22"),
        ({"packageManager": "pnpm@11.1.0"}, {}, ">=22.13"),
        ({"engines": {"node": "*"}}, {}, ""),
    ],
)
def test_the_node_that_a_project_asks_for(
    tmp_path: Path, package: dict[str, Any], files: dict[str, str], version: str
) -> None:
    plan = planned(tmp_path, {"package.json": {"name": "x", "bin": "x.js", **package}, "x.js": "", **files})

    assert plan.version == version


def test_what_was_set_goes_first(tmp_path: Path) -> None:
    files = {"package.json": {"name": "x", "bin": "x.js", "engines": {"node": ">=18"}}, "x.js": ""}

    assert planned(tmp_path, files, node="24").version == "24"


def test_what_is_no_range(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"“; rm -rf /” .* is no version or range of Node"):
        planned(tmp_path, {"package.json": {"name": "x", "bin": "x.js", "engines": {"node": "; rm -rf /"}}})


@pytest.mark.parametrize(
    ("image", "wanted", "expected"),
    [
        ("node:22-slim", "", "node:22-slim"),
        ("node:22-slim", ">=18", "node:22-slim"),
        ("node:22-slim", "^20.11.0", "node:20-slim"),
        ("node:22-slim", "20.11.1", "node:20.11.1-slim"),
        ("node:22-slim", ">=23", "node:24-slim"),
        ("host.example/mirror/node:22.1.0-bookworm", "20.x", "host.example/mirror/node:20-bookworm"),
        ("host.example/our-node:latest", "^20", "host.example/our-node:latest"),
    ],
)
def test_the_base_image_of_a_version(image: str, wanted: str, expected: str) -> None:
    assert node_image(Plan("node", version=wanted), BuildSettings(node_image=image)) == expected


def test_an_image_by_digest_that_is_known_not_to_fit() -> None:
    pinned = BuildSettings(node_image="node:20-slim@sha256:" + "0" * 64)

    with pytest.raises(BuildError, match=r"asks for Node >=22; the image .* has 20") as caught:
        node_image(Plan("node", version=">=22"), pinned)
    assert "BASE_IMAGE_NODE" in caught.value.hint
