"""A new line of code starts a program, or runs text as code, where nobody looks for that."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests import rooms

STARTS_PROGRAMS = {
    "bridge/child.py",  # the stdio server that the bridge is for
    "bridge/launch.py",  # becomes it
    "registry/commands.py",  # credential helpers and the refresh command, which the operator's files name
    "hosting/builder/buildkit.py",  # asks a Docker CLI for its version
    "hosting/guard.py",  # the parent of each tool: git, npm, docker, uv
    "hosting/process_group.py",  # starts the guard
    "hosting/runtimes/launcher.py",  # a server of the process runtime
    "hosting/runtimes/process.py",  # starts the launcher, asks Node for its version
    "hosting/runtimes/process_run.py",  # waits for it
}
IMPORTS = {"subprocess", "pty", "multiprocessing"}
OF_OS = ("system", "popen", "exec", "spawn", "posix_spawn", "fork")
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
RUNS_DATA = {"pickle", "marshal", "shelve", "runpy", "imp", "code", "dill", "jsonpickle"}


def nodes() -> Iterator[tuple[str, ast.AST]]:
    return ((path, node) for path, module in rooms.sources() for node in ast.walk(module))


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def starts(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
        return node.attr.startswith(OF_OS)
    if isinstance(node, ast.Attribute):
        return node.attr in ("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec")
    return bool(imported(node) & IMPORTS)


def test_these_modules_start_programs_and_no_others() -> None:
    assert {path for path, node in nodes() if starts(node)} == STARTS_PROGRAMS


def test_no_text_is_run_as_code_and_no_data_brings_any() -> None:
    found = {
        (path, getattr(node, "lineno", 0))
        for path, node in nodes()
        if imported(node) & RUNS_DATA
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNS_CODE)
    }
    assert found == set()


def test_no_shell_reads_what_a_program_is_given() -> None:
    assert not [path for path, node in nodes() if isinstance(node, ast.keyword) and node.arg == "shell"]
