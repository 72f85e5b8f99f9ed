"""Decides which tools a caller may see and call: both the server's lists and the token's apply."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import errors
from servers.models import tool_patterns

# The policy reads these keys. A server may accept "Name" for "name", so lookalikes of the keys are refused.
_KEYS = frozenset({"method", "params", "name"})
_CALL = frozenset({"tools/call"})
_LONGEST = 32  # characters of a text that could be a lookalike


@dataclass(frozen=True)
class ToolLists:
    """An allow list (empty: all tools) and a deny list, which has priority."""

    allowed: Sequence[str] = ()
    denied: Sequence[str] = ()

    def permit(self, name: str) -> bool:
        """Tells whether the lists allow the tool."""
        return tool_patterns.permit(name, self.allowed, self.denied)


@dataclass(frozen=True)
class Policy:
    """The lists that apply.

    `personal` tells that a token's lists are among them, so that callers see other tools.
    """

    lists: tuple[ToolLists, ...]
    personal: bool

    def permits(self, name: Any) -> bool:
        """Tells whether all lists allow the tool; False for a name that is no string."""
        return isinstance(name, str) and all(each.permit(name) for each in self.lists)

    def check(self, body: bytes, *, modern: bool) -> None:
        """Raises `Refusal` for a call of a denied tool, also in a batch.

        It also refuses a body that a server could read differently. `modern` is the era of the request.
        """
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
        """Removes denied tools from a response that lists tools; returns whether it changed anything."""
        result = message.get("result") if isinstance(message, dict) else None
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(tools, list):
            return False
        kept = [tool for tool in tools if isinstance(tool, dict) and self.permits(tool.get("name"))]
        public = self.personal and result.get("cacheScope") == "public"
        if public:  # the list of the next caller may differ
            result["cacheScope"] = "private"
        result["tools"] = kept
        return public or len(kept) < len(tools)


def lists_of(allowed: Iterable[str], denied: Iterable[str]) -> ToolLists | None:
    """Returns the lists; None if both are empty."""
    lists = ToolLists(tuple(allowed), tuple(denied))
    return lists if lists.allowed or lists.denied else None


def combined(server: ToolLists | None, token: ToolLists | None) -> Policy | None:
    """Returns the policy of both lists; None if there are none."""
    if server is None and token is None:
        return None
    lists = tuple(each for each in (server, token) if each is not None)
    return Policy(lists, personal=token is not None)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; raises `ValueError` for a repeated key, on which parsers differ."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is repeated")
    return made


def _refuse_lookalikes(texts: Iterable[str], known: frozenset[str]) -> None:
    """Raises `Refusal` for texts that a lenient parser or server could take for one of `known`."""
    if any(text not in known and _folded(text) in known for text in texts):
        raise errors.unreadable()


def _folded(text: str) -> str:
    """Returns the text without invisible characters and case; a long text stays as it is."""
    seen = "".join(char for char in text if char.isprintable() and not char.isspace())
    return unicodedata.normalize("NFKC", seen).casefold() if len(seen) <= _LONGEST else text
