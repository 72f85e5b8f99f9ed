"""The way to a package index, and what it says when that is closed. What lies: tests/security."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosting.errors import SourceError
from hosting.sources import package_index
from tests.security import evil
from tests.security.test_hostile_package_index import NAME, Hostile, serving

PAGE = {"files": [{"filename": NAME, "url": "/file"}]}
AWAY = "http://index.invalid"


@pytest.fixture
def index() -> Iterator[Hostile]:
    with serving() as hostile:
        headers = {"Content-Type": package_index.JSON_PAGE}
        for root in ("", AWAY):  # a proxy is asked for the whole address
            hostile.answers[f"{root}/simple/some-server/"] = 200, headers, json.dumps(PAGE).encode()
            hostile.answers[f"{root}/file"] = 200, {}, evil.wheel("some-server")
        yield hostile


def test_through_the_proxy_of_builds(index: Hostile, tmp_path: Path) -> None:
    proxy = index.url.replace("//", "//me:word@")
    index.look(tmp_path / "into", pip_index_url=f"{AWAY}/simple", proxies={"HTTP_PROXY": proxy})
    assert [path for path, _ in index.asked] == [f"{AWAY}/simple/some-server/", f"{AWAY}/file"]


def test_past_the_proxy_of_builds(index: Hostile, tmp_path: Path) -> None:
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "localhost,127.0.0.1"}
    assert index.look(tmp_path / "into", proxies=proxies).revision == "some-server==1.0"


@pytest.mark.parametrize(
    ("code", "said", "permanent"),
    [
        (401, "refuses access. Check the user and password", True),
        (403, "refuses access. Check the user and password", True),
        (404, "pypi has no package some-server", True),
        (500, "cannot be reached: it answers 500", False),
        (503, "cannot be reached", False),
    ],
)
def test_an_index_that_refuses(index: Hostile, tmp_path: Path, code: int, said: str, permanent: bool) -> None:
    for path in list(index.answers):
        index.answers[path] = code, {}, b"<b>what it says itself is nobody's business</b>"
    with pytest.raises(SourceError) as caught:
        index.look(tmp_path / "into", pip_index_url=f"{index.url.replace('//', '//me:topsecret@')}/simple")
    assert said in str(caught.value)
    assert caught.value.permanent is permanent
    assert "topsecret" not in f"{caught.value} {caught.value.details}"
