"""Finds the package manager that a Node project is kept with, its lock file, and the words of its commands.

npm: docs.npmjs.com/cli; pnpm: pnpm.io/cli; Yarn 1: classic.yarnpkg.com; Yarn 2 and later ("Berry"):
yarnpkg.com/cli; Bun: bun.sh/docs/cli. `packageManager` is a field of Corepack, `devEngines` of OpenJS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hosting.errors import SourceError
from hosting.sources import manifests, node_versions
from hosting.sources.node_workspace import yaml_of
from hosting.sources.plan import Tool

Kind = Literal["npm", "pnpm", "yarn", "berry", "bun"]

# The lock files, by which a manager is recognised if nothing names one; the more specific ones first.
LOCKS: tuple[tuple[str, str], ...] = (
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("yarn.lock", "yarn"),
    ("npm-shrinkwrap.json", "npm"),
    ("package-lock.json", "npm"),
)
NAMES = ("npm", "pnpm", "yarn", "bun")
# Only a version of this form is put into a command: a manager cannot read it as anything else.
EXACT = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z]+(?:\.[0-9A-Za-z]+){0,8})?")
NAMED = re.compile(r"(?P<name>[a-z]+)(?:@(?P<version>[^+\s]+))?(?:\+\S*)?")
ONLY = re.compile(r"\bonly-allow\s+(?P<name>npm|pnpm|yarn|bun)\b")
# The last release of each major version, for projects that name no exact one.
RELEASES: dict[Kind, tuple[str, ...]] = {
    "npm": ("11.19.1", "10.9.9", "9.9.4", "8.19.4"),
    "pnpm": ("9.15.9", "10.34.9", "8.15.9", "7.33.7", "6.35.1", "11.28.11", "12.21.0"),
    "yarn": ("1.22.22",),
    "berry": ("4.18.1", "3.8.7", "2.4.2"),
    "bun": ("1.4.5", "1.3.0"),
}
# The release that writes a `lockfileVersion` of pnpm-lock.yaml, or an `__metadata.version` of yarn.lock.
OF_PNPM_LOCK = {"9": "9.15.9", "6": "8.15.9", "5.4": "7.33.7", "5": "6.35.1"}
OF_YARN_LOCK = {"4": "2.4.2", "5": "3.1.1", "6": "3.8.7", "8": "4.12.0", "9": "4.14.1", "10": "4.18.1"}
# From version 11 on, pnpm needs this range of Node.
NODE_OF_PNPM = (11, ">=22.13")
PNPM_LOCKS = re.compile(r"^(?:importers|packages|dependencies|devDependencies|specifiers):", re.MULTILINE)
BERRYS = re.compile(r"\.yarn/releases/yarn-(?:berry|[2-9]|\d\d)")
HEAD = 65_536  # how many characters of a lock file are read


# From version 12 on, npm runs install scripts only with this setting.
LET_SCRIPTS_RUN = {"npm_config_dangerously_allow_all_scripts": "true"}
BERRY = "@yarnpkg/cli-dist"  # Yarn 2 and later
# Variables of those that do not go by npm's own.
REGISTRY = ("YARN_NPM_REGISTRY_SERVER", "BUN_CONFIG_REGISTRY", "pnpm_config_registry")
WITH_SCRIPTS = ("bun",)  # puts its program in place by a script when it is installed


@dataclass(frozen=True)
class Manager:
    """`version` is exact, "" for any. `lock` is the lock file, "" for none. `program` are a command's first
    words.

    `pnp` tells that Yarn loads packages from its cache through .pnp.cjs (Plug'n'Play).
    """

    kind: Kind
    version: str = ""
    lock: str = ""
    program: tuple[str, ...] = ()
    pnp: bool = False
    why: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "yarn" if self.kind == "berry" else self.kind

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The programs that the steps need; () if the repository brings its own Yarn."""
        if self.program[0] == "node":
            return ()
        return (Tool(self.name, self.version),)  # type: ignore[arg-type]

    @property
    def major(self) -> int:
        """The major version; 0 for any."""
        return int(self.version.partition(".")[0] or 0)

    @property
    def node(self) -> str:
        """The range of Node that the manager itself needs; "" for any."""
        return NODE_OF_PNPM[1] if self.kind == "pnpm" and self.major >= NODE_OF_PNPM[0] else ""

    def install(self, *, dev: bool, members: tuple[str, ...] = (), at: str = "") -> tuple[str, ...]:
        """Returns the words that install packages; `at` is a directory from the root, "" for the root.

        `dev` includes development dependencies. `members` are the wanted packages of the workspace, if the
        manager can leave out others.
        """
        return (*self._at(at), *INSTALLS[self.kind](self, dev, members))

    def run(self, script: str, at: str = "") -> tuple[str, ...]:
        """Returns the words that run a script of the package in the directory `at`."""
        return (*self._at(at), "run", script)

    def prune(self, *, members: tuple[str, ...] = (), at: str = "") -> tuple[str, ...]:
        """Returns the words that remove development dependencies after a build; () if the manager cannot do
        that.
        """
        if self.kind == "berry":
            focus = (*self._at(at or "".join(members[:1])), "workspaces", "focus", "--production")
            return focus if self.major not in (0, 2, 3) else ()
        if self.kind == "npm":
            return (*self._at(at), "prune", "--omit=dev", "--ignore-scripts", *_selected(members))
        offline = {"pnpm": ("--prefer-offline",), "yarn": ("--prefer-offline",), "bun": ()}[self.kind]
        return (*self.install(dev=False, members=members, at=at), "--ignore-scripts", *offline)

    def _at(self, at: str) -> tuple[str, ...]:
        flags = {"npm": "--prefix", "pnpm": "--dir"}
        return (*self.program, *((flags.get(self.kind, "--cwd"), at) if at else ()))


