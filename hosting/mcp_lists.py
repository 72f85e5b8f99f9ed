"""Reads the lists of a server (`tools/list` and so on), page by page.

An absent or null `nextCursor` ends a list, and "" is a cursor like any other (2026-07-28, "Pagination"). But
many servers end a list with "", repeat a cursor, or answer every cursor with their first page. So a list also
ends when a cursor is repeated, and when a page holds no new item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bridge.protocol import METHOD_NOT_FOUND
from hosting.errors import RuntimeFault
from hosting.mcp_client import McpEndpoint, NotServing, RpcError
from registry.reasons import Reason

Json = dict[str, Any]

MAX_PAGES = 100
MAX_ITEMS = 2_000
MAX_BYTES = 8 << 20  # of all lists together
NAMED_BY = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}


class Lists:
    """The lists of one server. All of them together may have at most MAX_BYTES.

    `truncated` names the methods whose list was cut at a limit. `notes` are sentences for the user about
    lists that were cut and lists whose cursors never end.
    """

    def __init__(self, server: McpEndpoint, capabilities: Json) -> None:
        self._server = server
        self._capabilities = capabilities
        self._bytes_left = MAX_BYTES
        self.truncated: list[str] = []
        self.notes: list[str] = []

    def ask(self, capability: str, method: str, key: str) -> list[Json]:
        """The items of a list in their order, each once; [] where the server does not announce `capability`.

        `key` is the member of the result that holds the items. Raises `RuntimeFault` when the server answers
        with an error, and `NotServing` when it does not answer.
        """
        if capability not in self._capabilities:
            return []
        found: dict[str, Json] = {}
        try:
            for page in self._pages(method):
                known = len(found)
                items = _items(page, key)
                for item in items:
                    found.setdefault(_identity(item, key), item)
                if len(found) > MAX_ITEMS:
                    self._cut(method, f"it holds more than {MAX_ITEMS:,} items")
                    break
                if items and known == len(found):
                    self._goes_round(method, page)
                    break
        except RpcError as error:
            if error.code != METHOD_NOT_FOUND:
                raise RuntimeFault(
                    f"The server answered {method} with an error: {error.message.rstrip('.')}.",
                    hint="See what it wrote at that moment.",
                    reason=Reason.UNHEALTHY,
                ) from error
        return list(found.values())[:MAX_ITEMS]

    def _pages(self, method: str) -> Iterator[Json]:
        cursors: list[str] = []
        for _ in range(MAX_PAGES):
            page = self._page(method, cursors)
            if page is None:
                return
            yield page
            following = page.get("nextCursor")
            if not isinstance(following, str):
                return
            if following in cursors:
                self._goes_round(method, page)
                return
            if self._bytes_left <= 0:
                self._cut(method, f"all lists together are longer than {MAX_BYTES >> 20} MiB")
                return
            cursors.append(following)
        self._cut(method, f"it has more than {MAX_PAGES} pages")

    def _page(self, method: str, cursors: list[str]) -> Json | None:
        """The page for the last of `cursors`. None where that cursor is "" and the server refuses it: such a
        server has meant the end of the list.
        """
        try:
            page = self._server.request(method, {"cursor": cursors[-1]} if cursors else {}, self._bytes_left)
        except (RpcError, NotServing):
            if cursors and cursors[-1] == "":
                return None
            raise
        self._bytes_left -= self._server.last_size
        return page

    def _goes_round(self, method: str, page: Json) -> None:
        """Notes a list whose pages repeat. With the cursor "" or none it counts as complete: no note."""
        if page.get("nextCursor"):
            self.notes.append(
                f"The pages of {method} go round: what came once was listed, and no more asked."
            )

    def _cut(self, method: str, why: str) -> None:
        self.truncated.append(method)
        self.notes.append(f"The list of {method} was cut: {why}.")


def _items(page: Json, key: str) -> list[Json]:
    held = page.get(key)
    return [item for item in held if isinstance(item, dict)] if isinstance(held, list) else []


def _identity(item: Json, key: str) -> str:
    """The name or URI by which clients use the item; without one, the whole item as JSON."""
    named = item.get(NAMED_BY[key])
    return named if isinstance(named, str) else json.dumps(item, sort_keys=True)
