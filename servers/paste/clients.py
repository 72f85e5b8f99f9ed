"""Reads commands that add a server to a client: `claude mcp add …`, `codex mcp add …`, `code --add-mcp …`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from servers.paste import loose_json, shell

_VALUED = {
    "-t", "--transport", "-s", "--scope", "-H", "--header", "--timeout", "--description", "--url",
    "--type", "--include-tools", "--exclude-tools", "--bearer-token-env-var", "--client-id",
    "--client-secret", "--callback-port", "--startup-timeout", "--cwd",
}  # fmt: skip
_ENVIRONMENT = {"-e", "--env"}
_QUIET = {
    "-s", "--scope", "-t", "--transport", "--type", "--timeout", "--description", "--trust", "--url",
    "--include-tools", "--exclude-tools", "--startup-timeout", "-g", "--global",
}  # fmt: skip
_HEADERS = {"-H", "--header", "--bearer-token-env-var", "--client-id", "--client-secret"}
_ADD_JSON = re.compile(r"--add-mcp(?:=(.*))?", re.DOTALL)


class Added(NamedTuple):
    """What such a command adds: `words` that start the server, its `url`, or its configuration `entry`."""

    name: str = ""
    words: tuple[str, ...] = ()
    url: str = ""
    entry: Any = None
    environment: tuple[tuple[str, str | None], ...] = ()
    read: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read(words: Sequence[str]) -> Added | None:
    """Returns what the command adds; None if it is no such command."""
    if any(_ADD_JSON.fullmatch(word) for word in words[1:]):
        return _from_flag(words)
    at = next((n for n, word in enumerate(words[:4]) if n and word == "mcp"), 0)
    doing = words[at + 1] if at and at + 1 < len(words) else ""
    if doing == "add-json":
        return _from_json(words[at + 2 :])
    return _added(list(words[at + 2 :])) if doing == "add" else None


def _from_flag(words: Sequence[str]) -> Added:
    for at, word in enumerate(words):
        if found := _ADD_JSON.fullmatch(word):
            text = found[1] or (words[at + 1] if at + 1 < len(words) else "")
            value = loose_json.whole(text)
            name = str(value.get("name", "")) if isinstance(value, dict) else ""
            return Added(name, entry=value if isinstance(value, dict) else {})
    return Added(entry={})


def _from_json(words: Sequence[str]) -> Added:
    plain = [word for word in words if not word.startswith("-")]
    value = next((found for word in plain if isinstance(found := loose_json.whole(word), dict)), {})
    return Added(plain[0] if plain and not plain[0].lstrip().startswith("{") else "", entry=value)


def _added(words: list[str]) -> Added:
    options, plain = _told_apart(words)
    environment = [
        shell.assignment(value) or (value, None) for name, value in options if name in _ENVIRONMENT
    ]
    unknown = [f"{name} is for the client and is left out." for name in _left(options)]
    name, rest = (plain[0], plain[1:]) if plain else ("", [])
    url = next((value for option, value in options if option == "--url"), "")
    if not url and len(rest) == 1 and rest[0].startswith(("http://", "https://")):
        url = rest[0]
    if len(rest) == 1 and " " in rest[0] and not url:  # `droid mcp add name "npx -y package"`
        rest = [word for command in _split(rest[0]) for word in command]
    scope = next((value for option, value in options if option in ("-s", "--scope")), "")
    read = (f"Scope {scope[:20]} is of the client: it makes no difference here.",) if scope else ()
    return Added(name, tuple(rest), url, environment=tuple(environment), read=read, unknown=tuple(unknown))


def _told_apart(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Returns options and plain words.

    Options stand before the name and behind it, until the command, which begins at the second plain word or
    after `--`.
    """
    options: list[tuple[str, str]] = []
    plain: list[str] = []
    while words and len(plain) < 2:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return options, [*plain, *words]
        if not word.startswith("-"):
            plain.append(word)
        elif name in _ENVIRONMENT or name in _VALUED:
            options.append((name, value if equals else words.pop(0) if words else ""))
            while name in _ENVIRONMENT and words and _is_pair(words[0]):
                options.append((name, words.pop(0)))
        else:
            options.append((name, value))
    return options, [*plain, *(words[1:] if words[:1] == ["--"] else words)]


def _is_pair(word: str) -> bool:
    """Tells whether it is another NAME=value of an option that takes several."""
    pair = shell.assignment(word)
    return pair is not None and pair[0].isupper()


def _left(options: list[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(
        "A header" if name in _HEADERS else name[:40]
        for name, _ in options
        if name not in _ENVIRONMENT and name not in _QUIET
    ))  # fmt: skip


def _split(text: str) -> tuple[tuple[str, ...], ...]:
    try:
        return shell.split(text)
    except shell.Unclosed:
        return ()
