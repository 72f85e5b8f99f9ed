"""Reads what a directory declares as a Python project, whichever tool keeps it. Runs nothing of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hosting.sources import manifests, python_setuptools
from hosting.sources.python_poetry import Declared, declared, specifier

IN_PROJECT = re.compile(
    r"(?P<name>[\w.-]+)[^@]*@\s*(?:file:/{2,3}\$\{PROJECT_ROOT\}|\{root:uri\})/(?P<path>[^\s;]+)"
)
DIRECT = re.compile(r"@\s*(?:git\+)?(?:https?|ssh)://", re.IGNORECASE)
# Directories that setuptools does not take for packages.
NO_PACKAGES = frozenset(
    {
        *("ci", "bin", "debian", "doc", "docs", "documentation", "manpages", "news", "newsfragments"),
        *("changelog", "test", "tests", "unit_test", "unit_tests", "example", "examples", "scripts", "tools"),
        *("util", "utils", "python", "build", "benchmark", "benchmarks", "exercise", "exercises", "htmlcov"),
        *("venv", "env", "node_modules"),
    }
)
PYPI = ("https://pypi.org/simple", "https://pypi.python.org/simple")


@dataclass(frozen=True)
class Manifest:
    """What a Python project declares.

    `scripts` maps commands to `module:function`, and `told_in` names the table that holds them. `python` is a
    range (PEP 440). `requirements` are those that an index or git provides. `local` are (name, directory) of
    dependencies in the source, as they are written. `groups` and `extras` map names to requirements.
    `indexes` are URLs of further indexes. `packaged` tells that the directory itself can be installed.
    """

    path: Path
    tool: str
    name: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
    told_in: str = ""
    python: str = ""
    requirements: tuple[str, ...] = ()
    local: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    packaged: bool = False
    pyproject: Mapping[str, Any] = field(default_factory=dict)

    @property
    def standard(self) -> bool:
        """Tells whether [project] lists the dependencies (PEP 621)."""
        return "dependencies" in manifests.table(dict(self.pyproject), "project")


def read(path: Path) -> Manifest | None:
    """Returns the manifest of a directory; None if nothing there is of Python. Raises `SourceError`."""
    data = manifests.pyproject(path)
    tools = manifests.table(data, "tool")
    if manifests.table(tools, "poetry").keys() & {"name", "dependencies", "packages", "package-mode"} and (
        manifests.table(tools, "poetry").get("dependencies") or not manifests.table(data, "project")
    ):
        return _poetry(path, data)
    if manifests.table(data, "project"):
        return _standard(path, data)
    if manifests.within(tools, "flit", "metadata"):
        return _flit(path, data)
    if manifests.has(path, "Pipfile"):
        return _pipenv(path)
    return _setuptools(path, data)


def _standard(path: Path, data: dict[str, Any]) -> Manifest:
    project, tools = manifests.table(data, "project"), manifests.table(data, "tool")
    uv = manifests.table(tools, "uv")
    sources = manifests.table(uv, "sources")
    listed = tuple(manifests.dependencies(project))
    extras = _lists(manifests.table(project, "optional-dependencies"))
    every = (*listed, *(line for lines in extras.values() for line in lines))
    elsewhere = {canonicalize_name(name) for name in sources}
    return Manifest(
        path,
        _tool(path, tools),
        name=str(project.get("name", "")),
        scripts=_scripts(manifests.table(project, "scripts")),
        told_in="[project.scripts]",
        python=str(project.get("requires-python", "")),
        requirements=tuple(line for line in listed if not _is_elsewhere(line, elsewhere)),
        local=(*_paths_of_sources(sources, every), *_poetry_paths(tools), *_paths_of_lines(listed)),
        groups=_groups(data),
        extras=extras,
        indexes=_indexes(tools),
        packaged=_is_packaged(path, data),
        pyproject=data,
    )


def _poetry_paths(tools: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns the local dependencies. Poetry 2 lists names in [project] and their paths in its own table."""
    return declared(manifests.within(tools, "poetry", "dependencies"), "[tool.poetry.dependencies]").local


