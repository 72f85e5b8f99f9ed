"""Reads configuration files in TOML (Codex) and YAML (Goose, Continue)."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from servers.plain_json import DEEPEST, flaw_in

LARGEST_YAML = 32 * 1024  # characters; the parser is slow, because it is written in Python

_TOML_HEAD = re.compile(r"^ {0,20}\[\[?[\w.\"' @/-]{1,200}\]\]? {0,20}(?:#.*)?$", re.MULTILINE)
_YAML_HEAD = re.compile(
    r"^[ -]{0,20}(?:mcpServers|mcp_servers|extensions|context_servers|servers|mcp)[ ]*:[ ]*(?:#.*)?$",
    re.MULTILINE,
)


class _Plain(yaml.BaseLoader):
    """Reads scalars as text, and refuses aliases, with which a small text can describe huge data."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError
        return super().compose_node(parent, index)


def _is_deep(text: str) -> bool:
    """Tells whether brackets are nested too deep: the parsers would take quadratic time, or more."""
    depth = 0
    for sign in text:
        depth = depth + 1 if sign in "[{" else max(depth - 1, 0) if sign in "]}" else depth
        if depth > DEEPEST:
            return True
    return False


def toml(text: str) -> Any:
    """Returns a table or None. Prose before the first header is left out."""
    head = _TOML_HEAD.search(text)
    if head is None or _is_deep(text) or "mcp_servers" not in text.replace("mcpServers", "mcp_servers"):
        return None
    for part in (text, text[head.start() :]):
        try:
            return _checked(tomllib.loads(part))
        except (ValueError, RecursionError):
            continue
    return None


def yaml_of(text: str) -> Any:
    """Returns a mapping or None. Text before the first known key is left out."""
    head = _YAML_HEAD.search(text)
    if head is None or len(text) > LARGEST_YAML or _is_deep(text):
        return None
    for part in (text, text[head.start() :]):
        try:
            return _checked(yaml.load(part, _Plain))  # noqa: S506  (BaseLoader makes text, lists and mappings)
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
    return None


def _checked(value: Any) -> Any:
    return value if isinstance(value, dict) and flaw_in(value) is None else None
