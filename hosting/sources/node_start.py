"""Finds the command that starts a Node package (bin, start script or main file), and what must run
before it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosting.errors import SourceError
from hosting.sources import manifests, node_versions
from hosting.sources.node_managers import Manager
from hosting.sources.node_workspace import Part
from hosting.sources.starting import choose_script

MAINS = (
    *("index.js", "index.mjs", "index.cjs", "server.js", "server.mjs", "app.js", "main.js"),
    *("src/index.js", "src/index.mjs", "src/server.js", "src/main.js", "dist/index.js", "build/index.js"),
)
TYPED = ("index.ts", "src/index.ts", "server.ts", "src/server.ts", "main.ts", "src/main.ts", "src/app.ts")
ENDINGS = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx")
TYPESCRIPT = (".ts", ".mts", ".cts", ".tsx")
# Scripts that may build the file that is started, in the order in which they are tried.
BUILDS = ("build", "prepare", "prepack", "prepublishOnly", "compile", "bundle", "tsc", "build:prod")
SHELL = re.compile(r"[|&;<>()$`*?\[\]{}~#=%]")
# A script that only runs another script.
RUNS = re.compile(
    r"(?:(?:npm|pnpm|yarn|bun)(?:\s+(?:--silent|-s))?\s+run(?:-script)?(?:\s+(?:--silent|-s))?\s+|(?:pnpm|yarn)\s+)"
    r"(?P<script>[\w:.-]+)\s*(?:--\s*)?"
)
STARTS = re.compile(r"(?:npm|pnpm|yarn|bun)\s+(?P<script>start|test)\s*")
# Words that only run a program of the project's own packages.
EXECUTES = re.compile(
    r"^(?:npx(?:\s+(?:-y|--yes|--no-install|--no))?|bunx|(?:pnpm|yarn|npm)\s+exec(?:\s+--)?|yarn(?=\s+node\s))\s+"
)
FETCHES = re.compile(r"(?:npm (?:ci|i|install)|(?:pnpm|yarn|bun) (?:i|install))\b")
MAKES = re.compile(r"(?:tsc|rimraf|rm|mkdir|cp|esbuild|tsup|rollup|webpack|vite build)\b")
# Tools that only people who work on the project need: git hooks and similar ones.
HOOKS = re.compile(
    r"(?:npx (?:--no-install |--yes |-y )?|pnpm exec |yarn )?"
    r"(?:husky|lefthook|simple-git-hooks|pre-commit|yorkie|lint-staged|git config|is-ci|changeset)\b"
)
IDLE = re.compile(r"node \.?/?\.husky/\S+|exit 0|true|:|echo\b.*|test -d \S+|\[ .* \]")
PIECES = re.compile(r"&&|\|\||;")
RUNNERS = ("tsx", "ts-node", "vite-node")
# Words in a root's start script that run the packages of its workspace.
RUNS_ALL = re.compile(
    r"\b(?:turbo|nx|lerna)\b|--workspaces?\b|\s-w\b|\s-ws\b|--filter\b|\s-r\b|--recursive\b|workspaces? "
)
STRIPS_TYPES = ">=22.6"
# Programs whose name is not the name of their package.
PACKAGES = {
    **{"tsc": "typescript", "dotenv": "dotenv-cli", "nest": "@nestjs/cli", "swc": "@swc/cli"},
    **{"babel": "@babel/cli", "babel-node": "@babel/node", "run-s": "npm-run-all", "run-p": "npm-run-all"},
    **{"ts-node-esm": "ts-node", "ts-node-dev": "ts-node-dev", "tsnd": "ts-node-dev"},
}
WORD = re.compile(r"(?:@[\w.-]+/)?[\w.-]+")
DEEPEST = 5  # scripts that run scripts


@dataclass(frozen=True)
class Start:
    """`before` are scripts of the package that must run first, `commands` further command lines that must.

    `node` is the range of Node that the command needs, "" for any.
    """

    command: tuple[str, ...]
    before: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    node: str = ""
    why: str = ""


def find(directory: Path, part: Part, manager: Manager, chosen: tuple[str, ...] = ()) -> Start:
    """Finds the command of `part` in its `directory`; `chosen` is the one that was set by hand, () for none.

    Raises `SourceError` if nothing starts the package, or if several commands could be meant.
    """
    if chosen:
        return Start(chosen, why=f"starts `{shlex.join(chosen)}`, as it was set")
    start = str(part.scripts.get("start") or "")
    bins = distinct(bins_of(part.package), part.name)
    if bins and (len(bins) == 1 or not start or _is_clear(bins, part.name)):
        name = choose_script(tuple(bins), part.name, "bin in package.json")
        return _file(directory, part, manager, bins[name], f"starts `{name}` from bin")
    if start:
        return _script(directory, part, start)
    return _main(directory, part, manager)


def bins_of(package: Mapping[str, Any]) -> dict[str, str]:
    """Returns `bin` of a package.json as command → file; its short form is one path (docs.npmjs.com,
    package.json).
    """
    found = package.get("bin")
    if isinstance(found, str):
        return {str(package.get("name", "")).rpartition("/")[2]: found}
    return {str(name): str(path) for name, path in found.items()} if isinstance(found, dict) else {}


def distinct(bins: Mapping[str, str], package: str) -> dict[str, str]:
    """Returns each file once, under the package's own name if that is one of its commands, else under the
    first.
    """
    own = package.rpartition("/")[2]
    found: dict[str, str] = {}
    for name, path in sorted(bins.items(), key=lambda each: each[0] != own):
        found.setdefault(_plain(path), name)
    return {name: path for path, name in found.items()}


def _is_clear(bins: Mapping[str, str], package: str) -> bool:
    try:
        return bool(choose_script(tuple(bins), package, ""))
    except SourceError:
        return False


def _main(directory: Path, part: Part, manager: Manager) -> Start:
    if main := str(part.package.get("main") or ""):
        return _file(directory, part, manager, main, f"starts {_plain(main)}, the main file")
    if found := next((name for name in MAINS if manifests.has(directory, name)), ""):
        return _file(directory, part, manager, found, f"starts {found}, which is there")
    if found := next((name for name in TYPED if manifests.has(directory, name)), ""):
        is_built = build_script(directory, part) and not _runner(part)
        made = compiled_path(directory, found) if is_built else found
        return _file(directory, part, manager, made, f"starts {made}, of {found}")
    raise SourceError(
        "The source is a Node package, but how to start it was not found.",
        hint="Looked in package.json for bin, scripts.start and main, and for "
        + ", ".join(MAINS[:5])
        + ". Set the command.",
    )


def _file(directory: Path, part: Part, manager: Manager, path: str, why: str) -> Start:
    plain = _plain(path)
    interpreter = _interpreter(directory, plain)
    if interpreter:
        return Start((*interpreter, plain), why=why)
    if not plain.endswith(TYPESCRIPT):
        return Start(("node", plain), why=why)
    if manager.kind == "bun":
        return Start(("bun", plain), why=f"{why}, with Bun")
    if runner := _runner(part):
        return Start((*runner, plain), why=f"{why}, with {runner[0]}")
    return Start(
        ("node", "--experimental-strip-types", plain),
        node=STRIPS_TYPES,
        why=f"{why}: Node strips its types",
    )


def _runner(part: Part) -> tuple[str, ...]:
    groups = ("dependencies", "devDependencies")
    there = {name for group in groups for name in manifests.table(dict(part.package), group)}
    return next(((name,) for name in RUNNERS if name in there), ())


def _interpreter(directory: Path, path: str) -> tuple[str, ...]:
    """Returns the interpreter in a script's first line if it is not Node, else ()."""
    if not manifests.has(directory, path) or path.endswith(".js"):
        return ()
    with (directory / path).open("r", encoding="utf-8", errors="replace") as text:
        first = text.readline(200).strip()
    if not first.startswith("#!"):
        return ()
    words = [word for word in first[2:].split() if word not in ("-S", "/usr/bin/env", "npx", "--yes", "-y")]
    name = words[0].rpartition("/")[2] if words else ""
    return (name,) if name in ("sh", "bash", "bun", "tsx", "ts-node") else ()


