"""The tables of docs/runbook.md, as the classes and the remedies say."""

from __future__ import annotations

from collections.abc import Iterator

from servers.runbooks.facts import Facts
from servers.runbooks.remedies import REMEDIES
from servers.runbooks.table import RUNBOOKS

NOBODY = Facts(slug="notes", number=4, status="failed")


def classes() -> str:
    """One row per class of failure, in the order in which they are told apart."""
    return "\n".join(_classes()) + "\n"


def _classes() -> Iterator[str]:
    yield "| class | how it shows | what it means | first | then press |"
    yield "| --- | --- | --- | --- | --- |"
    for book in RUNBOOKS:
        press = ", ".join(f"`{name}`" for name in book.remedies)
        yield f"| `{book.name}` | {book.sign} | {book.title}. {book.means} | {book.first or '–'} | {press} |"


def remedies() -> str:
    """One row per remedy."""
    return "\n".join(_remedies()) + "\n"


def _remedies() -> Iterator[str]:
    yield "| press | button | what it does |"
    yield "| --- | --- | --- |"
    for remedy in REMEDIES.values():
        yield f"| `{remedy.name}` | {remedy.label(NOBODY)} | {remedy.does} |"