def _npm(manager: Manager, dev: bool, members: tuple[str, ...]) -> tuple[str, ...]:
    verb = ("ci",) if manager.lock else ("install", "--no-package-lock")
    return (*verb, "--include=dev" if dev else "--omit=dev", *_selected(members))


def _selected(members: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(f"--workspace={member}" for member in members)
    return (*chosen, "--include-workspace-root") if chosen else ()


def _pnpm(manager: Manager, dev: bool, members: tuple[str, ...]) -> tuple[str, ...]:
    frozen = "--frozen-lockfile" if manager.lock else "--no-frozen-lockfile"
    filters = [word for member in members for word in ("--filter", f"{{{member}}}")]
    return ("install", frozen, *(("--prod=false",) if dev else ("--prod",)), *filters)


def _yarn(manager: Manager, dev: bool, members: tuple[str, ...]) -> tuple[str, ...]:
    frozen = "--frozen-lockfile" if manager.lock else "--no-lockfile"
    return ("install", frozen, "--non-interactive", f"--production={'false' if dev else 'true'}")


def _berry(manager: Manager, dev: bool, members: tuple[str, ...]) -> tuple[str, ...]:
    return ("install", "--immutable" if manager.lock else "--no-immutable")


def _bun(manager: Manager, dev: bool, members: tuple[str, ...]) -> tuple[str, ...]:
    frozen = ("--frozen-lockfile",) if manager.lock else ("--no-save",)
    return ("install", *frozen, "--backend=copyfile", *(() if dev else ("--production",)))


INSTALLS = {"npm": _npm, "pnpm": _pnpm, "yarn": _yarn, "berry": _berry, "bun": _bun}


def of(root: Path, package: Mapping[str, Any]) -> Manager:
    """Returns the manager of the directory to install in. Raises `SourceError` for an unknown manager."""
    name, version, said = _named(root, package)
    lock = _lock(root, name)
    kind = _kind(root, name, version, lock)
    exact, guessed = _version(root, kind, version, package)
    manager = Manager(kind, exact, lock, (name,), why=_why(name, exact, said, lock, guessed))
    return _of_yarn(root, manager) if kind in ("yarn", "berry") else manager


def _why(name: str, version: str, said: str, lock: str, guessed: bool) -> tuple[str, ...]:
    shown = name if guessed or not version else f"{name} {version}"
    if not said:
        return (f"{shown}, which comes with Node",)
    if said == lock:
        return (f"{lock} found: {shown}",)
    return (f"{shown} from {said}", *((f"{lock} found",) if lock else ()))


def _named(root: Path, package: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the manager's name, its version or range, and the place that names it."""
    for name, version, said in _candidates(root, package):
        if name not in NAMES:
            raise SourceError(
                f"“{name}” (from {said}) is no package manager that is known here.",
                hint=f"Known are {', '.join(NAMES)}.",
            )
        return name, version, said
    return "npm", "", ""


def _candidates(root: Path, package: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if field := str(package.get("packageManager") or ""):
        found = NAMED.fullmatch(field)
        yield (
            (found["name"], found["version"] or "", "packageManager")
            if found
            else (field, "", "packageManager")
        )
    engines = manifests.table(dict(package), "devEngines").get("packageManager")
    for each in engines if isinstance(engines, list) else [engines]:
        if isinstance(each, dict) and each.get("name"):
            yield str(each["name"]), str(each.get("version", "")), "devEngines"
    if only := ONLY.search(str(manifests.table(dict(package), "scripts").get("preinstall", ""))):
        yield only["name"], _engine(package, only["name"]), "only-allow in preinstall"
    for file, name in ((".yarnrc.yml", "yarn"), ("pnpm-workspace.yaml", "pnpm"), *LOCKS):
        if manifests.has(root, file):
            yield name, _engine(package, name), file


def _engine(package: Mapping[str, Any], name: str) -> str:
    return str(manifests.table(dict(package), "engines").get(name, ""))


def _lock(root: Path, name: str) -> str:
    """Returns the manager's lock file, "" for none. An empty file, as in a first commit, does not count."""
    for file, of_name in sorted(LOCKS, key=lambda lock: lock[0] == "package-lock.json"):
        if of_name == name and manifests.has(root, file) and not _holds_nothing(root, file):
            return file
    return ""


def _holds_nothing(root: Path, file: str) -> bool:
    if file == "pnpm-lock.yaml":
        return not re.search(
            r"^(?:importers|packages|dependencies|devDependencies|specifiers):", _head(root, file), re.M
        )
    return not (root / file).stat().st_size


def _head(root: Path, file: str) -> str:
    if not manifests.has(root, file):
        return ""
    with (root / file).open("r", encoding="utf-8", errors="replace") as text:
        return text.read(HEAD)


def _kind(root: Path, name: str, version: str, lock: str) -> Kind:
    if name != "yarn":
        return name  # type: ignore[return-value]
    if EXACT.match(version):
        return "yarn" if version.startswith(("0.", "1.")) else "berry"
    modern = "__metadata:" in _head(root, "yarn.lock") or manifests.has(root, ".yarnrc.yml")
    wanted = node_versions.bounds(version) if version else []
    if wanted and not lock:
        modern = not any(low <= (1, 22, 22) < high for low, high in wanted)
    return "berry" if modern else "yarn"


def _version(root: Path, kind: Kind, wanted: str, package: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns an exact version, and whether it was derived from the lock because nothing names one."""
    if EXACT.fullmatch(wanted):
        return wanted, False
    if wanted and (named := next((each for each in RELEASES[kind] if _fits(each, wanted)), "")):
        return named, False
    if kind == "pnpm":
        return _of_pnpm(root, package), True
    if kind == "berry":
        found = re.search(r"__metadata:\s*\n\s+version:\s*\"?(\d+)", _head(root, "yarn.lock"))
        return OF_YARN_LOCK.get(found[1] if found else "", RELEASES["berry"][0]), True
    return ("" if kind == "npm" else RELEASES[kind][0]), True


def _fits(version: str, wanted: str) -> bool:
    return bool(node_versions.bounds(wanted)) and node_versions.fits(version, wanted)


def _of_pnpm(root: Path, package: Mapping[str, Any]) -> str:
    """Returns a release of pnpm for the lock. Versions 9 and 10 write the same format.

    Only version 10 reads settings from pnpm-workspace.yaml, so such settings tell the two apart.
    """
    found = re.search(r"^lockfileVersion:\s*['\"]?([\d.]+)", _head(root, "pnpm-lock.yaml"), re.MULTILINE)
    version = found[1] if found else "9.0"
    settings = yaml_of(root, "pnpm-workspace.yaml").keys() - {"packages", "catalog", "catalogs"}
    of_ten = "onlyBuiltDependencies" in manifests.table(dict(package), "pnpm")
    if version.startswith("9") and (settings or of_ten):
        return next(each for each in RELEASES["pnpm"] if each.startswith("10."))
    return OF_PNPM_LOCK.get(version, OF_PNPM_LOCK.get(version.partition(".")[0], RELEASES["pnpm"][0]))


def _of_yarn(root: Path, manager: Manager) -> Manager:
    """Applies the Yarn release that the repository brings (`yarnPath`), and its way to link packages."""
    settings = yaml_of(root, ".yarnrc.yml")
    path = str(settings.get("yarnPath") or _classic_path(root))
    if path and manifests.has(root, path) and path.endswith((".cjs", ".js", ".mjs")):
        said = f"Yarn from {path}"
        manager = replace(manager, program=("node", path), why=(said, *manager.why[1:]))
        if BERRYS.match(path):
            manager = replace(manager, kind="berry")
    linker = str(settings.get("nodeLinker", "pnp"))
    return replace(manager, pnp=manager.kind == "berry" and linker == "pnp")


def _classic_path(root: Path) -> str:
    found = re.search(r'^yarn-path\s+"?([^"\n]+)"?\s*$', _head(root, ".yarnrc"), re.MULTILINE)
    return found[1] if found else ""


def package_of(tool: Tool) -> str:
    """What brings the tool, with its version, as npm takes it."""
    modern = tool.name == "yarn" and not tool.version.startswith(("0.", "1."))
    return f"{BERRY if modern else tool.name}@{tool.version}"