def _script(directory: Path, part: Part, start: str) -> Start:
    text, made = _followed(part, start)
    first = [str(part.scripts[name]) for name in ("prestart",) if part.scripts.get(name)]
    before, commands = list(made[0]), list(made[1])
    for each in first:
        named = RUNS.fullmatch(each)
        if named and part.scripts.get(named["script"]):
            before.insert(0, named["script"])
            continue
        inner, (scripts, lines) = _followed(part, each)
        before, commands = [*scripts, *before], [*lines, inner, *commands]
    shown = f"starts `{text}` from scripts.start"
    return Start(_words(text), tuple(dict.fromkeys(before)), tuple(filter(None, commands)), why=shown)


def _followed(part: Part, text: str, depth: int = 0) -> tuple[str, tuple[list[str], list[str]]]:
    """Follows a script that runs other scripts to its last command.

    Returns that command, the scripts that run before it, and the command lines that do.
    """
    *ahead, last = [piece.strip() for piece in text.split("&&")]
    before: list[str] = []
    commands: list[str] = []
    kept: list[str] = []
    for piece in ahead:
        named = RUNS.fullmatch(piece)
        if named and named["script"] in part.scripts:
            before.append(named["script"])
        elif MAKES.match(piece):
            commands.append(piece)
        elif not FETCHES.match(piece):
            kept.append(piece)
    last = EXECUTES.sub("", last)
    named = RUNS.fullmatch(last) or STARTS.fullmatch(last)
    inner = str(part.scripts.get(named["script"]) or "") if named and depth < DEEPEST else ""
    if inner and not kept:
        followed, (scripts, lines) = _followed(part, inner, depth + 1)
        return followed, ([*before, *scripts], [*commands, *lines])
    return " && ".join([*kept, last]), (before, commands)


