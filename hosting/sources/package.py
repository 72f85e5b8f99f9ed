"""Makes a build context that depends on one published package (PyPI or npm) and on nothing else."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.process_group import LineSink
from hosting.sources import interpreters, published, releases
from hosting.sources.base import BuildContext
from hosting.sources.git_errors import no_space
from hosting.sources.node_start import bins_of, distinct
from hosting.sources.package_index import File, Missing, PackageIndex
from hosting.sources.published import Published
from hosting.sources.releases import Release
from hosting.sources.starting import choose_script
from registry.reasons import PATTERNS, Reason, is_full, says

PYPI_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE)
NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*")
# npm takes a version that ends like an archive for the name of a file.
NPM_VERSION = re.compile(r"(?!.*\.(?:tgz|tar|tar\.gz)$)[0-9A-Za-z][0-9A-Za-z.+-]*", re.IGNORECASE)
MISSING = re.compile(
    r"was not found in the package registry|E404|ETARGET|no matching version|no version of|not found"
)
NETWORK = re.compile(
    "|".join(
        (
            *PATTERNS[Reason.UNREACHABLE],
            *PATTERNS[Reason.UNTRUSTED],
            r"connect error|error sending request|failed to fetch|network connectivity",
        )
    ),
    re.IGNORECASE,
)

NOT_LOOKED = Published("", None, "")


def split_extras(name: str) -> tuple[str, tuple[str, ...]]:
    """Splits `mcp[cli,rich]` into the name `mcp` and the extras `cli` and `rich` (PEP 508)."""
    found = re.fullmatch(r"([^\[\]]+)\[([^\[\]]*)\]", name)
    if not found:
        return name, ()
    return found[1].strip(), tuple(filter(None, map(str.strip, found[2].split(","))))


@dataclass(frozen=True)
class PackageSource:
    """A package. `version` "" means the newest version: it is looked up now, and pinned.

    `command` starts the server; it is split as a shell does, and "" means the package's own. `arguments` are
    appended to the command. `images` tells that the server will run in an image, whose Python is not the
    platform's: the newest version is then chosen among those that an available Python can run.
    """

    ecosystem: Literal["pypi", "npm"]
    name: str
    version: str = ""
    command: str = ""
    arguments: tuple[str, ...] = ()
    settings: BuildSettings = field(default_factory=BuildSettings, repr=False)
    extras: tuple[str, ...] = ()
    images: bool = False

    def fetch(self, into: Path, *, deadline: Deadline, log: LineSink) -> BuildContext:
        """Writes a manifest that pins the package; the revision is `name==version`.

        Raises `SourceError`, `Cancelled`, `TimedOut`.
        """
        self.check()
        into.mkdir(parents=True, exist_ok=True)
        log(f"Looking up {self.ecosystem}:{self.name} {self.version or '(newest version)'}")
        found = self._look_up(into.parent, deadline)
        (into / found.manifest).write_text(found.content, "utf-8")
        revision = f"{self.name}=={found.version}"
        log(f"Found {revision}")
        return BuildContext(into, revision, found.summary, self._command(found), python=found.python)

    def check(self) -> None:
        """Raises `SourceError` for a name or version that the ecosystem's rules do not allow."""
        named = PYPI_NAME if self.ecosystem == "pypi" else NPM_NAME
        if not named.fullmatch(self.name) or len(self.name) > 214:
            raise SourceError(f"“{self.name}” is not the name of a package on {self.ecosystem}.")
        if any(not PYPI_NAME.fullmatch(extra) for extra in self.extras):
            raise SourceError(f"“{', '.join(self.extras)}” are not the names of extras.")
        if self.version and not self._is_version():
            raise SourceError(f"“{self.version}” is not a version that {self.ecosystem} knows.")

    def _is_version(self) -> bool:
        if self.ecosystem == "npm":
            return bool(NPM_VERSION.fullmatch(self.version))
        try:
            Version(self.version)
        except InvalidVersion:
            return False
        return not re.search(r"\s", self.version)

    def _look_up(self, beside: Path, deadline: Deadline) -> _Found:
        with tempfile.TemporaryDirectory(prefix="mcphost-package-", dir=beside) as work:
            ask = _ask_pypi if self.ecosystem == "pypi" else _ask_npm
            try:
                return ask(self, Path(work), deadline)
            except OSError as error:
                if is_full(error):
                    raise no_space("looking up the package") from error
                raise SourceError(f"The package could not be looked up: {error.strerror}.") from error

    def _command(self, found: _Found) -> tuple[str, ...]:
        if self.command:
            return (*shlex.split(self.command), *self.arguments)
        if not found.scripts and found.module:
            return ("python", "-m", found.module, *self.arguments)
        if found.scripts is None:
            raise SourceError(
                f"Which command starts {self.name} is not known: the index has its source alone, which would "
                "have to be built to tell.",
                hint="Set the command, for example to the one that its documentation names.",
            )
        if not found.scripts:
            raise SourceError(f"The package {self.name} brings no command that could be started.")
        return (choose_script(found.scripts, self.name, f"the package {self.name}"), *self.arguments)


