"""A class of failure. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from servers.runbooks.facts import Facts


def nothing(facts: Facts) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Runbook:
    """`sign` says how it shows and `means` what it is, of every deployment; `told` adds this one's own facts.

    `first` is what has to be done outside of the platform before pressing helps, "" where nothing is.
    `remedies` are names, the one that fits best first.
    """

    name: str
    title: str
    sign: str
    means: str
    recognises: Callable[[Facts], bool]
    remedies: tuple[str, ...]
    first: str = ""
    told: Callable[[Facts], Iterable[str]] = nothing