def _words(text: str) -> tuple[str, ...]:
    # `npm run` would print a banner on stdout, which carries the protocol of a stdio server.
    if not SHELL.search(text):
        try:
            return tuple(shlex.split(text))
        except ValueError:  # a quotation mark is not closed: the shell reports that
            pass
    return ("sh", "-c", text)


def files_of(command: tuple[str, ...]) -> list[str]:
    """Returns the files of the project that a command names, as far as their names show it."""
    words = command[2].split() if command[:2] == ("sh", "-c") and len(command) > 2 else list(command[1:])
    named = [word for word in words if not word.startswith("-")]
    first = named[:1] if command[0] == "node" else []
    scripts = [word for word in named if word.endswith(ENDINGS) and "://" not in word]
    return list(dict.fromkeys(_plain(word) for word in (*first, *scripts)))


def missing_file(directory: Path, command: tuple[str, ...]) -> str:
    """Returns the first file that a command names and that does not exist yet; "" if none is missing."""
    return next((name for name in files_of(command) if not _exists(directory, name)), "")


def _exists(directory: Path, name: str) -> bool:
    tried = (name, *(f"{name}{ending}" for ending in (".js", ".json", ".node")), f"{name}/index.js")
    return any(manifests.has(directory, each) for each in tried) or "*" in name


def build_script(directory: Path, part: Part) -> str:
    """Returns the name of the script that builds the package; "" if it has none."""
    hooks = ("prepare", "prepack", "prepublishOnly")
    for name in BUILDS:
        text = str(part.scripts.get(name) or "")
        if text and not (name in hooks and is_hook_tool(text)):
            return name
    return ""


def is_hook_tool(text: str) -> bool:
    """Tells whether a script only sets up tools for people who work on the project, such as git hooks."""
    pieces = [piece.strip() for piece in PIECES.split(text)]
    return all(HOOKS.match(piece) or IDLE.fullmatch(piece) for piece in pieces)


def compiled_path(directory: Path, source: str) -> str:
    """Returns the path at which the TypeScript compiler writes the output of `source`, by tsconfig.json."""
    options = _compiler(directory)
    out = _plain(str(options.get("outDir", "") or "dist"))
    base = _plain(str(options.get("rootDir", "") or ("src" if source.startswith("src/") else "")))
    inner = source.removeprefix(f"{base}/") if base not in ("", ".") else source
    stem, _, ending = inner.rpartition(".")
    return f"{out}/{stem}.{ending.replace('ts', 'js')}"


def _compiler(directory: Path) -> dict[str, Any]:
    if not manifests.has(directory, "tsconfig.json"):
        return {}
    found = node_versions.json_of(manifests.read(directory, "tsconfig.json"))
    return manifests.table(found, "compilerOptions") if isinstance(found, dict) else {}


def used_package(text: str, packages: Mapping[str, Any]) -> str:
    """Returns the first of `packages` that a command line uses, as a program or as a module; "" for none."""
    for word in _named(text):
        name = PACKAGES.get(word, word)
        if name in packages or word in packages:
            return name if name in packages else word
        if scoped := next((each for each in packages if each.endswith(f"/{word}") and _runs(each)), ""):
            return scoped
    return ""


def _runs(package: str) -> bool:
    return package.startswith("@") and not package.startswith(("@types/", "@tsconfig/"))


def _named(text: str) -> Iterator[str]:
    for word in text.split():
        bare = word.rpartition("=")[2].strip("'\"").removeprefix("node_modules/.bin/")
        if found := WORD.match(bare):
            yield found[0]


def _plain(path: str) -> str:
    return path.removeprefix("./")
