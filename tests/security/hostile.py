"""Text that would act if anything took it for markup, put into every row; and the eye that finds where.

Every tag and every attribute of it is called `pwned` or has an attribute of that name; what it would load or
call is called so too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.db import models
from playwright.sync_api import Page

APPS = ("access", "auth", "catalog", "hooks", "metrics", "notices", "servers")
# The longest that fits is taken: an element that asks for something, one that Alpine or htmx would run, a
# breakout from an attribute with either quote, a template's own signs.
MARKUP = (
    "pwned\"'><img pwned src=//pwned.invalid/ onerror=pwned()><script pwned>pwned()</script>"
    '<p pwned x-data x-init="pwned()" @click="pwned()" hx-get="//pwned.invalid/" hx-trigger="load">'
    '<a pwned href="javascript:pwned()">{{7*7}}pwned</a>{% pwned %}{# pwned #}</p><style pwned>',
    "\"'><img pwned src=//pwned.invalid/ onerror=pwned()>{{7*7}}pwned<p x-init=pwned() pwned>",
    "\"'><img pwned src=//pwned.invalid/>{{7*7}}pwned",
    "\"'><p pwned x-init=pwned()>",
    '"><b pwned>',
    '"pwned=',
)
# What would run where nothing but the policy and the libraries stood in its way.
RUNNING = """<p x-data x-init="pwned()"></p><p x-data x-init="$el.ownerDocument.defaultView.pwned()"></p>
<p x-data="{ run() { pwned() } }" x-init="run()" x-effect="pwned()"></p><p x-data x-html="'<img src=x>'"></p>
<p hx-get="/pwned/" hx-trigger="load" hx-on:click="pwned()" onclick="pwned()" id="pwned"></p>
<svg onload="pwned()"></svg><iframe srcdoc="<script>parent.pwned()</script>"></iframe>
<base href="//pwned.invalid/"><a href="javascript:pwned()" id="pwned-link"></a>"""
# Whole values, for what is put into an address.
LINKS = ("javascript:pwned()//", "javascript:1")
# Never written by anybody outside, and taken to mean something: each with the reason.
OWN = {
    "Delivery.payload_digest": "a digest that is computed here",
    "CallRollup.buckets": "numbers",
    "CallTotal.buckets": "numbers",
    "Build.runtime": "a runtime's name, out of a fixed list",
    "Run.uses": "numbers",
    "FormerServer.slug": "part of an address; it was a server's",
    "Server.placement": "numbers, networks and a path, checked in every door and wherever it is read",
    "Server.slug": "part of an address; [a-z0-9-] is enforced in every door",
    "Token.digest": "a digest that is computed here",
    "User.password": "a hash that is computed here",
    "WebHook.public_id": "part of an address, made here",
}
# Rows that no door writes into and no page shows: bookkeeping, and what Django keeps unused.
INTERNAL = {"CallsInFlight", "Group", "Matter", "Permission", "StreamEvent", "StreamPosition"}
TEXT = "text"  # in a shape: whatever anybody may have written, as a key too
SCHEMA = {
    "type": "object",
    "required": [TEXT],
    "title": TEXT,
    "properties": {
        TEXT: {"type": "string", "title": TEXT, "description": TEXT, "default": TEXT, "enum": [TEXT]},
        "n": {"type": "integer", "description": TEXT, "default": TEXT, "pattern": TEXT, "format": TEXT},
    },
}
TOOL = {
    "name": TEXT,
    "title": TEXT,
    "description": TEXT,
    "inputSchema": SCHEMA,
    "outputSchema": SCHEMA,
    "annotations": {"title": TEXT, "readOnlyHint": True, TEXT: TEXT},
    "icons": [{"src": TEXT, "mimeType": TEXT}],
}
DISCOVERY = {
    "tools": [TOOL],
    "prompts": [{"name": TEXT, "title": TEXT, "description": TEXT, "arguments": [{"name": TEXT}]}],
    "resources": [{"uri": TEXT, "name": TEXT, "title": TEXT, "description": TEXT, "mimeType": TEXT}],
}
# What stands in JSON that the rows below leave empty, by `Model.field`.
SHAPES: dict[str, Any] = {
    "AuditEntry.before": {TEXT: TEXT, "source": {"url": TEXT}},
    "AuditEntry.after": {TEXT: TEXT, "source": {"url": TEXT}, "members": [TEXT]},
    "Delivery.push": {
        "ref": TEXT, "commit": TEXT, "before": TEXT, "paths": [TEXT], "sender": TEXT, "repository": TEXT,
        "urls": [TEXT], "default_branch": TEXT, "forced": True, "deleted": False,
    },
    "Build.command": [TEXT],
    "Deployment.configuration": {
        "environment": {TEXT: TEXT}, "secrets": {TEXT: TEXT}, "settings": {"command": [TEXT], "path": TEXT},
    },
    "Deployment.discovery": DISCOVERY,
    "Run.endpoints": {TEXT: TEXT},
    "Deployment.facts": {
        "era": TEXT, "protocol_versions": [TEXT], "name": TEXT, "version": TEXT, "instructions": TEXT,
        "capabilities": {TEXT: TEXT},
    },
    "Build.images": {TEXT: {"reference": TEXT, "digest": TEXT, "size": 1, "media_type": TEXT}},
    "Build.plan": {
        "ecosystem": TEXT, "root": TEXT, "member": TEXT, "tool": TEXT, "lock": TEXT, "version": TEXT,
        "dockerfile": TEXT, "target": TEXT, "command": [TEXT], "extras": [TEXT], "groups": [TEXT],
        "why": [TEXT], "tools": [TEXT], "steps": [{"kind": "install", "words": [TEXT]}],
        "chosen": {"root": TEXT, "with": [TEXT], "build": TEXT, "arguments": [TEXT], TEXT: TEXT},
    },
    "Build.platforms": [TEXT],
    "Run.handle": {"endpoint": TEXT, "data": {TEXT: TEXT}},
    "Deployment.tool_changes": {
        "against": 1, "gate": TEXT, "added": [TEXT], "removed": [TEXT], "breaking": [TEXT],
        "changed": [{"name": TEXT, "breaking": [TEXT], "other": [TEXT]}],
    },
    "Notice.payload": {
        "type": TEXT,
        "data": {"headline": TEXT, "reason": TEXT, "note": TEXT, "links": {TEXT: TEXT}},
    },
    "Server.build": {
        "ecosystem": TEXT,
        "root": TEXT, "member": TEXT, "extras": [TEXT], "groups": [TEXT], "with": [TEXT], "python": TEXT,
        "node": TEXT, "build": TEXT, "dockerfile": TEXT, "target": TEXT, "arguments": {TEXT: TEXT},
    },
    "Server.command": [TEXT],
    "Server.environment": {TEXT: TEXT},
    "Server.origin": {
        "name": TEXT, "version": TEXT, "registry": TEXT, "url": TEXT, "digest": TEXT, "answers": {TEXT: TEXT},
        "package": {"registryType": TEXT, "identifier": TEXT},
    },
    "Server.tools_allowed": [TEXT],
    "Server.tools_denied": [TEXT],
    "Step.details": {TEXT: TEXT, "digest": TEXT, "tag": TEXT, "revision": TEXT},
    "Token.tools_allowed": [TEXT],
    "Token.tools_denied": [TEXT],
    "UsageMetric.details": {TEXT: TEXT, "error": TEXT, "name": TEXT, "client": TEXT},
    "WebHook.branches": [TEXT],
    "WebHook.paths": [TEXT],
}  # fmt: skip
_NUMBERS = itertools.count(1)
Said = Callable[[int], str]


def markup(longest: int) -> str:
    return _fitting(MARKUP, longest)


def link(longest: int) -> str:
    return _fitting(LINKS, longest)


def _fitting(texts: tuple[str, ...], longest: int) -> str:
    return next((text for text in texts if len(text) <= longest), texts[-1][:longest])


def our_models() -> list[type[models.Model]]:
    every = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    return [model for model in every if model.__name__ not in INTERNAL]


def text_fields(model: type[models.Model]) -> Iterator[models.Field[Any, Any]]:
    """Where anybody's words may stand: not what has choices, which is a vocabulary of ours."""
    for field in model._meta.concrete_fields:
        kinds = (models.CharField, models.TextField, models.JSONField)
        if isinstance(field, kinds) and not field.choices and f"{model.__name__}.{field.name}" not in OWN:
            yield field


