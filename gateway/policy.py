"""Which tools a caller may see and call at one server: the server's lists and the token's, both in force."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import errors
from servers.models import tool_patterns

# What decides is read by these keys; a server that takes "Name" for "name" must not be told another name.
_KEYS = frozenset({"method", "params", "name"})
_CALL = frozenset({"tools/call"})
_LONGEST = 32  # of a text that could be taken for one of these


@dataclass(frozen=True)
class ToolLists:
    """One allow list (empty: everything) and one deny list, which has the last word."""

    allowed: Sequence[str] = ()
    denied: Sequence[str] = ()

    def permit(self, name: str) -> bool:
        return tool_patterns.permit(name, self.allowed, self.denied)


@dataclass(frozen=True)
class Policy:
    """`personal`: a token's lists are part of it, so that two callers see different tools."""

    lists: tuple[ToolLists, ...]
    personal: bool

    def permits(self, name: Any) -> bool:
        return isinstance(name, str) and all(each.permit(name) for each in self.lists)

    def check(self, body: bytes, *, modern: bool) -> None:
        """Raises `Refusal` for a call of a denied tool, alone or in a batch, and for a body that servers
        might read in another way than we do."""
        try:
            message = json.loads(body.decode(), object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError):
            raise errors.unreadable() from None
        for each in message if isinstance(message, list) else [message]:
            self._check_message(each, modern)

    def _check_message(self, message: Any, modern: bool) -> None:
        if not isinstance(message, dict):
            return
        params = message.get("params")
        method = message.get("method")
        _refuse_lookalikes(message, _KEYS)
        if isinstance(params, dict):
            _refuse_lookalikes(params, _KEYS)
        if not isinstance(method, str):
            return
        _refuse_lookalikes([method], _CALL)
        if method in _CALL:
            name = params.get("name") if isinstance(params, dict) else None
            if not self.permits(name):
                raise errors.tool_denied(str(name)[:200], modern=modern)

    def trim(self, message: Any) -> bool:
        """Takes denied tools out of a response that lists tools; whether anything was changed."""
        result = message.get("result") if isinstance(message, dict) else None
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(tools, list):
            return False
        kept = [tool for tool in tools if isinstance(tool, dict) and self.permits(tool.get("name"))]
        public = self.personal and result.get("cacheScope") == "public"
        if public:  # the next caller's list may be another
            result["cacheScope"] = "private"
        result["tools"] = kept
        return public or len(kept) < len(tools)


def lists_of(allowed: Iterable[str], denied: Iterable[str]) -> ToolLists | None:
    """None where both are empty: nothing is looked at then."""
    lists = ToolLists(tuple(allowed), tuple(denied))
    return lists if lists.allowed or lists.denied else None


def combined(server: ToolLists | None, token: ToolLists | None) -> Policy | None:
    if server is None and token is None:
        return None
    lists = tuple(each for each in (server, token) if each is not None)
    return Policy(lists, personal=token is not None)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parsers differ on which of two equal keys counts."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is repeated")
    return made


def _refuse_lookalikes(texts: Iterable[str], known: frozenset[str]) -> None:
    """Some parsers take keys whatever the case of their letters, some servers trim what they are told."""
    if any(text not in known and _folded(text) in known for text in texts):
        raise errors.unreadable()


def _folded(text: str) -> str:
    """Without what cannot be seen; what is longer than any known text stays as it is."""
    seen = "".join(char for char in text if char.isprintable() and not char.isspace())
    return unicodedata.normalize("NFKC", seen).casefold() if len(seen) <= _LONGEST else text
