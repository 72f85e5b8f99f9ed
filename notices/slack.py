"""A notice as Slack's incoming webhooks take it, and those that understand the same. Pure.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LONGEST = 2900  # of a text object, escaped as it is sent; Slack refuses a message with one of 3,000
MARKS = {"failed": "🔴", "recovered": "🟢", "held": "🟡", "test": "🔵"}


def message(event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """`text` for notifications and for those that know no blocks; `blocks` for the channel."""
    data = payload["data"]
    headline = f"{MARKS.get(event, '')} {_unread(_plain(data['headline']))}".strip()
    blocks: list[dict[str, Any]] = [_section(f"*{headline}*")]
    if reason := data.get("reason"):
        blocks.append(_section(_plain(reason)))
    if note := data.get("note"):
        blocks.append({"type": "context", "elements": [_said(_plain(note))]})
    if buttons := [_button(text, url) for text, url in data.get("links", {}).items() if url]:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": headline, "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _said(text)}


def _said(text: str) -> dict[str, Any]:
    """`verbatim`: no address in it becomes a link, and no name a mention."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _button(text: str, url: str) -> dict[str, Any]:
    label = text.replace("_", " ").capitalize()
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url}


def _plain(text: str) -> str:
    """What a server or a registry said must not mention people or become a link, however long it is."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= LONGEST:
        return escaped
    return re.sub(r"&[a-z]*\Z", "", escaped[:LONGEST]) + "…"


def _unread(text: str) -> str:
    """For receivers that read Markdown, where `@all` and `[words](address)` need no angle brackets."""
    return text.replace("@", "@\u200b").replace("](", "]\u200b(")