def poison(said: Said) -> None:
    """Writes `said` into every text field of every row."""
    for model in our_models():
        every = models.QuerySet(model)  # managers of ours refuse to change history
        for row in every.all():
            changed = {f.name: _poisoned(model, f, row, said) for f in text_fields(model)}
            every.filter(pk=row.pk).update(**changed) if changed else None


def _poisoned(model: type[models.Model], field: models.Field[Any, Any], row: Any, said: Said) -> Any:
    if isinstance(field, models.JSONField):
        kept = getattr(row, field.name)
        return in_json(kept or SHAPES.get(f"{model.__name__}.{field.name}", kept), said)
    longest = field.max_length or 10_000
    together = {name for unique in model._meta.total_unique_constraints for name in unique.fields}
    if not field.unique and field.name not in together:
        return said(longest)
    number = str(next(_NUMBERS))
    return said(longest - len(number)) + number


def in_json(value: Any, said: Said) -> Any:
    """`value` with every text in it replaced; keys stay, but for TEXT."""
    if isinstance(value, dict):
        return {said(10_000) if key == TEXT else key: in_json(each, said) for key, each in value.items()}
    if isinstance(value, list):
        return [in_json(each, said) for each in value]
    return said(10_000) if isinstance(value, str) else value


def holds_text(value: Any) -> bool:
    if isinstance(value, dict):
        return any(holds_text(key) or holds_text(each) for key, each in value.items())
    if isinstance(value, list):
        return any(holds_text(each) for each in value)
    return isinstance(value, str) and any(value.startswith(text[:8]) for text in (*MARKUP, *LINKS))


