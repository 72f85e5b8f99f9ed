"""Who acts is told by argument, from the door to the audit: nothing on the way may know it by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.rooms import sources

# What is true for all that a thread or a task does, until it ends. None of it says who acts.
AROUND = {
    "mcphost/logs.py": "what structlog's users bind to a line of the log",
    "outbound/deadline.py": "until when a look at something outside may last, however deep it goes",
    "servers/front/wsgi.py": "carries all of it from a thread to the next one that goes on with the answer",
}
AMBIENT = ("contextvars", "structlog.contextvars", "threading.local", "_threading_local", "asgiref.local")
# Code that is called because something else happened cannot be told who acts.
BEHIND_THE_BACK = ("django.dispatch", "django.core.signals", "django.db.models.signals",
                   "django.contrib.auth.signals", "django.contrib.admin.models")  # fmt: skip
# Whoever makes an actor says who acts, so it is a door, or the platform by itself.
MAKERS = {
    "access/actor.py": "the console's",
    "api/views/access.py": "the API's",
    "cli/command.py": "that of commands",
    "hooks/views.py": "that of forges",
    "servers/operations/first_run.py": "the first start: the platform by itself",
}


def test_only_these_read_what_is_around_them() -> None:
    found = {path for path, module in sources() for name in _names(module) if name.startswith(AMBIENT)}
    assert found == set(AROUND)


def test_nothing_is_called_behind_the_back() -> None:
    found = [(path, name) for path, module in sources() for name in _imported(module)]
    assert not [each for each in found if each[1].startswith(BEHIND_THE_BACK)]


def test_only_doors_say_who_acts() -> None:
    made = {path for path, module in sources() if {"Actor", "PLATFORM"} & set(_made(module))}
    assert made == set(MAKERS)


def test_the_token_is_told_wherever_there_may_be_one() -> None:
    """The console takes no tokens. A view of the API that spoke as it would lose the one it was sent."""
    using = {
        name: {path for path, module in sources() if any(each.endswith(name) for each in _imported(module))}
        for name in (".actor_of", ".at_console")
    }
    assert using[".actor_of"]
    assert {"api" in path.split("/")[:-1] for path in using[".actor_of"]} == {True}
    assert {"api" in path.split("/")[:-1] for path in using[".at_console"]} == {False}


def test_by_is_an_actor_wherever_it_is_taken_and_is_never_left_out() -> None:
    taken = [(path, each, given) for path, module in sources() for each, given in _taken(module)]
    assert len(taken) > 50
    assert {each for _, each, _ in taken} == {"Actor"}
    assert not [path for path, _, given in taken if given]


def _names(module: ast.Module) -> Iterator[str]:
    """Of what is imported, and of what is used of it: `contextvars`, `threading.local`."""
    yield from _imported(module)
    yield from (ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Attribute))


def _imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _made(module: ast.Module) -> Iterator[str]:
    """`Actor(…)` that is called, and constants that are used."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Name):
            yield node.value.id


def _taken(module: ast.Module) -> Iterator[tuple[str, bool]]:
    """Parameters that are named `by`: their type, and whether they may be left out."""
    for node in ast.walk(module):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        args = node.args
        plain = [*args.posonlyargs, *args.args]
        defaults: list[ast.expr | None] = [None] * (len(plain) - len(args.defaults)) + [*args.defaults]
        named, given = [*plain, *args.kwonlyargs], [*defaults, *args.kw_defaults]
        for each, default in zip(named, given, strict=True):
            if each.arg == "by":
                yield ast.unparse(each.annotation) if each.annotation else "", default is not None