def _poetry(path: Path, data: dict[str, Any]) -> Manifest:
    poetry = manifests.within(data, "tool", "poetry")
    table = manifests.table(poetry, "dependencies")
    of_extras = manifests.table(poetry, "extras")
    optional = frozenset(name for extra in of_extras for name in manifests.texts(of_extras, extra))
    main = declared(table, "[tool.poetry.dependencies]")
    every = declared(table, "[tool.poetry.dependencies]", only=optional)
    project = manifests.table(data, "project")
    scripts = {**manifests.table(poetry, "scripts"), **manifests.table(project, "scripts")}
    python = table.get("python")
    return Manifest(
        path,
        "poetry",
        name=str(poetry.get("name") or project.get("name") or ""),
        scripts=_scripts(scripts),
        told_in="[tool.poetry.scripts]",
        python=str(project.get("requires-python") or (specifier(python) if isinstance(python, str) else "")),
        requirements=main.requirements,
        local=every.local,
        groups=_groups(data),
        extras={name: _named(every, names) for name, names in manifests.table(poetry, "extras").items()},
        indexes=_indexes(manifests.table(data, "tool")),
        packaged=_poetry_packages(path, poetry) and "build-system" in data,
        pyproject=data,
    )


def _named(every: Declared, names: object) -> tuple[str, ...]:
    wanted = {canonicalize_name(str(name)) for name in names} if isinstance(names, list) else set()
    return tuple(each for each in every.requirements if canonicalize_name(Requirement(each).name) in wanted)


def _poetry_packages(path: Path, poetry: dict[str, Any]) -> bool:
    """Tells whether Poetry would find a package to build: many applications have none of the
    project's name.
    """
    if poetry.get("package-mode") is False or not poetry.get("name"):
        return False
    module = canonicalize_name(str(poetry["name"])).replace("-", "_")
    places = (module, f"src/{module}")
    return "packages" in poetry or any(
        (path / place).is_dir() or manifests.has(path, f"{place}.py") for place in places
    )


def _flit(path: Path, data: dict[str, Any]) -> Manifest:
    flit = manifests.within(data, "tool", "flit")
    metadata = manifests.table(flit, "metadata")
    extras = manifests.table(metadata, "requires-extra")
    return Manifest(
        path,
        "flit",
        name=str(metadata.get("dist-name") or metadata.get("module") or ""),
        scripts=_scripts(manifests.table(flit, "scripts")),
        told_in="[tool.flit.scripts]",
        python=str(metadata.get("requires-python", "")),
        requirements=manifests.texts(metadata, "requires"),
        extras=_lists(extras),
        groups=_groups(data),
        packaged=True,
        pyproject=data,
    )


def _pipenv(path: Path) -> Manifest:
    data = manifests.toml(path, "Pipfile")
    main = declared(manifests.table(data, "packages"), "[packages] of Pipfile")
    groups = {
        ("dev" if name == "dev-packages" else name): declared(table, f"[{name}] of Pipfile").requirements
        for name, table in data.items()
        if isinstance(table, dict) and name not in ("packages", "requires", "scripts", "pipenv")
    }
    requires = manifests.table(data, "requires")
    version = str(requires.get("python_full_version") or requires.get("python_version") or "")
    urls = (str(each.get("url", "")) for each in manifests.tables(data, "source"))
    return Manifest(
        path,
        "pipenv",
        python=f"=={version}.*" if re.fullmatch(r"\d+(\.\d+)?", version) else version and f"=={version}",
        requirements=main.requirements,
        local=main.local,
        groups=groups,
        indexes=tuple(url for url in urls if url.rstrip("/") not in ("", *PYPI)),
    )


def _setuptools(path: Path, data: dict[str, Any]) -> Manifest | None:
    told = python_setuptools.read(path)
    if told is None:
        return None
    return Manifest(
        path,
        "setuptools",
        name=told.name,
        scripts=_scripts(dict(told.scripts)),
        told_in=f"the entry points of {told.file}",
        python=told.python,
        packaged=True,
        pyproject=data,
        groups=_groups(data),
    )


def _tool(path: Path, tools: dict[str, Any]) -> str:
    """Returns the first tool whose lock or table exists, else pip."""
    for tool, lock in (("uv", "uv.lock"), ("poetry", "poetry.lock"), ("pdm", "pdm.lock")):
        if manifests.has(path, lock):
            return tool
    named = next(
        (tool for tool in ("uv", "poetry", "pdm", "hatch", "flit", "setuptools") if tool in tools), ""
    )
    return named or "pip"


