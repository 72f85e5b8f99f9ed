"""Installs a server for the process runtime: a copy of the source, with an interpreter and packages of its
own.

An installation runs code of the packages (setup.py, lifecycle scripts of npm), as the server itself does
later. The scripts of npm stay enabled because native modules need them. All this code gets only the
environment of `tooling`, which has no secrets.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.builder import install_errors, node_tools
from hosting.builder.context import copy_tree, filling, write_beside
from hosting.deadline import Deadline
from hosting.errors import BuildError
from hosting.process_group import LineSink
from hosting.sources import interpreters, node_start, python_releases
from hosting.sources.base import BuildContext
from hosting.sources.plan import BESIDE, Plan, Step

# A server runs in `app`. For a member of a workspace the source is in `tree`, and `app` is a link into it.
APP, TREE, VENV, HOME, PYTHON = "app", "tree", "venv", "home", "python"
NO_INTERPRETER = re.compile(
    r"No interpreter found|No download found|Failed to (?:install|download) .*python", re.I
)
KEPT_LINES = 400  # a long usage text may follow the error of a tool
NODE_BINS = Path("node_modules/.bin")


def install(
    plan: Plan,
    context: BuildContext,
    into: Path,
    *,
    settings: BuildSettings,
    deadline: Deadline,
    log: LineSink,
) -> tuple[str, ...]:
    """Installs into the new directory `into`. Returns the command of the server, its program as an absolute
    path; it has to run in `into/app`.

    Without dependencies no network is used. Raises `BuildError`, `Cancelled`, `TimedOut`.
    """
    root = into / (TREE if plan.member else APP)
    with filling(into):
        copy_tree(context.top / plan.root, root)
        if plan.member:
            (into / APP).symlink_to(Path(TREE) / plan.member)
        write_beside(plan, into)
        (into / HOME).mkdir(mode=0o700)
    deadline = deadline.within(settings.timeout, "installation")
    with filling(into):
        _Installing(plan, into, root, settings, deadline, log).run()
        _clear(into)
    _must_be_made(plan, into)
    return (find_program(plan.command[0], into), *plan.command[1:])


def _must_be_made(plan: Plan, into: Path) -> None:
    """Raises `BuildError` where the script to start is missing: Node would only write a stack trace."""
    lacking = node_start.missing_file(into / APP, plan.command[:2]) if plan.ecosystem == "node" else ""
    if lacking and plan.command[0] == "node":
        raise BuildError(
            f"What is started, {lacking}, is not there after the installation.",
            hint="Commit it, add a build script that makes it, or set the build and the command.",
        )


def _clear(into: Path) -> None:
    passing = [HOME, BESIDE]
    if not any((into / PYTHON).glob("cpython*/bin")):  # uv creates it even when it downloads nothing
        passing.append(PYTHON)
    for name in passing:
        shutil.rmtree(into / name, ignore_errors=True)


def bin_directories(into: Path) -> tuple[Path, ...]:
    """The directories of programs in `into` that exist, in the order in which they belong on PATH."""
    own = (into / VENV / "bin", into / node_tools.TOOLS / "bin")
    found = (*own, into / APP / NODE_BINS, into / TREE / NODE_BINS)
    return tuple(path for path in found if path.is_dir())


def find_program(name: str, into: Path) -> str:
    """The absolute path of a program, which may be relative to `into/app`.

    Raises `BuildError` that lists the installed programs.
    """
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
    plumbing = ("activate", "Activate", "python", "pip", "deactivate", "pydoc", "idle", "2to3")
    names = {path.name for directory in bin_directories(into) for path in directory.iterdir()}
    return ", ".join(sorted(name for name in names if not name.startswith(plumbing))) or "none"


class _Installing:
    def __init__(
        self, plan: Plan, into: Path, root: Path, settings: BuildSettings, deadline: Deadline, log: LineSink
    ) -> None:
        self.plan, self.root, self.deadline, self.log = plan, root, deadline, log
        self.into, self.settings = into, settings
        self.venv = into / VENV
        self.env: Mapping[str, str] = {
            **tooling.environment(settings, into / HOME),
            **({"UV_PYTHON_CACHE_DIR": str(settings.cache / "python")} if settings.cache else {}),
            # With hard links into a shared cache one server could change the packages of another.
            "UV_LINK_MODE": "copy",
            "UV_PYTHON_DOWNLOADS": "automatic" if settings.python_downloads else "never",
            # Each server has an interpreter of its own; only the download is shared.
            "UV_PYTHON_INSTALL_DIR": str(into / PYTHON),
            "VIRTUAL_ENV": str(self.venv),
            "UV_PROJECT_ENVIRONMENT": str(self.venv),
            **plan.environment,
        }

    def run(self) -> None:
        if self.plan.ecosystem == "python":
            self._interpreter()
        else:
            self._node()
        for step in self.plan.steps:
            self.log(step.says)
            self._step(step)

    def _interpreter(self) -> None:
        outcome = self._venv(sys.executable) if self._is_own() else self._other_python()
        if outcome.code:
            raise install_errors.translate(outcome, "uv venv")
        # The steps use this interpreter, also where the project has another one in .python-version.
        self.env = {
            **self.env,
            "UV_PYTHON": str(self.venv / "bin/python"),
            "PATH": f"{self.venv / 'bin'}{os.pathsep}{self.env.get('PATH', os.defpath)}",
        }

    def _is_own(self) -> bool:
        return not self.plan.version or python_releases.suits(interpreters.OWN, self.plan.version)

    def _other_python(self) -> tooling.Outcome:
        wanted = self.plan.version
        there = interpreters.found(self.env, self.deadline, self.venv.parent)
        outcome = self._venv(interpreters.asked(wanted, there))
        if outcome.code and NO_INTERPRETER.search(outcome.text):
            missing = interpreters.missing(wanted, there, self.settings)
            other = interpreters.other(self.plan, there)
            if not other:
                raise missing
            self.log(f"{missing.message} It runs with {self.plan.allowed} too: {other} is taken.")
            outcome = self._venv(other)
        return outcome

    def _venv(self, python: str) -> tooling.Outcome:
        own = python == sys.executable
        self.log("Making a virtual environment" + ("" if own else f" with Python {python}"))
        venv = ("venv", "--quiet", "--no-project", f"--python={python}")
        # Not in the source: launchers such as those of pyenv read files of the directory they start in.
        return self._outcome((uv.find_uv_bin(), *venv, str(self.venv)), self.venv.parent)

    def _node(self) -> None:
        """Sets PATH: first Node and the package managers, then the programs that the steps install."""
        env = {**self.env, **node_tools.environment(self.settings, self.plan)}
        work = Path(env["HOME"])
        providing = node_tools.Provider(self.settings, env, work, self.deadline, self.log)
        first = providing.provide(self.plan, self.into)
        bins = dict.fromkeys((self.root / self.plan.member / NODE_BINS, self.root / NODE_BINS))
        path = os.pathsep.join(map(str, (*first, *bins, env["PATH"])))
        self.env = {**env, "PATH": path}

    def _step(self, step: Step) -> None:
        program = uv.find_uv_bin() if step.argv[0] == "uv" else step.argv[0]
        self._run((program, *step.argv[1:]), " ".join(step.argv[: 2 if step.kind == "install" else 3]))

    def _run(self, argv: Sequence[str], name: str) -> None:
        outcome = self._outcome(argv)
        if outcome.code:
            raise install_errors.translate(outcome, name)

    def _outcome(self, argv: Sequence[str], cwd: Path | None = None) -> tooling.Outcome:
        where = cwd or self.root
        return tooling.run(
            argv, env=self.env, deadline=self.deadline, log=self.log, cwd=where, keep=KEPT_LINES
        )
