"""Reads a whole text: first configuration, then command lines, then addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from servers.paste import (
    addresses,
    clients,
    drafts,
    entries,
    launch,
    links,
    loose_json,
    node,
    options,
    pages,
    python,
    shell,
    tables,
    text,
)
from servers.paste.reading import Candidate, Draft, Reading, distinct

MOST = 60
TOO_LARGE = (
    f"The text is larger than {text.LARGEST // 1024} KiB: paste the part that tells how it is started."
)
NOTHING = (
    "Nothing in it is known here as a server: paste its command (npx, uvx, docker run), its mcpServers "
    "block, its package, its image or the address of its repository."
)
_INSTALLERS = {
    ("pip", "install"), ("pip3", "install"), ("pipx", "install"), ("uv", "pip", "install"), ("uv", "add"),
    ("uv", "tool", "install"), ("python", "-m", "pip", "install"), ("python3", "-m", "pip", "install"),
    ("poetry", "add"), ("npm", "install"), ("npm", "i"), ("npm", "add"), ("pnpm", "add"),
    ("yarn", "global", "add"), ("yarn", "add"), ("bun", "add"), ("bun", "install"), ("pnpm", "install"),
    ("py", "-m", "pip", "install"),
}  # fmt: skip
# Lines of clients whose JSON is an argument.
_QUOTED = re.compile(r"\bmcp add-json\b|--add-mcp\b")
_DASH = re.compile("(?<= )[—–](?=[A-Za-z])")  # word processors change -- to these
_NODE = {"npm", "pnpm", "yarn", "bun"}
_SILENT = {
    "cd",
    "mkdir",
    "source",
    ".",
    "ls",
    "cat",
    "echo",
    "brew",
    "apt",
    "apt-get",
    "chmod",
    "cp",
    "mv",
    "touch",
}


def read(pasted: str) -> Reading:
    """Returns the servers that the text describes. Never raises: problems are notes."""
    if len(pasted) > text.LARGEST or len(pasted.encode(errors="replace")) > text.LARGEST:
        return Reading(notes=(TOO_LARGE,))
    plain = text.tidy(pasted).strip()
    if not plain:
        return Reading(notes=("The text is empty.",))
    parts = text.blocks(plain)
    found = distinct(one for part in parts for one in _part(part))
    if not found:
        found = distinct(_part(text.outside(plain) if parts else plain))
    return _told(found)


def _told(found: Sequence[Candidate]) -> Reading:
    if not found:
        return Reading(notes=(NOTHING,))
    notes = [f"Only the first {MOST} servers are shown."] if len(found) > MOST else []
    return Reading(tuple(found[:MOST]), tuple(notes))


def _part(part: str) -> list[Candidate]:
    part = part.strip()
    if not part:
        return []
    value = loose_json.whole(part)
    if value is not None and (found := _of_value(value, part)):
        return found
    for table in (tables.toml(part), tables.yaml_of(part)):
        if table is not None and (found := entries.candidates(table)):
            return found
    return _mixed(part)


def _of_value(value: Any, written: str) -> list[Candidate]:
    if entries.is_document(value):
        return [_document(value, written)]
    return entries.candidates(value)


def _document(value: dict[str, Any], written: str) -> Candidate:
    inner = value["server"] if isinstance(value.get("server"), dict) else value
    name = str(inner.get("title") or str(inner.get("name", "")).rpartition("/")[2])[:100]
    draft = Draft(name=name or "server.json", kind="document", source={"document": value})
    draft.say("A server.json, the document of the official registry.")
    return drafts.done(draft)


def _mixed(part: str) -> list[Candidate]:
    """Reads JSON between prose, then the rest as command lines; addresses if both give nothing."""
    found: list[Candidate] = []
    left, at = [], 0
    for one in loose_json.find(part) if not _QUOTED.search(part) else ():
        inner = _of_value(one.value, part[one.start : one.end])
        if inner:
            found += inner
            left.append(part[at : one.start])
            at = one.end
    rest = "".join([*left, part[at:]])
    return [*found, *_commands(rest)] or _addresses(rest)


def _commands(part: str) -> list[Candidate]:
    session = _Session()
    for line in shell.lines(_DASH.sub("--", text.plain_quotes(part))):
        for words in line.commands:
            session.take(words)
    return session.found()


def _addresses(part: str) -> list[Candidate]:
    word = part.strip().strip("`<>\"'")
    if not re.search(r"\s", word) and (found := pages.of_word(word)):
        return found
    listed = links.find(part)
    told = [one for link in listed for one in pages.of_link(link) if one.kind or links.entry_of(link)]
    if told:
        return told
    repositories = [link for link in listed if addresses.is_git(link)]
    return [one for link in repositories[:1] for one in pages.of_word(link)]


class _Session:
    """Commands in their order.

    Exported variables apply to later ones, and installed packages may be started later.
    """

    def __init__(self) -> None:
        self.exported: dict[str, str | None] = {}
        self.installed: Draft | None = None
        self.started: list[Candidate] = []

    def found(self) -> list[Candidate]:
        if self.started or self.installed is None:
            return self.started
        self.installed.variables.update(self.exported)
        self.installed.incidental = True
        return [drafts.done(self.installed)]

    def take(self, words: tuple[str, ...]) -> None:
        if self._exports(words) or self._installs(words):
            return
        added = clients.read(words) if len(words) > 1 else None
        if added is not None:
            self.started += self._added(added)
        elif self._is_start(words):
            draft = Draft(variables=dict(self.exported))
            launch.read(words, draft, installed=self.installed)
            draft.incidental = bool(draft.why_not)
            self.started.append(drafts.done(draft))

    def _is_start(self, words: tuple[str, ...]) -> bool:
        if launch.is_launcher(words):
            return True
        if launch.is_own_program(
            words
        ):  # of a repository that is cloned, the platform finds the start itself
            return self.installed is None or self.installed.kind == "package"
        bare = [word for word in words if shell.assignment(word) is None]
        name = launch.program_of(bare[0]) if bare else ""
        if self.installed is not None and self.installed.kind == "package":
            return name in self._commands_of(str(self.installed.source["name"]))
        return False

    def _commands_of(self, package: str) -> set[str]:
        """Returns the names that the package's command may have."""
        short = package.rpartition("/")[2].lower()
        return {short, short.replace("_", "-"), short.replace("-", "_"), short.removesuffix("-server")}

    def _exports(self, words: tuple[str, ...]) -> bool:
        named = words[1:] if words[0] in ("export", "set", "setx", "declare", "$env") else words
        pairs = [pair for word in named if (pair := shell.assignment(word))]
        if words[0] == "setx" and len(words) == 3:
            pairs = [(words[1], words[2])]
        if not pairs or len(pairs) < len(named):
            return False
        self.exported.update(pairs)
        return True

    def _installs(self, words: tuple[str, ...]) -> bool:
        words = words[1:] if words[0] == "sudo" else words
        if words[:2] == ("git", "clone"):
            self._clones(words[2:])
            return True
        head = next((key for key in _INSTALLERS if words[: len(key)] == key), ())
        if not head:
            return words[0] in _SILENT
        _, named = options.split(
            [word for word in words[len(head) :] if word not in ("-g", "--global", "-U", "--upgrade", "-D")],
            {
                "-r",
                "--requirement",
                "-e",
                "--editable",
                "-i",
                "--index-url",
                "-c",
                "--prefix",
                "-p",
                "--python",
            },
        )
        if named and not named[0].startswith((".", "/")):
            draft = Draft()
            (node.package if head[0] in _NODE else python.requirement)(named[0], draft)
            self.installed = draft
        return True

    def _clones(self, words: tuple[str, ...]) -> None:
        given, rest = options.split(words, {"-b", "--branch", "--depth", "-o", "--origin", "-j", "--jobs"})
        if rest:
            draft = Draft()
            branch = next((each.value or "" for each in given if each.name in ("-b", "--branch")), "")
            addresses.git(rest[0], draft, ref=branch)
            self.installed = draft

    def _added(self, added: clients.Added) -> Iterable[Candidate]:
        if added.entry is not None:
            found = entries.candidates(added.entry)
            named = [replace(one, name=added.name or one.name) for one in found] if len(found) == 1 else found
            return named or [
                drafts.done(Draft(name=added.name).refuse("The JSON of this line cannot be read."))
            ]
        draft = Draft(name=added.name, variables=dict(self.exported))
        for name, value in added.environment:
            draft.set(name, value)
        draft.say(*added.read)
        draft.leave(*added.unknown)
        if added.url:
            addresses.refuse_remote(added.url, draft)
        else:
            launch.read(added.words, draft, by_client=True, installed=self.installed)
        return [drafts.done(draft)]
