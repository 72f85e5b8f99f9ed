"""Slack's incoming webhooks, and receivers that understand the same. Pure.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notices.kinds.base import MARKS, Kind, Request, Told

LONGEST = 2900  # characters of an escaped text object; Slack refuses 3,000


def request(url: str, told: Told) -> Request:
    return Request(url, message(told.event, told.payload))


def message(event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body: `blocks`, and `text` for notifications and for receivers without blocks."""
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
    """Returns a text object. With `verbatim`, Slack makes no links and no mentions."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _button(text: str, url: str) -> dict[str, Any]:
    label = text.replace("_", " ").capitalize()
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url}


def _plain(text: str) -> str:
    """Escapes and shortens foreign text, so that it cannot mention people or become a link."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= LONGEST:
        return escaped
    return re.sub(r"&[a-z]*\Z", "", escaped[:LONGEST]) + "…"


def _unread(text: str) -> str:
    """Breaks `@all` and `[words](address)`, which receivers that read Markdown would understand."""
    return text.replace("@", "@\u200b").replace("](", "]\u200b(")


KIND = Kind(
    label="Slack or compatible", request=request, where="Slack: Apps → Incoming Webhooks → Webhook URL."
)
