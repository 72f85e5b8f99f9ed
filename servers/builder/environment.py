"""The build of the process runtime: a virtual environment or node_modules beside a copy of the source.

Installs run code of the packages (setup.py, npm's lifecycle scripts), as the server itself will: npm's are
not switched off, since native modules need them. They see the scrubbed environment of `tooling` only.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uv

from servers.builder import tooling
from servers.builder.base import BuildSettings
from servers.builder.context import copy_tree, filling, no_space
from servers.errors import BuildError
from servers.leash import Leash
from servers.process_group import LineSink
from servers.sources import manifests
from servers.sources.base import BuildContext, Recipe

APP, VENV, HOME = "app", "venv", "home"
SHOWN_LINES = 12


def install(
    recipe: Recipe, context: BuildContext, into: Path, *, settings: BuildSettings, leash: Leash, log: LineSink
) -> tuple[str, ...]:
    """Installs into the new directory `into`; returns the server's command, its program as an absolute path.

    It is run in `into/app`. No network is used where the source has no dependencies. Raises `BuildError`,
    `Cancelled`, `TimedOut`.
    """
    with filling(into):
        copy_tree(context.path, into / APP)
        (into / HOME).mkdir(mode=0o700)
    installing = _Installing(recipe, into, settings, leash.within(settings.timeout, "installation"), log)
    with filling(into):
        installing.python() if recipe.kind == "python" else installing.node()
        shutil.rmtree(into / HOME, ignore_errors=True)
    return (find_program(recipe.command[0], into), *recipe.command[1:])


def bin_directories(into: Path) -> tuple[Path, ...]:
    """What goes first on PATH of a server installed in `into`."""
    found = (into / VENV / "bin", into / APP / "node_modules" / ".bin")
    return tuple(path for path in found if path.is_dir())


def find_program(name: str, into: Path) -> str:
    """The absolute path of `name` as seen in `into/app`. Raises `BuildError` that lists what there is."""
    if "/" in name:
        path = into / APP / name
        if path.is_file():
            return str(path)
    for directory in bin_directories(into):
        if (directory / name).exists():
            return str(directory / name)
    if found := shutil.which(name):
        return found
    raise BuildError(
        f"The command {name} is not there after the installation.", hint=f"There are: {_programs(into)}."
    )


def _programs(into: Path) -> str:
    plumbing = ("activate", "Activate", "python", "pip", "deactivate", "pydoc")
    names = {path.name for directory in bin_directories(into) for path in directory.iterdir()}
    return ", ".join(sorted(name for name in names if not name.startswith(plumbing))) or "none"


class _Installing:
    def __init__(
        self, recipe: Recipe, into: Path, settings: BuildSettings, leash: Leash, log: LineSink
    ) -> None:
        self.recipe, self.app, self.leash, self.log = recipe, into / APP, leash, log
        self.venv = into / VENV
        self.env = tooling.environment(settings, into / HOME) | {
            # Hard links into a shared cache would let one server change another's packages.
            "UV_LINK_MODE": "copy",
            "UV_PYTHON_DOWNLOADS": "never",
        }

    def python(self) -> None:
        project = manifests.table(manifests.pyproject(self.app), "project")
        wanted = str(project.get("requires-python", "")) or sys.executable
        self.log("Making a virtual environment")
        self._uv("venv", "--quiet", "--no-project", f"--python={wanted}", str(self.venv))
        if what := self._python_dependencies():
            self.log("Installing Python packages")
            self._uv("pip", "install", f"--python={self.venv / 'bin' / 'python'}", *what)

    def _python_dependencies(self) -> tuple[str, ...]:
        if self.recipe.install == "project":
            return (".",)
        if not self.recipe.install:
            return ()
        manifest = "pyproject.toml" if self.recipe.files == ("pyproject.toml",) else "requirements.txt"
        lists_any = manifest != "requirements.txt" or manifests.requirement_lines(
            manifests.read(self.app, manifest)
        )
        return ("-r", manifest) if lists_any else ()

    def node(self) -> None:
        npm = self._npm()
        package = manifests.package_json(self.app)
        groups = ["dependencies", "optionalDependencies", *(["devDependencies"] if self.recipe.build else [])]
        if any(package.get(group) for group in groups) or "workspaces" in package:
            self.log("Installing Node packages")
            verb = ("ci",) if self.recipe.install == "lock" else ("install", "--no-package-lock")
            self._run((npm, *verb, "--include=dev" if self.recipe.build else "--omit=dev"), "npm")
        if self.recipe.build:
            self.log("Running npm run build")
            self._run((npm, "run", "build"), "npm run build")
            self._run((npm, "prune", "--omit=dev"), "npm")

    def _npm(self) -> str:
        for tool in ("node", "npm"):
            if not shutil.which(tool):
                raise BuildError(
                    f"{tool} is not installed on this machine.",
                    hint="Install Node.js with npm to host Node servers.",
                )
        return shutil.which("npm") or "npm"

    def _uv(self, *arguments: str) -> None:
        self._run((uv.find_uv_bin(), *arguments), "uv")

    def _run(self, argv: Sequence[str], name: str) -> None:
        outcome = tooling.run(argv, env=self.env, leash=self.leash, log=self.log, cwd=self.app)
        if outcome.code:
            raise _translate(outcome, name)


def _translate(outcome: tooling.Outcome, name: str) -> BuildError:
    if outcome.out_of_space:
        return no_space()
    shown = [line for line in outcome.lines if line.strip()][-SHOWN_LINES:]
    return BuildError(
        f"{name} ended with exit code {outcome.code}.\n" + "\n".join(shown),
        hint=_hint(outcome.text),
        details={"lines": list(outcome.lines)},
    )


def _hint(text: str) -> str:
    hints: tuple[tuple[Callable[[str], bool], str], ...] = (
        (
            lambda said: "No interpreter found" in said,
            "Install that version of Python, or relax requires-python.",
        ),
        (
            lambda said: "certificate" in said.lower(),
            "Behind a proxy with its own CA, set the CA bundle for builds.",
        ),
        (
            lambda said: any(
                word in said for word in ("ENOTFOUND", "dns error", "ECONNREFUSED", "error sending")
            ),
            "The package index cannot be reached: check the network, the proxy and the index URL.",
        ),
    )
    return next((hint for applies, hint in hints if applies(text)), "")
