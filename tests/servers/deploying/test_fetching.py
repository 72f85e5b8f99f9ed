from __future__ import annotations

from pathlib import Path

from pytest_django.fixtures import Settings

from hosting.deadline import Deadline
from servers.deploying import fetching
from servers.models import Server
from tests.certificates import write_certificate
from tests.hosting.sources.git_server import Repository, serving


def test_a_forge_with_its_own_authority_is_trusted(
    tmp_path: Path, settings: Settings, server: Server, quick: None
) -> None:
    certificate, key = write_certificate(tmp_path)
    settings.BUILD_CA_BUNDLE = certificate
    head = Repository(tmp_path / "forge" / "own").commit("First", server__py="print(1)\n")
    with serving(tmp_path / "forge") as forge:
        forge.speak_tls(certificate, key)
        server.source_kind, server.source = "git", {"url": forge.url("own")}
        fetched = fetching.source_of(server).fetch(tmp_path / "into", deadline=Deadline.of(60), log=print)

    assert fetched.revision == head
