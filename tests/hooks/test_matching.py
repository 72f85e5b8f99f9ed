"""Which pushes deploy. No database."""

from __future__ import annotations

import pytest

from hooks.matching import Wanted, objection, place
from hooks.push import Push

URL = "https://github.com/octo/hello.git"
GIT = "git@github.com:octo/hello.git"


def push(
    ref: str = "refs/heads/main", paths: tuple[str, ...] | None = ("src/app.py",), **more: object
) -> Push:
    given = {"urls": (GIT, URL), "default_branch": "main", "commit": "a" * 40, **more}
    return Push(ref=ref, paths=paths, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "given", "why"),
    [
        (Wanted(url=URL), push(), ""),
        (Wanted(url=URL), push("refs/heads/topic"), "not the default branch"),
        (Wanted(url=URL), push("refs/tags/main"), "not the default branch"),
        (Wanted(url=URL), push(default_branch=""), "not known"),
        (Wanted(url=URL, ref="topic"), push("refs/heads/topic"), ""),
        (Wanted(url=URL, ref="topic"), push(), "main is not topic"),
        (Wanted(url=URL, ref="v1"), push("refs/tags/v1"), ""),
        (Wanted(url=URL, ref="refs/heads/main"), push(), ""),
        (Wanted(url=URL, ref="b" * 40), push(), "pinned to the commit bbbb"),
        (Wanted(url=URL, branches=["release/*"]), push("refs/heads/release/1"), ""),
        (Wanted(url=URL, branches=["release/*"]), push("refs/heads/release/1/x"), "branch filter"),
        (Wanted(url=URL, branches=["release/**"]), push("refs/heads/release/1/x"), ""),
        (Wanted(url=URL, branches=["*"]), push("refs/tags/v1"), "branch filter"),
        (Wanted(url=URL, branches=["tags/v*"]), push("refs/tags/v1.2"), ""),
        (Wanted(url=URL, branches=["main"]), push(deleted=True), "was deleted"),
        (Wanted(url="https://github.com/fork/hello"), push(), "not the repository"),
        (Wanted(url=URL), push(urls=()), ""),
        (Wanted(), push("refs/heads/any"), ""),
        (Wanted(branches=["main"]), push("refs/heads/any"), "branch filter"),
        (Wanted(url=URL), Push(), ""),
    ],
)
def test_branches_and_repositories(wanted: Wanted, given: Push, why: str) -> None:
    said = objection(wanted, given)
    assert (why in said) if why else said == ""


@pytest.mark.parametrize(
    ("patterns", "paths", "deploys"),
    [
        (["src/**"], ("src/a/b.py",), True),
        (["src/*"], ("src/a/b.py",), False),
        (["src/"], ("src/a/b.py",), True),
        (["**/*.py"], ("app.py",), True),
        (["**/*.py"], ("docs/app.md",), False),
        (["!docs/**"], ("docs/a.md",), False),
        (["!docs/**"], ("docs/a.md", "app.py"), True),
        (["src/**", "!src/**/*.md"], ("src/a/b.md",), False),
        (["*.toml"], (), False),
        (["a.c"], ("abc",), False),
        (["src/**"], None, True),
        ([], ("anything",), True),
    ],
)
def test_paths(patterns: list[str], paths: tuple[str, ...] | None, deploys: bool) -> None:
    assert (objection(Wanted(paths=patterns), push(paths=paths)) == "") is deploys


@pytest.mark.parametrize(
    "url",
    [
        "https://GitHub.com/Octo/hello",
        "https://github.com/octo/hello.git/",
        "git@github.com:octo/hello.git",
        "github.com:octo/hello",
        "ssh://git@github.com:22/octo/hello.git",
        "git://github.com/octo/hello.git",
    ],
)
def test_one_repository_has_many_addresses(url: str) -> None:
    assert place(url) == ("github.com", "octo/hello")


def test_addresses_that_are_none() -> None:
    assert place("http://[") != place(URL)
    assert place("file:///srv/git/hello.git") == ("", "srv/git/hello")
