"""Whoever may name a repository names an address, and git asks there from inside of the platform's network:
for itself, for a redirect and for a submodule alike."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources.git import GitSource
from servers.validation import clean_source
from tests.hosting.sources import git_server
from tests.hosting.sources.git_server import Repository
from tests.registry.http import Server as Listener
from tests.security.inside import inside, leads, unnamed

__all__ = ["inside", "leads", "unnamed"]


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[git_server.GitServer]:
    Repository(tmp_path / "forge" / "server").commit("First", server__py="print(1)\n")
    with git_server.serving(tmp_path / "forge") as server:
        yield server


def clone(url: str, into: Path, *named: str) -> str:
    source = GitSource(url, protocols=("http", "https", "ssh"), private_hosts=named)
    return source.fetch(into, deadline=Deadline.of(60), log=print).revision


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "ssh://git@10.0.0.1/x",
        "git@127.1:x/y",
        "https://localhost/x",
    ],
)
def test_a_repository_at_an_inner_address(unnamed: Any, url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="GIT_PRIVATE_HOSTS"):
        clone(url, tmp_path / "into")
    with pytest.raises(ValidationError, match="GIT_PRIVATE_HOSTS"):
        clean_source("git", {"url": url})


@pytest.mark.parametrize("scheme", ["http", "https", "ssh"])
def test_a_repository_at_a_name_that_leads_inside(
    scheme: str, inside: Listener, leads: dict[str, list[str]], tmp_path: Path
) -> None:
    leads["forge.example"] = ["127.0.0.1"]
    url = f"{scheme}://forge.example:{inside.host.rpartition(':')[2]}/x"
    with pytest.raises(SourceError, match=r"forge\.example is an address of this machine") as caught:
        clone(url, tmp_path / "into")
    assert not inside.requests
    assert "sesame" not in json.dumps(caught.value.details)


def test_a_repository_of_a_named_forge(forge: git_server.GitServer, tmp_path: Path) -> None:
    assert clone(forge.url("server"), tmp_path / "into", f"127.0.0.1:{forge.server_port}")


class _Redirecting(BaseHTTPRequestHandler):
    to = ""

    def do_GET(self) -> None:
        self.send_response(301)
        self.send_header("Location", self.to + self.path)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_named_forge_that_redirects_to_another_inner_service(inside: Listener, tmp_path: Path) -> None:
    handler = type("Redirecting", (_Redirecting,), {"to": f"http://{inside.host}"})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        named = f"127.0.0.1:{server.server_port}"
        with pytest.raises(SourceError, match="is an address of this machine"):
            clone(f"http://{named}/x", tmp_path / "into", named)
        server.shutdown()
    assert not inside.requests


def test_a_submodule_inside(forge: git_server.GitServer, inside: Listener, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "forge" / "outer")
    (repository.path / ".gitmodules").write_text(
        f'[submodule "inner"]\n\tpath = inner\n\turl = http://{inside.host}/inner\n'
    )
    head = Repository(tmp_path / "elsewhere").commit("x")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{head},inner")
    repository.git("add", ".gitmodules")
    repository.git("commit", "--quiet", "-m", "Use the inside")
    with pytest.raises(SourceError, match="is an address of this machine"):
        clone(forge.url("outer"), tmp_path / "into", f"127.0.0.1:{forge.server_port}")
    assert not inside.requests
