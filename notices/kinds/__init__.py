"""The kinds of channels: each other file of this folder but `base.py` is one, under its own name.

Choices, form, API and sender read them from here. They are found at the first look, for a process that only
serves calls needs none.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notices.kinds.base import Kind

DEFAULT = "generic"


@cache
def found() -> dict[str, Kind]:
    """Returns the kinds by name, in the order of their names."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name != "base")
    return {name: import_module(f"{__name__}.{name}").KIND for name in names}


def of(name: str) -> Kind:
    """Returns the kind of this name. For a name that this version does not know, it refuses every URL."""
    return found().get(name) or import_module(f"{__name__}.base").UNKNOWN


def choices() -> list[tuple[str, str]]:
    """Returns names and labels. The column calls it, so that a new kind needs no migration."""
    return [(name, kind.label) for name, kind in found().items()]
