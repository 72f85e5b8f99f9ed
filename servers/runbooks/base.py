"""The type of a class of failure. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from servers.runbooks.facts import Facts


def nothing(facts: Facts) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Runbook:
    """A class of failure, with texts for users.

    `sign` says how it shows and `means` what it means, for every deployment; `told` adds facts of this one.
    `first` is what has to be done outside of the platform before a remedy helps, or "". `remedies` are names
    of `remedies.REMEDIES`, the best one first.
    """

    name: str
    title: str
    sign: str
    means: str
    recognises: Callable[[Facts], bool]
    remedies: tuple[str, ...]
    first: str = ""
    told: Callable[[Facts], Iterable[str]] = nothing
