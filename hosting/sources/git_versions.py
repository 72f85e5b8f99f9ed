"""Computes a version from a repository's tags, for builds that ask git for it: a shallow clone has
no tags.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from packaging.version import InvalidVersion, Version

from hosting.errors import SourceError
from hosting.sources import manifests

MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py")
MOST_MANIFESTS = 200  # of a workspace's packages, how many are read
# Build tools that ask git for the version: setuptools-scm, hatch-vcs, PDM, Hatch, versioneer and others.
ASKS = re.compile(
    r"setuptools[_-]scm|use_scm_version|hatch[_-]vcs|vcs[_-]versioning|versioneer|versioningit|dunamai|\bpbr\b"
    r"|(?:poetry|uv|pdm|hatch)[_-]dynamic[_-]versioning|setuptools[_-]git[_-]versioning|miniver"
    r"""|source\s*=\s*["'](?:scm|vcs)["']"""
)
LISTED = re.compile(r"(?P<commit>[0-9a-f]{40,64})\trefs/tags/(?P<name>\S{1,200}?)(?P<peeled>\^\{\})?")
SEPARATOR = re.compile(r"[-_/@]")
OF_ALL = ("", "v", "version", "release", "rel")  # prefixes of a number that name no package
FIRST = "0.1"


def is_asked_for(path: Path, top: Path) -> bool:
    """Tells whether a build of the source takes its version from git, as far as its manifests show.

    Reads the manifests of `path`, of its parents up to `top`, and of packages one or two levels below `top`.
    """
    between = [path, *(each for each in path.parents if each.is_relative_to(top))]
    nested = [each.parent for depth in ("*", "*/*") for each in top.glob(f"{depth}/pyproject.toml")]
    return any(_asks(directory) for directory in (*between, *nested[:MOST_MANIFESTS]))


def _asks(directory: Path) -> bool:
    for name in MANIFESTS:
        try:
            if manifests.has(directory, name) and ASKS.search(manifests.read(directory, name)):
                return True
        except (SourceError, OSError):  # too large or unreadable: the code that needs it reports that
            continue
    return False


@dataclass
class Tags:
    """Collects the version tags of a remote from the lines of `git ls-remote --tags`.

    `revision` is the commit that is checked out, `ref` what the user asked for. In a repository of several
    packages, `subdirectory` tells which package's tags count.
    """

    revision: str
    ref: str = ""
    subdirectory: str = ""
    _newest: dict[int, Version] = field(default_factory=dict)  # by the value of `_fit`
    _here: set[tuple[int, Version]] = field(default_factory=set)  # the tags of the revision itself

    def take(self, line: str) -> None:
        """Reads one line of `git ls-remote --tags`; other lines are ignored."""
        found = LISTED.fullmatch(line.strip())
        if found is None or (read := self._read(found["name"])) is None:
            return
        fit, version = read
        self._newest[fit] = max(version, self._newest.get(fit, version))
        if found["commit"] == self.revision:
            self._here.add(read)

    def version(self) -> str:
        """Returns the version as setuptools-scm computes it.

        That is the version of a tag on the revision, else a development version that precedes the next
        release.
        """
        if self._here:
            named = self._read(self.ref.removeprefix("refs/tags/"))
            return str(named[1] if named in self._here else max(self._here)[1])
        node = f"g{self.revision[:7]}"
        if not self._newest:
            return f"{FIRST}.dev0+{node}"
        return f"{_next(self._newest[max(self._newest)])}.dev0+{node}"

    def _read(self, tag: str) -> tuple[int, Version] | None:
        """Returns the value of `_fit` and the version of a tag such as `package-1.2`; None if it holds no
        version.
        """
        for start in (0, *(found.end() for found in SEPARATOR.finditer(tag))):
            package = tag[: max(start - 1, 0)]
            if package[:1].isdigit():
                return None
            with suppress(InvalidVersion):
                return self._fit(package), Version(tag[start:])
        return None

    def _fit(self, package: str) -> int:
        """2: a tag of the package that is built; 1: of the whole repository; 0: of another package."""
        own = PurePosixPath(self.subdirectory).name
        if own and PurePosixPath(package).name.lower() == own.lower():
            return 2
        return 1 if package.lower() in OF_ALL else 0


def _next(version: Version) -> str:
    """Returns the version with its last number increased by one; of a development release, the release
    itself.
    """
    public = version.public
    if version.is_devrelease:
        return public.rpartition(".dev")[0]
    start, number = re.fullmatch(r"(.*?)([0-9]+)", public, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{start}{int(number) + 1}"
