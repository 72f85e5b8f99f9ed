"""Chooses the command that starts the server where a package has several."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from hosting.errors import SourceError


def choose_script(names: tuple[str, ...], package: str, where: str) -> str:
    """Returns the only name, or the one that equals the package's name. Raises `SourceError` if neither
    exists.

    `where` is the place of the names for the error, such as "bin in package.json".
    """
    if len(names) == 1:
        return names[0]
    for name in names:
        if canonicalize_name(name) == canonicalize_name(package.rpartition("/")[2]):
            return name
    raise SourceError(
        f"Which command starts the server is not clear: {where} has {', '.join(sorted(names))}.",
        hint="Set the command to one of them.",
    )
