"""Chooses the command that starts the server of a Python project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from hosting.errors import SourceError
from hosting.sources import manifests, python_scripts
from hosting.sources.python_manifest import Manifest
from hosting.sources.python_scripts import ScriptFacts, read_script
from hosting.sources.starting import choose_script

SCRIPTS = ("server.py", "main.py", "app.py")
AT_TOP = ("mcp_server.py", "run.py", "start.py", "run_server.py", "bot.py")
MORE_SCRIPTS = (*AT_TOP, "cli.py")
MOST_FILES = 200
NO_PACKAGES = frozenset(
    ("test", "tests", "docs", "doc", "examples", "example", "scripts", "node_modules", "venv")
)


@dataclass(frozen=True)
class Start:
    """A command and a sentence about its choice.

    `file` is the script of the source that it starts, "" for none.
    """

    command: tuple[str, ...]
    why: str
    file: str = ""


def start(path: Path, manifest: Manifest | None, *, installed: bool) -> Start:
    """Chooses the command. `installed` tells that the project is installed, and with it its commands.

    Raises `SourceError` if nothing is found, or if several could be meant.
    """
    if manifest and manifest.scripts:
        return _of_scripts(manifest, installed=installed)
    for find in (_script, _main_package, _in_packages, _only_server):
        if found := find(path, installed):
            return found
    looked = "Looked for [project.scripts] in pyproject.toml and the like of other tools, "
    raise SourceError(
        "The source is Python, but how to start it was not found.",
        hint=f"{looked}{', '.join(SCRIPTS)}, a package with __main__.py, and a file that makes a server "
        "of an MCP SDK. Set the command.",
    )


def _of_scripts(manifest: Manifest, *, installed: bool) -> Start:
    name = _chosen(tuple(manifest.scripts), manifest)
    if installed:
        return Start((name,), f"starts `{name}` from {manifest.told_in}")
    module, _, function = manifest.scripts[name].partition("[")[0].strip().partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        return Start((name,), f"starts `{name}` from {manifest.told_in}")
    src = manifest.path / "src"
    path = "sys.path.insert(0, 'src'); " if (src / module.partition(".")[0]).exists() else ""
    imported = function.partition(".")[0]
    code = f"import sys; {path}from {module} import {imported}; sys.exit({function}())"
    return Start(
        ("python", "-c", code),
        f"starts `{name}` from {manifest.told_in} as {module}:{function}, since the project is no package",
    )


def _chosen(names: tuple[str, ...], manifest: Manifest) -> str:
    """As `choose_script`. If no name is the project's, the only one that contains mcp or server is taken."""
    bears = [name for name in names if canonicalize_name(name) == canonicalize_name(manifest.name)]
    if len(names) > 1 and not bears:
        for words in (("mcp",), ("server", "serve")):
            told = [name for name in names if any(word in name.lower() for word in words)]
            if len(told) == 1:
                return told[0]
    return choose_script(names, manifest.name, manifest.told_in)


def _script(path: Path, _installed: bool) -> Start | None:
    name = next((name for name in SCRIPTS if manifests.has(path, name)), "")
    name = name or next((name for name in AT_TOP if manifests.has(path, name)), "")
    return _of_file(path, name) if name else None


def is_script_there(path: Path) -> bool:
    """Tells whether the directory holds a file with a usual name of a server's script, such as server.py."""
    return _script(path, False) is not None


def _of_file(path: Path, name: str) -> Start:
    facts = read_script(path, name)
    if not facts.server or facts.runs:
        return Start(("python", name), f"starts {name}", name)
    code = f"import runpy; runpy.run_path({name!r})[{facts.server!r}].run()"
    return Start(("python", "-c", code), f"runs the server `{facts.server}` of {name}", name)


def _main_package(path: Path, installed: bool) -> Start | None:
    names = _packages(path, "__main__.py")
    if len(names) > 1:
        shown = ", ".join(name for _, name in names)
        raise SourceError(
            f"Which package starts the server is not clear: {shown} have a __main__.py.",
            hint="Set the command, for example python -m " + names[0][1] + ".",
        )
    return _module(*names[0], "", installed=installed) if names else None


def _in_packages(path: Path, installed: bool) -> Start | None:
    """Looks for server.py, main.py and similar names in src/, or in the only package that has a
    runnable one.
    """
    for name in (*SCRIPTS, *MORE_SCRIPTS):
        if manifests.has(path, f"src/{name}"):
            return _of_file(path, f"src/{name}")
        packages = _packages(path, name)
        running = [found for found in packages if _runs(path / found[0] / found[1], name)]
        if len(running) == 1:
            where, package = running[0]
            return _module(where, package, name.removesuffix(".py"), installed=installed, at=path)
    return None


def _runs(directory: Path, name: str) -> bool:
    facts = read_script(directory, name)
    return facts.runs or bool(facts.server)


def _module(where: str, package: str, module: str, *, installed: bool, at: Path | None = None) -> Start:
    whole = f"{package}.{module}" if module else package
    facts = read_script(at / where / package, f"{module}.py") if at else ScriptFacts()
    if facts.server and not facts.runs:
        found = "import sys; sys.path.insert(0, 'src'); " if where and not installed else ""
        code = f"{found}from {whole} import {facts.server}; {facts.server}.run()"
        return Start(("python", "-c", code), f"runs the server `{facts.server}` of {whole}")
    way = ("env", "PYTHONPATH=src") if where and not installed else ()
    return Start((*way, "python", "-m", whole), f"starts the module {whole}")


def _packages(path: Path, file: str) -> list[tuple[str, str]]:
    """Returns (`src` or "", name) of the packages that contain `file`."""
    found = []
    for where in ("", "src"):
        try:
            directories = sorted(each for each in (path / where).iterdir() if each.is_dir())[:MOST_FILES]
        except OSError:
            continue
        found += [
            (where, each.name)
            for each in directories
            if each.name.isidentifier() and each.name not in (*NO_PACKAGES, "src")
            if manifests.has(path, "/".join(filter(None, (where, each.name, file))))
        ]
    return found


def _only_server(path: Path, _installed: bool) -> Start | None:
    """Returns the only script at the top that has inline metadata (PEP 723), or that uses an MCP SDK and
    runs.
    """
    scripts = [each.name for each in sorted(path.glob("*.py"))[:MOST_FILES] if manifests.has(path, each.name)]
    tests = ("test_", "setup.py", "conftest.py", "client")
    scripts = [name for name in scripts if not name.startswith(tests)]
    for wanted in (_is_inline, _is_server):
        found = [name for name in scripts if wanted(path, name)]
        if len(found) == 1:
            return _of_file(path, found[0])
        if found:
            raise SourceError(
                f"Which file starts the server is not clear: {', '.join(found[:5])}.",
                hint=f"Set the command, for example python {found[0]}.",
            )
    return None


def _is_inline(path: Path, name: str) -> bool:
    return python_scripts.inline(path, name) is not None


def _is_server(path: Path, name: str) -> bool:
    facts = read_script(path, name)
    return facts.imports and (facts.runs or bool(facts.server))


def is_single_script(path: Path) -> bool:
    """Tells whether files without a manifest show that a server is here.

    Several count as well: `start` names them.
    """
    try:
        return _only_server(path, False) is not None
    except SourceError:
        return True


def script_of(command: tuple[str, ...], path: Path) -> str:
    """Returns the file of the source that a command starts; "" if it starts something else."""
    return next((word for word in command if word.endswith(".py") and manifests.has(path, word)), "")