ADDRESSES = {"href", "src", "action", "formaction", "data", "poster", "xlink:href", "ping"}


def addresses(page: str) -> list[str]:
    """Of everything that leads somewhere, in a page's own markup."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in ADDRESSES and value)

    Reader().feed(page)
    return found


LOOK = """(leading) => {
  const found = [];
  const here = (value) => {
    const url = new URL(value, document.baseURI);
    return url.protocol === "cursor:" || (url.host === location.host && url.protocol === location.protocol);
  };
  const acts = ({ name, value }) => value.includes("pwned")
    && (/^(on|x-|@|:|hx-)/.test(name) || ["style", "srcdoc"].includes(name));
  const leads = ({ name, value }) => leading.includes(name) && value && !here(value);
  const picture = ({ name, value }) => name === "src" && /^data:image\\/(png|jpeg|gif|webp);/.test(value);
  const look = (within) => within.querySelectorAll("*").forEach((el) => {
    const told = (what) => found.push(`${what}: ${el.outerHTML.slice(0, 240)}`);
    if (el.localName.includes("pwned")) told("an element");
    if (el.localName === "script" && !el.src && el.type !== "application/json") told("a script");
    for (const attribute of el.attributes) {
      if (attribute.name.includes("pwned")) told("an attribute");
      if (acts(attribute)) told("an attribute that runs");
      if (leads(attribute) && !picture(attribute)) told("an address outside");
    }
    if (el.localName === "template") look(el.content);
  });
  look(document);
  if (document.documentElement.innerText.includes("49pwned")) found.push("a template was run");
  return found;
}"""


def in_document(document: Any, is_valid: Callable[[Any], bool], kept: frozenset[str] = frozenset()) -> Any:
    """A copy with the most hostile text that may stand in each place; `kept`: keys that are left."""
    copy = json.loads(json.dumps(document))
    for holder, key in list(_places(copy)):
        before = holder[key]
        for text in () if key in kept else MARKUP:
            holder[key] = text
            if is_valid(copy):
                break
            holder[key] = before
    return copy


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where its texts are, as container and key."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(each, str):
            yield value, key
        elif isinstance(each, (dict, list)):
            yield from _places(each)


class Watched:
    """A page on which nothing may act that is called `pwned`; `complaints` says what did, and where."""

    def __init__(self, page: Page) -> None:
        self.page, self.complaints = page, list[str]()
        self._host = ""
        page.add_init_script("window.pwned = () => console.error('pwned() was called')")
        page.on("console", lambda message: self._say(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._say(f"{error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._asked(request.url))

    def go(self, address: str) -> int:
        """Opens it, looks at it, and returns the status of the answer."""
        self._host = urlsplit(address).netloc
        answer = self.page.goto(address)
        self.look()
        return answer.status if answer else 0

    def look(self) -> None:
        for each in self.page.evaluate(LOOK, [*ADDRESSES]):
            self._say(each)

    def _dialog(self, dialog: Any) -> None:
        self._say(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc != self._host and parts.scheme not in ("data", "blob"):
            self._say(f"a request to {url}")

    def _say(self, what: str) -> None:
        if "the server responded with a status of" not in what:
            self.complaints.append(f"{self.page.url}: {what}")
