"""Reads the words that start a server, with any launcher."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from servers.paste import addresses, docker, node, python, shell
from servers.paste.reading import Draft

MOST_WRAPPERS = 8
_ENDINGS = (".exe", ".cmd", ".bat", ".ps1")
_SHELLS = {"sh", "bash", "zsh", "fish", "dash", "ash", "wsl", "powershell", "pwsh"}
_WRAPPERS = {"sudo", "exec", "nohup", "time", "command", "call", "start"}
_CONTAINERS = {"docker", "podman", "nerdctl", "container"}
_LOCAL = {
    "node",
    "bun",
    "deno",
    "tsx",
    "ts-node",
    "java",
    "dotnet",
    "go",
    "cargo",
    "ruby",
    "php",
    "perl",
    "make",
}
_PYTHON = re.compile(r"python[0-9.]*|py")
_PLAIN_NAME = re.compile(r"[A-Za-z][\w.+-]{0,40}")


def read(
    words: Sequence[str], draft: Draft, *, by_client: bool = False, installed: Draft | None = None
) -> None:
    """Fills the draft from the words of a command.

    `by_client`: the words are from a client's configuration, where commands speak stdio. `installed` is what
    an earlier command installed or cloned.
    """
    left: list[str] | None = list(words)
    for _ in range(MOST_WRAPPERS):
        left = _unwrapped(left or [], draft)
        if not left:
            draft.refuse("No command stands in it.")
            return
        left = _launched(left, draft, by_client, installed)
        if left is None:
            return
        draft.kind, draft.source, draft.arguments, draft.build = "", {}, [], {}
    draft.refuse("Too many launchers start each other in it.")


def program_of(word: str) -> str:
    """Returns the program's name: `npx` for `/opt/bin/npx` and `npx.cmd`."""
    name = re.split(r"[\\/]", word)[-1].lower()
    return next((name.removesuffix(each) for each in _ENDINGS if name.endswith(each)), name)


def is_launcher(words: Sequence[str]) -> bool:
    """Tells whether the first words start something that can be read here, or refused with a reason."""
    draft = Draft()
    left = _unwrapped(list(words), draft)
    name = program_of(left[0]) if left else ""
    return name in _LAUNCHERS or name in _CONTAINERS or bool(_two_words(left))


def is_own_program(words: Sequence[str]) -> bool:
    """Tells whether the words start a program of the user's own machine: Python, Node or a file."""
    left = _unwrapped(list(words), Draft())
    name = program_of(left[0]) if left else ""
    if not name or name in ("make", "go", "cargo"):
        return False
    return bool(_PYTHON.fullmatch(name)) or name in _LOCAL or name == "uv"


def _unwrapped(words: list[str], draft: Draft) -> list[str]:
    """Returns the words without assignments, sudo, env, `cmd /c` and `sh -c` before them."""
    for _ in range(MOST_WRAPPERS):
        words = _assigned(words, draft)
        name = program_of(words[0]) if words else ""
        if name in _WRAPPERS:
            words = [*_without_options(words[1:])]
        elif name in ("env", "cross-env"):
            words = _assigned(_without_options(words[1:]), draft)
        elif name == "cmd" and len(words) > 1 and words[1].lower() in ("/c", "/k", "/s"):
            words = words[2:]
        elif name in _SHELLS:
            words = _of_shell(words[1:])
        else:
            return words
    return words


def _without_options(words: list[str]) -> list[str]:
    while words and words[0].startswith("-"):
        words = words[1:]
    return words


def _of_shell(words: list[str]) -> list[str]:
    at = next(
        (n for n, word in enumerate(words) if word.lower() in ("-c", "-lc", "-ic", "-command", "-cl")), -1
    )
    if at < 0 or at + 1 >= len(words):
        return []
    if len(words) > at + 2:  # powershell -Command npx -y …
        return words[at + 1 :]
    try:
        commands = shell.split(words[at + 1])
    except shell.Unclosed:
        return []
    return list(commands[-1]) if commands else []


def _assigned(words: list[str], draft: Draft) -> list[str]:
    while words and (pair := shell.assignment(words[0])):
        draft.set(*pair)
        words = words[1:]
    return words


def _launched(words: list[str], draft: Draft, by_client: bool, installed: Draft | None) -> list[str] | None:
    """Reads the words. Returns inner words that have to be read next; None if all is read."""
    name = program_of(words[0])
    if reader := _LAUNCHERS.get(name):
        return reader(words[1:], draft)
    if two := _two_words(words):
        return two[0](words[two[1] :], draft)
    if name in _CONTAINERS:
        docker.read(words[1:], draft, by_client=by_client)
    elif _PYTHON.fullmatch(name):
        python.read_module(_with_version(name, words[1:], draft), draft, installed)
    elif installed is not None and _PLAIN_NAME.fullmatch(words[0]):
        python.adopt(installed, draft, words)
    elif words[0].startswith(("http://", "https://")):
        addresses.refuse_remote(words[0], draft)
    elif name in _LOCAL or "/" in words[0] or "\\" in words[0] or name == "uv":
        draft.refuse(addresses.OWN_FOLDER)
    else:
        _unknown(words[0], draft)
    return None


def _unknown(word: str, draft: Draft) -> None:
    shown = f"“{word}”" if _PLAIN_NAME.fullmatch(word) else "Its command"
    draft.refuse(
        f"{shown} is a program of your machine: how it is installed is not told. Paste what installs it "
        "too, or its package, image or repository."
    )


def _with_version(name: str, words: list[str], draft: Draft) -> list[str]:
    """Reads the version in `python3.12 -m …` and `py -3.12 -m …`."""
    launcher = re.fullmatch(r"-([23](?:\.[0-9]{1,2})?)", words[0]) if name == "py" and words else None
    version = launcher[1] if launcher else name.removeprefix("python").removeprefix("py")
    if re.fullmatch(r"3\.[0-9]{1,2}", version):
        draft.build["python"] = version
    return words[1:] if launcher else words


Reader = Callable[[list[str], Draft], list[str] | None]
_LAUNCHERS: dict[str, Reader] = {
    "npx": node.read, "bunx": node.read, "pnpx": node.read, "uvx": python.read_uvx,
}  # fmt: skip
_BY_TWO: dict[tuple[str, ...], Reader] = {
    ("npm", "exec"): node.read, ("npm", "x"): node.read, ("pnpm", "dlx"): node.read,
    ("pnpm", "exec"): node.read, ("yarn", "dlx"): node.read, ("bun", "x"): node.read,
    ("deno", "x"): node.read, ("pipx", "run"): python.read_uvx, ("uv", "tool", "run"): python.read_uvx,
    ("uv", "x"): python.read_uvx, ("uv", "run"): python.read_uv_run, ("yarn", "npx"): node.read,
}  # fmt: skip


def _two_words(words: Sequence[str]) -> tuple[Reader, int] | None:
    if not words:
        return None
    named = (program_of(words[0]), *words[1:3])
    for key, reader in _BY_TWO.items():
        if named[: len(key)] == key:
            return reader, len(key)
    return None
