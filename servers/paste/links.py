"""Reads links that install a server, such as `cursor://…install?config=<base64>`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import parse_qs, unquote

from servers.paste import loose_json

_LINK = re.compile(r"(?:https?|cursor|vscode|vscode-insiders|lmstudio|goose|kiro|windsurf|trae|zed)://?[^\s<>\"'`]{4,20000}"
                   r"|(?:vscode|vscode-insiders):mcp/install\?[^\s<>\"'`]{2,20000}")  # fmt: skip
_DEEPEST = 3
MOST_LINKS = 200


def find(text: str) -> list[str]:
    """Returns the addresses in prose, Markdown and HTML."""
    found = (
        match[0].rstrip(".,;:!") for match, _ in zip(_LINK.finditer(text), range(MOST_LINKS), strict=False)
    )
    return list(dict.fromkeys(_without_bracket(each.replace("&amp;", "&")) for each in found))


def _without_bracket(link: str) -> str:
    """Removes a closing bracket of Markdown from the end of an address."""
    while link.endswith((")", "]")) and link.count(link[-1]) > link.count("(" if link[-1] == ")" else "["):
        link = link[:-1]
    return link.split("](")[0]


def entry_of(link: str, depth: int = 0) -> tuple[str, dict[str, Any]] | None:
    """Returns name and configuration of a link that installs a server; None for another link."""
    scheme, _, rest = link.partition(":")
    query = rest.partition("?")[2].partition("#")[0]
    if scheme.startswith("goose"):
        return _goose(query)
    if "mcp/install" in rest and query.lstrip().startswith(("%7B", "%7b", "{")):
        return _named("", loose_json.whole(unquote(query)))
    try:
        asked = {key: values[0] for key, values in parse_qs(query, max_num_fields=40).items()}
    except ValueError:
        return None
    if "config" in asked:
        return _named(asked.get("name", ""), _config(asked["config"]), _config(asked.get("inputs", "")))
    inner = asked.get("url", "")
    return entry_of(inner, depth + 1) if "mcp/install" in inner and depth < _DEEPEST else None


def _named(name: str, value: Any, inputs: Any = None) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(value, dict):
        return None
    return str(value.get("name") or name), {
        **value,
        **({"inputs": inputs} if isinstance(inputs, list) else {}),
    }


def _config(text: str) -> Any:
    """Reads JSON, or JSON in base64, in which `+` may have become a space."""
    if text.lstrip()[:1] in ("{", "["):
        return loose_json.whole(text)
    packed = re.sub(r"\s", "+", text.strip()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        plain = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return loose_json.whole(unquote(plain) if plain.startswith("%7B") else plain)


def _goose(query: str) -> tuple[str, dict[str, Any]] | None:
    try:
        asked = parse_qs(query, max_num_fields=60)
    except ValueError:
        return None
    if not asked.get("cmd"):
        return None
    named = [one.partition("=")[0] for one in asked.get("env", [])]
    entry = {"command": asked["cmd"][0], "args": asked.get("arg", []), "env_keys": named}
    return asked.get("name", asked.get("id", [""]))[0], entry
