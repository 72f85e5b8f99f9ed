"""Plans a Node project: its package manager, how it is installed and built, and what starts its server."""

from __future__ import annotations

from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import manifests, node_managers, node_start, node_versions, node_workspace
from hosting.sources.base import BuildContext
from hosting.sources.node_install import Installation
from hosting.sources.node_workspace import Part, Workspace
from hosting.sources.plan import Choices, Plan, Tool

MONOREPO = (("turbo.json", "Turborepo"), ("nx.json", "Nx"), ("lerna.json", "Lerna"), ("rush.json", "Rush"))


def is_one(path: Path) -> bool:
    """Tells whether the directory holds a Node package."""
    return manifests.has(path, "package.json")


def plan(context: BuildContext, choices: Choices) -> Plan:
    """Returns the plan. Raises `SourceError`."""
    named = manifests.directory(context.top, choices.root) if choices.root else context.subdirectory
    directory = context.top / named
    workspace = node_workspace.find(directory, context.top)
    part = _part(workspace, directory, choices.member, started=bool(choices.command or context.command))
    manager = node_managers.of(workspace.root, workspace.own.package)
    start = node_start.find(workspace.root / part.path, part, manager, choices.command or context.command)
    installation = Installation(workspace, part, manager, start, choices.build, known=bool(context.command))
    return _planned(context, installation, choices)


def _planned(context: BuildContext, installation: Installation, choices: Choices) -> Plan:
    workspace, part, manager = installation.workspace, installation.part, installation.manager
    steps, command = installation.steps(), installation.command
    version, said = _version(installation, choices.node)
    root = workspace.root.relative_to(context.top).as_posix()
    words = {step.argv[0] for step in steps} | set(" ".join(command).split())
    return Plan(
        "node",
        command=command,
        root="" if root == "." else root,
        member=part.path,
        tool=manager.name,
        lock=manager.lock,
        tools=(*(tool for tool in manager.tools if tool.name in words), *_others(words, manager.name)),
        version=version,
        files=installation.files,
        environment=installation.environment,
        steps=steps,
        why=tuple(
            filter(None, (*_found(workspace, part), *manager.why, _of_node(version, said), *installation.why))
        ),
    )


def _others(words: set[str], manager: str) -> list[Tool]:
    names = {"npm": Tool("npm"), "bun": Tool("bun", node_managers.RELEASES["bun"][0])}
    return [tool for name, tool in names.items() if name in words and name != manager]


def _found(workspace: Workspace, part: Part) -> list[str]:
    has = next((title for name, title in MONOREPO if manifests.has(workspace.root, name)), "")
    return [
        f"{part.shown} of the workspace, in {part.path}" if part.path else "",
        f"{has} found: the parts are built one by one" if has and workspace.parts else "",
    ]


def _of_node(version: str, said: str) -> str:
    return f"Node {version} from {said}" if version else ""


def _version(installation: Installation, chosen: str) -> tuple[str, str]:
    """Returns the wanted version or range of Node, bounded by what the tools need if both can
    be fulfilled.
    """
    root, member = installation.workspace.root, installation.workspace.root / installation.part.path
    wanted, said = node_versions.asked(root, member, installation.part.package, chosen)
    manager = installation.manager
    for needs, by in ((installation.start.node, "the file that it starts"), (manager.node, manager.name)):
        if needs and not wanted:
            wanted, said = needs, by
        elif needs and "||" not in wanted and node_versions.bounds(f"{wanted} {needs}"):
            wanted = f"{wanted} {needs}"
    return wanted, said


def _part(workspace: Workspace, directory: Path, member: str, *, started: bool) -> Part:
    """Returns the package of the workspace that is started.

    That is the named one, the one in the server's directory, or, if the root starts nothing, the only one
    that can be started.
    """
    if member:
        return _named(workspace, member)
    own = workspace.own
    if directory != workspace.root:
        return workspace.part(directory.relative_to(workspace.root).as_posix())
    if not workspace.parts or started or _starts(workspace, own) or own.package.get("main"):
        return own
    able = [part for part in workspace.parts.values() if _starts(workspace, part)]
    if len(able) == 1:
        return able[0]
    if any(manifests.has(workspace.root, name) for name in node_start.MAINS):
        return own
    raise _unclear(able)


def _starts(workspace: Workspace, part: Part) -> bool:
    """Tells whether the package itself can be started.

    A root's script that runs all packages does not count.
    """
    start = str(part.scripts.get("start") or "")
    of_all = not part.path and node_start.RUNS_ALL.search(start)
    return bool(node_start.bins_of(part.package) or (start and not of_all))


def _named(workspace: Workspace, wanted: str) -> Part:
    plain = wanted.removeprefix("./").rstrip("/")
    if plain in ("", "."):
        return workspace.own
    if found := workspace.parts.get(plain) or workspace.of_name(wanted):
        return found
    names = ", ".join(part.path for part in workspace.parts.values()) or "none"
    raise SourceError(f"The workspace has no part “{wanted}”.", hint=f"There are: {names}.")


def _unclear(able: list[Part]) -> SourceError:
    if not able:
        return SourceError(
            "The source is a workspace, and none of its parts has a bin or a start script.",
            hint="Set the member and the command.",
        )
    names = ", ".join(f"{part.name} ({part.path})" if part.name else part.path for part in able)
    return SourceError(
        f"Which part of the workspace is the server is not clear: {names} could be started.",
        hint="Set the member to one of them, or deploy its subdirectory.",
    )