@dataclass(frozen=True)
class _Found:
    """What an index says of a package, and the manifest that depends on it."""

    version: str
    manifest: str
    content: str
    summary: str = ""
    scripts: tuple[str, ...] | None = ()  # None: only a build can tell them
    module: str = ""
    python: str = ""


def _ask_pypi(source: PackageSource, work: Path, deadline: Deadline) -> _Found:
    """Reads the index and one file of the release. No code of a package runs before its build."""
    pythons = interpreters.reachable(source.settings, images=source.images, deadline=deadline, work=work)
    with closing(PackageIndex(source.settings)) as index:
        try:
            files = index.files(source.name, deadline)
            release = releases.choose(files, source.name, source.version, pythons)
            if release is None:
                raise Missing
            if not release.is_for(pythons):
                raise _other_python(source, release, pythons)
            told = (
                NOT_LOOKED if source.command else _look_into(index, release.best, source.name, work, deadline)
            )
        except Missing:
            raise _missing(source) from None
    extras = f"[{','.join(source.extras)}]" if source.extras else ""
    pinned = f"{source.name}{extras}=={release.version}\n"
    return _Found(
        str(release.version),
        "requirements.txt",
        pinned,
        told.summary,
        told.scripts,
        told.module,
        release.requires_python,
    )


def _other_python(source: PackageSource, release: Release, pythons: tuple[str, ...]) -> SourceError:
    where = "the base image has" if source.images else "this machine has"
    there = dict.fromkeys(".".join(each.split(".")[:2]) for each in pythons)
    return SourceError(
        f"{source.name} {release.version} needs Python {release.requires_python}; "
        f"{where} {', '.join(there)}.",
        hint="Set an older version of the package, or have that Python: install it, set "
        "PYTHON_DOWNLOADS=true, or set BASE_IMAGE_PYTHON to an image that has it.",
        reason=Reason.UNSATISFIABLE,
    )


def _look_into(index: PackageIndex, file: File, name: str, work: Path, deadline: Deadline) -> Published:
    archive = work / ("package.whl" if file.name.endswith(".whl") else "package")
    index.download(file, archive, deadline)
    return published.read(archive, name, deadline)


def _ask_npm(source: PackageSource, work: Path, deadline: Deadline) -> _Found:
    npm = shutil.which("npm")
    if not npm:
        raise SourceError(
            "npm is not installed on this machine.",
            hint="Install Node.js with npm to host packages from npm.",
        )
    wanted = f"{source.name}@{source.version or 'latest'}"
    answer = _run(
        source, (npm, "view", "--json", wanted, "name", "version", "description", "bin"), work, deadline
    )
    package = _npm_answer(answer, wanted)
    version = str(package["version"])
    if not NPM_VERSION.fullmatch(version):  # "git+ssh://…" and "file:…" would be other kinds of dependencies
        raise SourceError(f"The package registry (npm) answered for {wanted} what is no version.")
    manifest = {"private": True, "dependencies": {source.name: version}}
    return _Found(
        version,
        "package.json",
        json.dumps(manifest, indent=2) + "\n",
        str(package.get("description", "")),
        tuple(distinct(bins_of(package), source.name)),
    )


def _npm_answer(answer: str, wanted: str) -> dict[str, Any]:
    # npm prints warnings before and after the JSON, on lines of their own.
    start = re.search(r"^[{\[]", answer, re.MULTILINE)
    try:
        found = json.JSONDecoder().raw_decode(answer, start.start())[0] if start else None
    except ValueError:
        found = None
    newest = found[-1] if isinstance(found, list) and found else found
    if not isinstance(newest, dict) or "version" not in newest:
        raise SourceError(f"npm knows no package {wanted}.")
    return newest


def _run(source: PackageSource, argv: tuple[str, ...], work: Path, deadline: Deadline) -> str:
    env = tooling.environment(source.settings, work)
    outcome = tooling.run(argv, env=env, deadline=deadline, log=tooling.no_log, cwd=work, keep=10_000)
    if not outcome.code:
        return outcome.text
    raise _translate(source, outcome)


def _translate(source: PackageSource, outcome: tooling.Outcome) -> SourceError:
    details = {"lines": list(outcome.lines[-10:])}
    if outcome.out_of_space:
        return no_space("looking up the package")
    if MISSING.search(outcome.text) and not NETWORK.search(outcome.text):
        return _missing(source, details)
    if NETWORK.search(outcome.text):
        return SourceError(
            f"The package index ({source.ecosystem}) cannot be reached.",
            hint="Check the network, the proxy, the index URL and the CA bundle for builds.",
            permanent=False,
            reason=Reason.UNTRUSTED if says(Reason.UNTRUSTED, outcome.text) else Reason.UNREACHABLE,
            details=details,
        )
    last = next((line for line in reversed(outcome.lines) if line.strip()), "")
    return SourceError(f"The package {source.name} could not be looked up: {last}", details=details)


def _missing(source: PackageSource, details: Mapping[str, Any] | None = None) -> SourceError:
    wanted = " ".join(filter(None, (source.name, source.version)))
    return SourceError(
        f"{source.ecosystem} has no package {wanted} that could be installed.",
        hint="Check the name and the version.",
        reason=Reason.NOT_FOUND,
        details=details,
    )
