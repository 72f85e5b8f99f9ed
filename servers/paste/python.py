"""Reads uvx and similar launchers: `uvx --with 'mcp<2' name@1.2`, `pipx run`, `uv run`, `python -m`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from servers.paste import addresses, options
from servers.paste.reading import Draft

_INDEXES = {"--index", "-i", "--index-url", "--extra-index-url", "--default-index", "-f", "--find-links"}
_VALUED = {
    *_INDEXES, "--from", "--spec", "--with", "-w", "--with-editable", "--with-requirements", "-p",
    "--python", "--index-strategy", "--keyring-provider", "-P", "--upgrade-package", "--refresh-package",
    "--reinstall-package", "-c", "--constraints", "--build-constraints", "--overrides", "--directory",
    "--project", "--env-file", "--cache-dir", "--prerelease", "--resolution", "--link-mode",
    "--exclude-newer", "--python-preference", "--python-platform", "--config-file", "--color", "-C",
    "--config-setting", "--allow-insecure-host", "--torch-backend", "--pip-args", "--extra", "--group",
    "--only-group", "--package", "--no-extra", "-m", "--module", "--suffix", "--target", "-t", "--prefix",
}  # fmt: skip
_QUIET = {
    "-q", "--quiet", "-v", "--verbose", "--refresh", "--no-cache", "-n", "--isolated", "-U", "--upgrade",
    "--force", "--no-progress", "--native-tls", "--system-certs", "--no-config", "--managed-python",
    "--no-managed-python", "--reinstall", "--offline", "--index-strategy", "--link-mode",
    "--python-preference", "--cache-dir", "--color", "--user", "-y", "--yes", "--no-env-file", "--active",
    "--no-project", "--frozen", "--locked", "--no-sync", "--refresh-package", "--break-system-packages",
    "--system", "--no-input", "--disable-pip-version-check",
}  # fmt: skip
_SPEC = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,213})\s*(?:\[([A-Za-z0-9._,\s-]{0,200})\])?\s*(?:@|===?)?\s*(.{0,200})",
    re.DOTALL,
)
_PYTHON = re.compile(r"(?:python|cpython)?@?([0-9]{1,2}(?:\.[0-9]{1,3}){0,2})")
_LOCAL = re.compile(r"(?:[./~]|file:|[A-Za-z]:[\\/]|\\)")


def read_uvx(words: Sequence[str], draft: Draft) -> list[str] | None:
    """Reads the words after `uvx`, `uv tool run` or `pipx run`.

    Returns words of another command to read, or None.
    """
    given, rest = options.split(words, _VALUED)
    given += _behind(rest, draft)
    origin = next((each.value or "" for each in given if each.name in ("--from", "--spec")), "")
    if not origin and not rest:
        draft.refuse("No package stands after it.")
        return None
    of_launcher(given, draft)
    requirement(origin or rest[0], draft)
    if origin:
        _command(rest, draft)
    else:
        draft.arguments = rest[1:]
    return _inner(draft)


def _behind(rest: list[str], draft: Draft) -> list[options.Given]:
    """Takes out launcher options that stand behind the package.

    uvx itself would pass them to the server, which is hardly what is meant.
    """
    found: list[options.Given] = []
    at = 1
    while at + 1 < len(rest):
        if rest[at] in ("--with", "--python") and not rest[at + 1].startswith("-"):
            found.append(options.Given(rest[at], rest[at + 1]))
            draft.leave(f"{rest[at]} stands behind the package's name: it is read as the launcher's option.")
            del rest[at : at + 2]
        else:
            at += 1
    return found


def _command(rest: list[str], draft: Draft) -> None:
    """Reads the command of `--from package command …`."""
    draft.arguments = rest[1:]
    if rest and draft.kind == "package" and rest[0] != draft.source["name"]:
        draft.source["command"] = rest[0]
    elif rest and draft.kind == "git":
        draft.command = [rest[0]]


def read_uv_run(words: Sequence[str], draft: Draft) -> list[str] | None:
    """Reads `uv run --with package command …`. Refuses a project of the user's machine."""
    given, rest = options.split(words, _VALUED)
    folder = any(each.name in ("--directory", "--project", "--with-editable") for each in given)
    added = [one for each in given if each.name in ("--with", "-w") for one in (each.value or "").split(",")]
    module = next((each.value for each in given if each.name in ("-m", "--module")), None)
    script = any(word.endswith(".py") or _LOCAL.match(word) for word in rest[:1] if word)
    if folder or script or not added or any(word.endswith(".py") for word in rest):
        draft.refuse(addresses.OWN_FOLDER)
        return None
    chosen = next((one for one in added if _base(one) == _base((rest or [module or ""])[0])), added[0])
    of_launcher([each for each in given if each.name not in ("--with", "-w", "-m", "--module")], draft)
    for one in added:
        if one != chosen:
            _bound(one, draft)
    requirement(chosen, draft)
    if draft.kind == "package":
        words = ["python", "-m", module, *rest] if module else rest
        _start(words, draft)
    return None


