"""Merges what a document says about the installation of its package with what a person set. Pure functions.

Both have the shape of `Server.build` (see `servers.models.build_choices`); a document sets only
`OF_DOCUMENTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Build = dict[str, Any]

OF_DOCUMENTS = ("extras", "with", "python")


def joined(of_document: Mapping[str, Any], by_hand: Mapping[str, Any]) -> Build:
    """Merges both: lists are joined; of a single value, the person's is taken."""
    lists = {key: _once([*of_document[key], *by_hand[key]])
             for key, value in by_hand.items() if key in of_document and isinstance(value, list)}  # fmt: skip
    return {**of_document, **by_hand, **lists}


def carried(held: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> Build:
    """Returns the build `held` for a new version of the document.

    What the version `before` said is replaced by what the version `now` says. What a person added, removed or
    set otherwise stays.
    """
    merged = {key: _carried(held.get(key), before.get(key), now.get(key)) for key in OF_DOCUMENTS}
    others = {key: value for key, value in held.items() if key not in OF_DOCUMENTS}
    return {**others, **{key: value for key, value in merged.items() if value}}


def _carried(held: Any, before: Any, now: Any) -> Any:
    if not any(isinstance(each, list) for each in (held, before, now)):
        return now if held == before else held
    mine, said, says = (each if isinstance(each, list) else [] for each in (held, before, now))
    stays = [each for each in says if each in mine or each not in said]
    return _once([*stays, *(each for each in mine if each not in said)])


def _once(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
