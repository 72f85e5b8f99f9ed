"""Which of several commands of a package starts the server."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from hosting.errors import SourceError


def choose_script(names: tuple[str, ...], package: str, where: str) -> str:
    """The one script of a package, or the one of several that bears its name. Raises `SourceError`."""
    if len(names) == 1:
        return names[0]
    for name in names:
        if canonicalize_name(name) == canonicalize_name(package.rpartition("/")[2]):
            return name
    raise SourceError(
        f"Which command starts the server is not clear: {where} has {', '.join(sorted(names))}.",
        hint="Set the command to one of them.",
    )