def _is_packaged(path: Path, data: dict[str, Any]) -> bool:
    """Tells whether pip can install the directory; a pyproject.toml may only list dependencies or tools."""
    project, tools = manifests.table(data, "project"), manifests.table(data, "tool")
    if not project.get("name"):
        return False
    uv, pdm, poetry = (manifests.table(tools, name) for name in ("uv", "pdm", "poetry"))
    if uv.get("package") is False or pdm.get("distribution") is False or poetry.get("package-mode") is False:
        return False
    if uv.get("package") or "build-system" in data:
        return True
    return bool(project.get("scripts")) and _setuptools_finds(path)


def _setuptools_finds(path: Path) -> bool:
    """Tells whether setuptools would find one package to build; it refuses to guess among several
    directories.

    This is the rule of its automatic discovery (setuptools.pypa.io/en/latest/userguide/package_discovery).
    """
    if (path / "src").is_dir():
        return True
    found = [each.name for each in path.iterdir() if each.is_dir() and each.name.isidentifier()]
    return len([name for name in found if name not in NO_PACKAGES and not name.startswith("_")]) <= 1


def _scripts(table: dict[str, Any]) -> dict[str, str]:
    """Returns commands and their targets. Poetry 1 may have a table in place of the text."""
    found = {name: told.get("callable", told.get("reference")) if isinstance(told, dict) else told
             for name, told in table.items()}  # fmt: skip
    return {name: told for name, told in found.items() if isinstance(told, str)}


def _groups(data: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Returns [dependency-groups] (PEP 735) and the tables that tools used before it."""
    tools = manifests.table(data, "tool")
    found = dict(_lists(manifests.within(tools, "pdm", "dev-dependencies")))
    if old := manifests.texts(manifests.table(tools, "uv"), "dev-dependencies"):
        found["dev"] = old
    poetry = manifests.table(tools, "poetry")
    tables = {name: manifests.within(poetry, "group", name, "dependencies")
              for name in manifests.table(poetry, "group")}  # fmt: skip
    tables |= {"dev": manifests.table(poetry, "dev-dependencies")} if "dev-dependencies" in poetry else {}
    found |= {name: declared(table, f"the group {name}").requirements for name, table in tables.items()}
    environments = manifests.within(tools, "hatch", "envs")
    found |= {name: manifests.texts(manifests.table(environments, name), "dependencies")
              for name in environments}  # fmt: skip
    standard = manifests.table(data, "dependency-groups")
    return found | {name: _group(standard, name, ()) for name in standard}


def _group(groups: dict[str, Any], name: str, seen: tuple[str, ...]) -> tuple[str, ...]:
    found = list(manifests.texts(groups, name))
    for other in manifests.tables(groups, name):
        included = str(other.get("include-group", ""))
        if included in groups and included not in (*seen, name):
            found += _group(groups, included, (*seen, name))
    return tuple(dict.fromkeys(found))


def _lists(table: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: manifests.texts(table, name) for name in table}


def _is_elsewhere(line: str, sources: Set[str]) -> bool:
    """Tells whether a requirement has another origin than an index: then no index may be asked
    for its name.
    """
    try:
        named = canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return True
    return named in sources or ("@" in line and not DIRECT.search(line))


def _paths_of_sources(sources: dict[str, Any], listed: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Returns local dependencies; a path that only a development group uses is not needed."""
    wanted = {_name(line) for line in listed}
    found = []
    for name, told in sources.items():
        for each in told if isinstance(told, list) else [told]:
            path = each.get("path") if isinstance(each, dict) else None
            if isinstance(path, str) and canonicalize_name(name) in wanted:
                found.append((name, path))
    return tuple(found)


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return line.partition("@")[0].strip()


def _paths_of_lines(lines: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Reads `name @ file:///${PROJECT_ROOT}/libs/x` (PDM) and `name @ {root:uri}/libs/x` (Hatch)."""
    inside = map(IN_PROJECT.match, lines)
    return tuple((found["name"], found["path"]) for found in inside if found)


def _indexes(tools: dict[str, Any]) -> tuple[str, ...]:
    """Returns the indexes that Poetry and PDM use besides the public one; uv reads its own
    settings itself.
    """
    tables = [*manifests.tables(manifests.table(tools, "poetry"), "source"),
              *manifests.tables(manifests.table(tools, "pdm"), "source")]  # fmt: skip
    urls = (str(each.get("url") or "") for each in tables if each.get("type") != "find_links")
    return tuple(url for url in urls if url.rstrip("/") not in ("", *PYPI))
