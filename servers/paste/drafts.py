"""Finishes a draft: sorts its variables and arguments, and notes what is unusual."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hosting.errors import UserError
from hosting.sources.package import PackageSource
from servers import validation
from servers.paste import values
from servers.paste.reading import LONGEST_NAME, Asked, Candidate, Draft, Prompt

_INPUT = re.compile(r"\$\{input:([\w.-]{1,100})\}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MENTIONED = re.compile(r"\$(?:\{(?:env:)?([A-Z_][A-Z0-9_]*)(?::-[^{}]{0,100})?\}|([A-Z_][A-Z0-9_]*))")
_SSE = (
    "It is started with HTTP and SSE, the old transport, which MCP gave up in 2025: this platform serves "
    "stdio and Streamable HTTP."
)
_TRANSPORTS = {"--transport", "-t", "--mode", "--transport-type", "--transportType"}
_HTTP = {"http", "streamable-http", "streamable_http", "streamablehttp", "streamable"}
MOST_ARGUMENTS, LONGEST_ARGUMENT = 100, 4096


def done(draft: Draft) -> Candidate:
    """Returns the candidate of a draft. Its `read` and `unknown` are sentences for the user."""
    _check(draft)
    gaps = _settle_arguments(draft)
    if draft.why_not:  # its arguments were not checked for secrets, so they are not shown
        return Candidate(_name(draft), why_not=draft.why_not, incidental=draft.incidental)
    plain, sealed, asked = _variables(draft)
    takes_arguments = draft.kind in ("package", "image") and not draft.command
    if takes_arguments and draft.arguments:
        draft.source["arguments"] = draft.arguments
    command = draft.command + ([] if takes_arguments or not draft.command else draft.arguments)
    return Candidate(
        name=_name(draft), kind=draft.kind, source=draft.source, transport=draft.transport, port=draft.port,
        path=draft.path, command=tuple(command), environment=plain, build=draft.build, sealed=sealed,
        token=draft.token, asked=tuple(asked), read=tuple(dict.fromkeys(draft.read)),
        unknown=tuple(dict.fromkeys(draft.unknown)), gaps=tuple(dict.fromkeys(gaps)),
        incidental=draft.incidental,
    )  # fmt: skip


def _name(draft: Draft) -> str:
    source = draft.source
    told = draft.name or str(source.get("name") or source.get("reference") or source.get("url") or "")
    last = told.rstrip("/").rpartition("/")[2].partition("@")[0].removesuffix(".git")
    last = last.partition(":")[0] if draft.kind == "image" and not draft.name else last
    shown = draft.name or last
    return "".join(sign for sign in shown if sign.isprintable()).strip()[:LONGEST_NAME] or "server"


def _check(draft: Draft) -> None:
    """Refuses names and versions that an index cannot have."""
    if draft.kind == "":
        draft.refuse("Nothing in it says where the server comes from.")
    if draft.kind != "package" or draft.why_not:
        return
    about = draft.source
    try:
        PackageSource(about["ecosystem"], about["name"], about.get("version", "")).check()
    except UserError as error:
        draft.refuse(str(error))


# --- Arguments


def _settle_arguments(draft: Draft) -> list[str]:
    """Removes secrets from the arguments. Returns the placeholders, which stay in the arguments."""
    _note_transport(draft)
    words, kept, gaps = draft.arguments, [], []
    at = 0
    while at < len(words):
        option, value, width = _option_at(words, at)
        at += width
        verdict = _verdict(option, value)
        if verdict == "secret":
            _leave_secret(draft, option, value)
            continue
        if verdict == "placeholder":
            gaps.append(value)
        kept += words[at - width : at]
        _note_place(draft, option, value)
    for gap in gaps:
        draft.leave(f"The argument {_shown(gap)} is a placeholder: write what belongs there.")
    if len(kept) > MOST_ARGUMENTS or any(len(word) > LONGEST_ARGUMENT for word in kept):
        draft.refuse(f"At most {MOST_ARGUMENTS} arguments of {LONGEST_ARGUMENT} characters are taken.")
    draft.arguments = kept
    return gaps


def _option_at(words: list[str], at: int) -> tuple[str, str, int]:
    """Returns the option ("" for none), its value, and how many words these are."""
    word = words[at]
    if not word.startswith("-"):
        name, equals, value = word.partition("=")
        named = bool(equals) and re.fullmatch(r"[A-Za-z_][\w.-]{0,60}", name) is not None
        return (name, value, 1) if named else ("", word, 1)
    name, equals, value = word.partition("=")
    if equals:
        return name, value, 1
    after = words[at + 1] if at + 1 < len(words) else "-"
    takes = not after.startswith("-") and (values.names_secret(name) or values.kind_of("", after) != "plain")
    return (name, after, 2) if takes else (name, "", 1)


def _verdict(option: str, value: str) -> values.Kind:
    if not value:
        return "plain"
    if values.is_own_path(value) and not values.is_secret("", value):
        return "plain"
    if option and values.names_secret(option) and values.is_placeholder(value, secret=True):
        return "secret"
    kind = values.kind_of(option, value)
    return "secret" if kind == "placeholder" and _mentions_secret(value) else kind


def _mentions_secret(value: str) -> bool:
    return any(values.names_secret(name) for name in _mentioned(value)) or bool(
        re.search(r"(?i)(?:api.?key|token|secret|password)", value)
    )


def _leave_secret(draft: Draft, option: str, value: str) -> None:
    what = option or "An argument"
    draft.leave(
        f"{what} is a secret on the command line, where every process of the machine can read it: it is left "
        "out. Set it as a variable of the environment, if the server reads one."
    )
    for name in _mentioned(value):
        draft.variables.setdefault(name, None)


def _note_place(draft: Draft, option: str, value: str) -> None:
    told = value or option
    if values.is_own_path(told):
        draft.leave(f"{_shown(told)}: a path of your machine is not there on this platform.")
    elif values.is_local_address(told):
        draft.leave(f"{_shown(told)} names the machine that the server runs on: that is not yours here.")


def _note_transport(draft: Draft) -> None:
    words = draft.arguments
    pairs = [
        *pairwise(words),
        *((a, c) for a, b, c in (w.partition("=") for w in words) if b),
    ]
    for option, value in pairs:
        if option in _TRANSPORTS and value.lower() in _HTTP:
            draft.transport = "streamable-http"
            draft.say("Its arguments turn Streamable HTTP on.")
        elif option in _TRANSPORTS and value.lower() == "sse":
            draft.refuse(_SSE)
    if draft.transport == "streamable-http":
        ports = [
            int(v) for o, v in pairs if o in ("--port", "-p") and v.isascii() and v.isdigit() and len(v) < 6
        ]
        draft.port = draft.port or next((port for port in ports if 0 < port < 65536), 0)


def _mentioned(value: str) -> list[str]:
    return [one or other for one, other in _MENTIONED.findall(value)]


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


# --- Variables


def _variables(draft: Draft) -> tuple[dict[str, str], dict[str, str], list[Asked]]:
    plain: dict[str, str] = {}
    sealed: dict[str, str] = {}
    asked: list[Asked] = []
    for name, value in _usable(draft):
        prompt = _prompt(draft, value)
        kind = "placeholder" if value is None or prompt else values.kind_of(name, value)
        if value is not None and kind == "plain":
            plain[name] = value
            _note_value(draft, name, value)
        elif value is not None and kind == "secret":
            sealed[name] = value
            draft.say(f"{name} is kept sealed; its value is not shown again.")
        else:
            asked.append(_asked(name, prompt))
    if plain:
        draft.say(f"Variables: {', '.join(plain)}.")
    if asked:
        draft.say(f"Asked for: {', '.join(each.name for each in asked)}.")
    return plain, sealed, asked


def _usable(draft: Draft) -> Iterator[tuple[str, str | None]]:
    for name, value in list(draft.variables.items())[: validation.MOST_VARIABLES]:
        if not _ENVIRONMENT_NAME.fullmatch(name):
            draft.leave("A variable has a name that no variable can have: it is left out.")
        elif validation.is_reserved(name):
            _take_port(draft, name, value)
            draft.leave(f"{name} is set by the platform: it is left out.")
        elif value is not None and len(value) > validation.LONGEST_VALUE:
            draft.leave(f"{name} is longer than {validation.LONGEST_VALUE} characters: it is left out.")
        else:
            yield name, value
    if len(draft.variables) > validation.MOST_VARIABLES:
        draft.leave(f"Only the first {validation.MOST_VARIABLES} variables are taken.")


def _take_port(draft: Draft, name: str, value: str | None) -> None:
    fits = name == "PORT" and value is not None and value.isascii() and value.isdigit() and len(value) < 6
    if fits and draft.transport == "streamable-http" and not draft.port:
        draft.port = int(value or 0)


def _prompt(draft: Draft, value: str | None) -> Prompt | None:
    found = _INPUT.search(value or "")
    return draft.prompts.get(found[1], Prompt(secret=True)) if found else None


def _asked(name: str, prompt: Prompt | None) -> Asked:
    secret = prompt.secret or values.names_secret(name) if prompt else True
    return Asked(name, secret, description=prompt.description[:300] if prompt else "")


def _note_value(draft: Draft, name: str, value: str) -> None:
    if values.is_own_path(value):
        draft.leave(f"{name} names a path of your machine, which is not there on this platform.")
    elif values.is_local_address(value):
        draft.leave(f"{name} names the machine that the server runs on: that is not yours here.")


def text_of(value: Any) -> str | None:
    """Returns a value from JSON, TOML or YAML as text; None if it cannot be a variable's value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value)[: 2 * validation.LONGEST_VALUE] if isinstance(value, (str, int, float)) else None
