"""Decides whether a push deploys a server, by branch, paths and repository. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hooks.push import Push
from hosting import globs

MOST_TEXT = 200_000  # characters of changed paths that are compared
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)")


@dataclass(frozen=True)
class Wanted:
    """What a hook deploys for. `branches` and `paths` are globs; empty `branches`: the source's `ref`.

    `url` is that of a git source, "" for other kinds, which have no branch to compare.
    """

    branches: Sequence[str] = ()
    paths: Sequence[str] = ()
    ref: str = ""
    url: str = field(default="", repr=False)


def objection(wanted: Wanted, push: Push) -> str:
    """Why this push deploys nothing; "" where it does."""
    if push.deleted:
        return f"{push.name or 'The ref'} was deleted."
    if wanted.url and push.urls and not _is_one_of(wanted.url, push.urls):
        return f"It is of {push.repository or push.urls[0]}, which is not the repository of this server."
    return _branch_objection(wanted, push) or _path_objection(wanted.paths, push)


def _branch_objection(wanted: Wanted, push: Push) -> str:
    if not push.ref:
        return ""
    if wanted.branches:
        return "" if _any(wanted.branches, push.name) else f"{push.name} does not match the branch filter."
    if not wanted.url:
        return ""
    if wanted.ref:
        return _ref_objection(wanted.ref, push)
    if not push.default_branch:
        return "Which branch is deployed is not known: set a branch filter, or the branch of the server."
    if push.name != push.default_branch:
        return f"{push.name} is not the default branch, {push.default_branch}."
    return ""


def _ref_objection(ref: str, push: Push) -> str:
    if push.name in (ref, f"tags/{ref}") or push.ref == ref:
        return ""
    if _COMMIT.fullmatch(ref):
        return f"The server is pinned to the commit {ref[:12]}."
    return f"{push.name} is not {ref}, which the server is deployed from."


def _path_objection(patterns: Sequence[str], push: Push) -> str:
    """If the changed paths are not all known, or too long to compare, the push deploys."""
    if not patterns or push.paths is None or sum(map(len, push.paths)) > MOST_TEXT:
        return ""
    if any(_path_counts(patterns, path) for path in push.paths):
        return ""
    return f"None of the {len(push.paths)} changed paths matches the path filter."


def _path_counts(patterns: Sequence[str], path: str) -> bool:
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    return (not included or _any(included, path)) and not _any(excluded, path)


def _any(patterns: Iterable[str], text: str) -> bool:
    return globs.of_paths(tuple(patterns)).match(text)


def _is_one_of(url: str, others: Iterable[str]) -> bool:
    return place(url) in {place(other) for other in others}


def place(url: str) -> tuple[str, str]:
    """Host and path of a repository. The https, ssh and scp-like forms of one address give the same
    result."""
    if found := _SCP_LIKE.fullmatch(url):
        host, path = found[1], found[2]
    else:
        try:
            parts = urlsplit(url)
        except ValueError:
            return "", url
        host, path = parts.hostname or "", parts.path
    return host.lower(), path.strip("/").removesuffix(".git").rstrip("/").lower()