def read_module(words: Sequence[str], draft: Draft, installed: Draft | None) -> None:
    """Reads the words after `python`. `installed` is what an earlier `pip install` named."""
    before = next((n for n, word in enumerate(words) if word == "-m" or not word.startswith("-")), len(words))
    rest = list(words[before:])
    module = rest[1] if rest[:1] == ["-m"] and len(rest) > 1 else ""
    rest = rest[2:] if module else rest
    if not module:
        draft.refuse(addresses.OWN_FOLDER if rest else "It starts Python without a module.")
    elif module in ("pip", "pipx", "uv", "venv", "http.server"):
        draft.refuse("It starts no server.")
    elif installed is not None:
        adopt(installed, draft, ["python", "-m", module, *rest])
    else:
        requirement(module.partition(".")[0].replace("_", "-"), draft)
        if draft.kind == "package":
            draft.source["command"] = f"python -m {module}" if re.fullmatch(r"[\w.]+", module) else ""
        draft.arguments = rest
        draft.leave(f"-m {module[:80]} names a module: look whether its package has this name on PyPI.")


def adopt(installed: Draft, draft: Draft, words: list[str]) -> None:
    """Makes `draft` start, with `words`, what was installed or cloned before."""
    draft.kind, draft.source, draft.build = installed.kind, dict(installed.source), dict(installed.build)
    draft.token = installed.token
    draft.read = [*installed.read, *draft.read]
    draft.unknown = [*installed.unknown, *draft.unknown]
    draft.why_not = installed.why_not or draft.why_not
    _start(words, draft)


def _start(words: list[str], draft: Draft) -> None:
    if draft.kind != "package":
        draft.command, draft.arguments = words[:1], words[1:]
        return
    is_module = words[:2] == ["python", "-m"] and len(words) > 2 and re.fullmatch(r"[\w.]+", words[2])
    head = 3 if is_module else 1
    if words[:1] != [draft.source["name"]]:
        draft.source["command"] = " ".join(words[:head])
    draft.arguments = words[head:]


def of_launcher(given: list[options.Given], draft: Draft) -> None:
    """Reads the launcher's own options, such as `--with` and `--python`."""
    for name, value in given:
        if name in ("--with", "-w"):
            for one in (value or "").split(","):
                _bound(one, draft)
        elif name in ("-p", "--python"):
            _python(value or "", draft)
        elif name in _INDEXES:
            draft.leave(f"{name} names another package index: the platform's own is asked.")
        elif name not in _QUIET and name not in ("--from", "--spec", "-m", "--module"):
            draft.leave(f"{name} is for the launcher and is left out.")


def _bound(text: str, draft: Draft) -> None:
    try:
        found = Requirement(text.strip())
    except InvalidRequirement:
        found = None
    if found is None or found.url:
        draft.leave("--with names something else than a package of the index: it is left out.")
        return
    draft.build.setdefault("with", []).append(str(found))
    draft.say(f"{found} is installed besides.")


def _python(text: str, draft: Draft) -> None:
    found = _PYTHON.fullmatch(text.strip())
    if found is None:
        draft.leave("--python names no version such as 3.12: it is left out.")
        return
    draft.build["python"] = found[1]
    draft.say(f"Python {found[1]}.")


def requirement(spec: str, draft: Draft) -> None:
    """Reads `name`, `name[extra]@1.2`, `name==1.2`, `git+https://…` and `name @ git+https://…`."""
    spec = spec.strip()
    named, at, address = spec.partition("@")
    if at and "://" in address and re.fullmatch(r"[\w.\[\], -]+", named):
        spec = address.strip()
    if "://" in spec or spec.startswith("git@"):
        addresses.of_pip(spec, draft)
    elif _LOCAL.match(spec):
        draft.refuse(addresses.OWN_FOLDER)
    else:
        _named(spec, draft)


def _named(spec: str, draft: Draft) -> None:
    found = _SPEC.fullmatch(spec)
    name, extras, version = (found[1], found[2] or "", found[3].strip()) if found else (spec, "", "")
    draft.kind = "package"
    draft.source = {"ecosystem": "pypi", "name": name, "version": _version(version, draft)}
    wanted = [each.strip() for each in extras.split(",") if each.strip()]
    if wanted:
        draft.build["extras"] = wanted
    shown = f"{name}[{','.join(wanted)}]" if wanted else name
    pinned = f", version {draft.source['version']}" if draft.source["version"] else ", the newest version"
    draft.say(f"Package {shown[:300]} of PyPI{pinned}.")


def _version(text: str, draft: Draft) -> str:
    if text in ("", "latest"):
        return ""
    try:
        Version(text)
    except InvalidVersion:
        draft.leave(f"“{text[:40]}” is no single version: the newest is taken.")
        return ""
    return text


def _base(text: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[@=<>!~ ]", text, maxsplit=1)[0]).lower()


def _inner(draft: Draft) -> list[str] | None:
    if draft.kind != "package" or draft.source["name"] != "mcp-proxy":
        return None
    remote = next((word for word in draft.arguments if "://" in word), "")
    if remote:
        addresses.refuse_remote(remote, draft)
        return None
    draft.read.clear()
    draft.say("mcp-proxy is not needed: the platform serves stdio over HTTP itself.")
    valued = {"--port", "--host", "--sse-port", "--sse-host", "--allow-origin", "-e", "--env"}
    return options.split(draft.arguments, valued)[1]
