"""Takes out of a text what nobody may read, and what a screen or a database would trip over."""

from __future__ import annotations

from redaction.redactor import Redactor

MAX_MESSAGE = 4_000
_without_secrets = Redactor()


def redact(text: str) -> str:
    """A message of bounded length without what looks like a secret, NUL and characters that a terminal obeys:
    a registry's answer may hold anything."""
    text = visible(_without_secrets(text), keep="\n\t")
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def visible(text: str, keep: str = "") -> str:
    """`text` with each character that would act and not show (controls, marks of direction) as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
