"""Reads configurations of clients, also nested ones: `mcpServers`, `servers`, `context_servers` …"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from servers.paste import addresses, drafts, launch, shell
from servers.paste.reading import Candidate, Draft, Prompt

_SERVERS = (
    "mcpServers",
    "mcp_servers",
    "context_servers",
    "servers",
    "extensions",
    "mcp.servers",
    "amp.mcpServers",
)
_INSIDE = ("mcp", "mcp.servers", "settings", "projects", "config", "modelContextProtocol", "augment.advanced",
           "agent", "tools", "cline", "experimental", "default", "profiles")  # fmt: skip
_COMMAND, _ARGUMENTS = ("command", "cmd", "executable"), ("args", "arguments", "argv")
_ENVIRONMENT = ("env", "environment", "envs", "environmentVariables", "env_vars")
_URL = ("url", "serverUrl", "httpUrl", "uri", "endpoint", "baseUrl")
# Keys that only the client uses.
_QUIET = {
    "type", "transport", "name", "description", "disabled", "enabled", "autoApprove", "alwaysAllow",
    "timeout", "icon", "trust", "source", "settings", "cwd", "headers", "env_keys", "envFile", "inputs",
    "id", "version", "tools", "title", "bundled", "display_name", "available_tools", "startup_timeout_sec",
    "tool_timeout_sec", "gallery", "active", "dev", "startup_timeout_ms", "autoStart", "isActive",
    "allowedTools", "excludeTools", "includeTools", "http_headers", "disabledTools", "requestInit",
    "transportType", "bearer_token_env_var", "enabled_tools", "disabled_tools",
    "default_tools_approval_mode", "provider", "note", "comment", "longDescription", "priority",
    "initTimeout",
}  # fmt: skip
MOST_SERVERS = 100
_DEEPEST = 5


def candidates(value: Any) -> list[Candidate]:
    """Returns one candidate for each server of a configuration; [] if it is none."""
    prompts = _prompts(value)
    return [
        _candidate(name, entry, prompts)
        for _, (name, entry) in zip(range(MOST_SERVERS), _entries(value, 0), strict=False)
    ]


def one(name: str, entry: Mapping[str, Any]) -> Candidate:
    """Returns the candidate of one server's entry."""
    return _candidate(name, entry, _prompts(entry))


def is_document(value: Any) -> bool:
    """Tells whether it is a server.json, or a registry's answer that holds one."""
    if not isinstance(value, dict):
        return False
    inner = value["server"] if isinstance(value.get("server"), dict) else value
    named = isinstance(inner.get("name"), str) and "/" in inner["name"]
    schema = str(inner.get("$schema", ""))
    return "server.schema.json" in schema or (named and any(key in inner for key in ("packages", "remotes")))


def _entries(value: Any, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    if _is_entry(value):
        yield str(value.get("name", "")), value
        return
    held = [value[key] for key in _SERVERS if isinstance(value.get(key), (dict, list))]
    if held:
        for one in held:
            yield from _listed(one)
        return
    direct = list(_listed(value))
    if direct:
        yield from direct
        return
    for key in _INSIDE:
        yield from _entries(value.get(key), depth + 1)


def _listed(held: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(held, list):
        yield from (
            (str(each.get("name", "")), each) for each in held if isinstance(each, dict) and _is_entry(each)
        )
    elif isinstance(held, dict):
        yield from ((str(k), each) for k, each in held.items() if isinstance(each, dict) and _is_entry(each))


def _is_entry(value: Mapping[str, Any]) -> bool:
    return _first(value, _COMMAND) is not None or isinstance(_first(value, _URL), str)


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key)), None)


def _candidate(name: str, entry: Mapping[str, Any], prompts: Mapping[str, Prompt]) -> Candidate:
    draft = Draft(name=name.strip()[:100], prompts=prompts)
    _environment(entry, draft)
    words = _words(entry, draft)
    if words:
        launch.read(words, draft, by_client=True)
        _tell(entry, draft)
    elif isinstance(url := _first(entry, _URL), str):
        addresses.refuse_remote(url, draft)
    else:
        draft.refuse("No command stands in it.")
    draft.name = draft.name or name
    return drafts.done(draft)


def _words(entry: Mapping[str, Any], draft: Draft) -> list[str]:
    command, given = _first(entry, _COMMAND), _first(entry, _ARGUMENTS)
    if isinstance(command, dict):  # Zed: {"path": …, "args": […], "env": {…}}
        _environment(command, draft)
        given = command.get("args", given)
        command = command.get("path", "")
    words = _texts(command) if isinstance(command, list) else [str(command or "")]
    if len(words) == 1 and re.search(r"\s", words[0]) and not re.match(r"(?:[A-Za-z]:)?[\\/]", words[0]):
        words = _split(words[0])
    more = _split(given) if isinstance(given, str) else _texts(given)
    return [*words, *more] if words != [""] else []


def _texts(value: Any) -> list[str]:
    found = value if isinstance(value, list) else []
    return [text for each in found if (text := drafts.text_of(each)) is not None]


def _split(text: str) -> list[str]:
    try:
        return [word for command in shell.split(text) for word in command]
    except shell.Unclosed:
        return text.split()


def _environment(entry: Mapping[str, Any], draft: Draft) -> None:
    for key in _ENVIRONMENT:
        held = entry.get(key)
        if isinstance(held, dict):
            for name, value in held.items():
                draft.set(str(name), drafts.text_of(value.get("value") if isinstance(value, dict) else value))
        for each in held if isinstance(held, list) else ():
            pair = shell.assignment(str(each)) if not isinstance(each, dict) else None
            draft.set(*(pair or (str(each.get("name", "")) if isinstance(each, dict) else str(each), None)))
    for name in entry.get("env_keys") or () if isinstance(entry.get("env_keys"), list) else ():
        draft.set(str(name), None)


def _tell(entry: Mapping[str, Any], draft: Draft) -> None:
    if entry.get("cwd"):
        draft.leave("cwd is a folder of your machine: it is left out.")
    if entry.get("envFile"):
        draft.leave("envFile is a file of your machine: give its variables here.")
    if isinstance(settings := entry.get("settings"), dict) and settings:
        draft.leave("settings are for the client's extension: they are left out.")
    known = {*_QUIET, *_COMMAND, *_ARGUMENTS, *_ENVIRONMENT, *_URL}
    for key in list(entry)[:50]:
        if key not in known and re.fullmatch(r"[A-Za-z_][\w.-]{0,40}", str(key)):
            draft.leave(f"{key} is not known here and is left out.")


def _prompts(value: Any, depth: int = 0) -> dict[str, Prompt]:
    """Returns VS Code's `inputs` by their ids, at any depth."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return {}
    found: dict[str, Prompt] = {}
    for each in value.get("inputs") or () if isinstance(value.get("inputs"), list) else ():
        if isinstance(each, dict) and each.get("id"):
            hidden = each.get("password") in (True, "true")
            found[str(each["id"])] = Prompt(str(each.get("description", ""))[:300], hidden)
    for key in _INSIDE:
        found |= _prompts(value.get(key), depth + 1)
    return found
