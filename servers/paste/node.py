"""Reads npx and similar launchers: `npx -y @scope/name@1 --flag`, `npm exec`, `pnpm dlx`, `bunx`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hosting.sources.package import NPM_VERSION
from servers.paste import addresses, options
from servers.paste.reading import Draft

_VALUED = {
    "-p", "--package", "-c", "--call", "--registry", "--cache", "-w", "--workspace", "--node-options",
    "--prefix", "--userconfig", "--loglevel", "--allow-build",
}  # fmt: skip
_QUIET = {
    "-y", "--yes", "-q", "--quiet", "--silent", "-s", "--bun", "--prefer-online", "--prefer-offline",
    "--ignore-existing", "--no-install", "--no", "--loglevel", "--cache", "--verbose", "--no-audit",
    "--no-fund", "-p", "--package", "-g", "--global",
}  # fmt: skip
_RANGE = re.compile(r"[\^~<>=* ]|\.[xX]|\|\|")
_VERSIONED = re.compile(r"(@?[^@]{1,214})(?:@(.{0,200}))?", re.DOTALL)
_GIT = (
    "github:",
    "gitlab:",
    "bitbucket:",
    "gist:",
    "git+",
    "git://",
    "git@",
    "http://",
    "https://",
    "ssh://",
)


def read(words: Sequence[str], draft: Draft) -> list[str] | None:
    """Reads the words after the launcher.

    Returns words of another command that have to be read instead, or None.
    """
    given, rest = options.split(words, _VALUED)
    named = [each.value or "" for each in given if each.name in ("-p", "--package")]
    called = next((each.value or "" for each in given if each.name in ("-c", "--call")), "")
    if called:
        rest = [*called.split(), *rest]
    _tell(given, draft)
    if not named and not rest:
        draft.refuse("No package stands after it.")
        return None
    draft.arguments = rest if named else rest[1:]
    _package(named[0] if named else rest[0], draft)
    if named:
        _command(draft)
        draft.leave(*(f"{one} is a package besides: it is not installed." for one in named[1:]))
    return _inner(draft)


def _command(draft: Draft) -> None:
    """Reads the command of `-p package command …`."""
    if draft.kind == "package" and draft.arguments:
        draft.source["command"] = draft.arguments.pop(0)
    elif draft.kind == "git":
        draft.command, draft.arguments = draft.arguments[:1], draft.arguments[1:]


def _tell(given: list[options.Given], draft: Draft) -> None:
    for name, _ in given:
        if name == "--registry":
            draft.leave("--registry names another registry: the platform's own is asked.")
        elif name not in _QUIET and name not in ("-c", "--call"):
            draft.leave(f"{name} is for the launcher and is left out.")


def _package(spec: str, draft: Draft) -> None:
    spec = spec.removeprefix("npm:")
    if spec.startswith((".", "/", "~", "file:")) or re.match(r"[A-Za-z]:\\", spec) or spec.endswith(".tgz"):
        draft.refuse(addresses.OWN_FOLDER)
    elif spec.startswith(_GIT) or re.fullmatch(r"[\w.-]+/[\w.-]+(?:#.*)?", spec):
        addresses.of_npm_git(spec, draft)
    else:
        package(spec, draft)


def package(spec: str, draft: Draft) -> None:
    """Reads `@scope/name@version`."""
    found = _VERSIONED.fullmatch(spec)
    name, version = (found[1], found[2] or "") if found else (spec, "")
    draft.kind = "package"
    draft.source = {"ecosystem": "npm", "name": name, "version": _version(version, draft)}
    pinned = f", version {draft.source['version']}" if draft.source["version"] else ", the newest version"
    draft.say(f"Package {name[:214]} of npm{pinned}.")


def _version(text: str, draft: Draft) -> str:
    if text in ("", "latest"):
        return ""
    if _RANGE.search(text) or not NPM_VERSION.fullmatch(text):
        draft.leave(f"“{text[:40]}” is no single version: the newest is taken.")
        return ""
    return text


# --- Packages that are launchers themselves


def _inner(draft: Draft) -> list[str] | None:
    name = draft.source.get("name", "") if draft.kind == "package" else ""
    words = draft.arguments
    if name in ("mcp-remote", "@pyroprompts/mcp-stdio-to-streamable-http-adapter", "mcp-remote-client"):
        addresses.refuse_remote(next((word for word in words if "://" in word), ""), draft)
    elif name == "@smithery/cli":
        draft.refuse(
            "It sets a client up, or calls a server that Smithery runs: give the server's own package."
        )
    elif name in ("install-mcp", "add-mcp", "mcp-add", "@wong2/mcp-cli"):
        draft.refuse("It sets a client up: give the command that it would add.")
    elif name == "supergateway" and "--stdio" in words[:-1]:
        draft.read.clear()
        draft.say("supergateway is not needed: the platform serves stdio over HTTP itself.")
        return words[words.index("--stdio") + 1].split()
    elif name == "@modelcontextprotocol/inspector":
        draft.read.clear()
        draft.say("The inspector is left out.")
        return options.split([word for word in words if word != "--cli"], {"-e", "--config", "--server"})[1]
    return None
