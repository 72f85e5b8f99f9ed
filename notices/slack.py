"""A notice as Slack's incoming webhooks take it, and those that understand the same. Pure.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_REASON = 1500
MARKS = {"failed": "🔴", "recovered": "🟢", "held": "🟡", "test": "🔵"}


def message(event: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """`text` for notifications and for those that know no blocks; `blocks` for the channel."""
    data = payload["data"]
    headline = f"{MARKS.get(event, '')} {_plain(data['headline'])}".strip()
    blocks: list[dict[str, Any]] = [_section(f"*{headline}*")]
    if reason := data.get("reason"):
        blocks.append(_section(_plain(_cut(reason))))
    if note := data.get("note"):
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _plain(note)}]})
    if buttons := [_button(text, url) for text, url in data.get("links", {}).items() if url]:
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": headline, "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(text: str, url: str) -> dict[str, Any]:
    label = text.replace("_", " ").capitalize()
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "url": url}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _plain(text: str) -> str:
    """What a server or a registry said must not mention people or become a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
