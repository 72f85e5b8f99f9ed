"""Chooses a release of a Python package, and the file of it that has the best metadata."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from hosting.sources.package_index import MAX_FILE, File
from hosting.sources.python_releases import suits


@dataclass
class Release:
    """One version and its files. `suits` tells that at least one file can be installed on Linux."""

    version: Version
    wheels: list[File] = field(default_factory=list)
    sources: list[File] = field(default_factory=list)
    suits: bool = False

    @property
    def best(self) -> File:
        """The file to read metadata from: the smallest wheel (all hold the same), else the smallest source
        file.
        """
        return min(self.wheels or self.sources, key=lambda file: (file.size or MAX_FILE, file.name))

    @property
    def requires_python(self) -> str:
        """The range of Python versions (PEP 440) of the best file, else of any file; "" if none names one."""
        told = (file.requires_python for file in [self.best, *self.files])
        return next(filter(None, told), "")

    def is_for(self, pythons: tuple[str, ...]) -> bool:
        """Tells whether one of `pythons` can install the release; () means that the version is not known."""
        return not pythons or any(_admits(file.requires_python, pythons) for file in self.files)

    @property
    def files(self) -> list[File]:
        """All files, wheels first."""
        return [*self.wheels, *self.sources]


def choose(files: Iterable[File], name: str, version: str, pythons: tuple[str, ...] = ()) -> Release | None:
    """Returns the release `version`, or for "" the newest that one of `pythons` can install; None if there is
    none.

    `pythons` are versions such as `3.12` or `3.12.1`. Withdrawn releases and pre-releases are chosen only if
    there is no other.
    """
    releases = _by_version(files, name)
    if version:
        wanted = SpecifierSet(f"=={version}", prereleases=True)
        matching = [release for release in releases.values() if release.version in wanted]
        return max(matching, key=lambda release: release.version, default=None)
    return max(releases.values(), key=lambda release: _rank(release, pythons), default=None)


def _rank(release: Release, pythons: tuple[str, ...]) -> tuple[bool, bool, bool, bool, Version]:
    return (
        not all(file.yanked for file in release.files),
        release.suits,
        release.is_for(pythons),
        not release.version.is_prerelease,
        release.version,
    )


def _by_version(files: Iterable[File], name: str) -> dict[Version, Release]:
    found: dict[Version, Release] = {}
    for file in files:
        try:
            is_wheel = file.name.endswith(".whl")
            named, version, tags = _parsed(file.name)
        except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion):
            continue
        if named == canonicalize_name(name):
            release = found.setdefault(version, Release(version))
            (release.wheels if is_wheel else release.sources).append(file)
            release.suits |= not is_wheel or any(_is_for_linux(tag) for tag in tags)
    return found


def _parsed(name: str) -> tuple[str, Version, frozenset[Tag]]:
    if name.endswith(".whl"):
        named, version, _, tags = parse_wheel_filename(name)
        return named, version, tags
    return (*parse_sdist_filename(name), frozenset())


def _is_for_linux(tag: Tag) -> bool:
    return tag.platform == "any" or "linux" in tag.platform


def _admits(requires_python: str, pythons: tuple[str, ...]) -> bool:
    return not requires_python or any(suits(version, requires_python) for version in pythons)
