from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hosting.deadline import Deadline
from hosting.errors import RuntimeFault
from registry.reference import Reference
from servers.deploying import wiring
from servers.models import Server
from tests.certificates import write_certificate
from tests.hosting.sources.git_server import Repository, serving

IMAGE = Reference.parse("r.example:5000/team/notes:1")


@pytest.fixture
def config(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
    wiring.credentials.cache_clear()
    yield tmp_path / "config.json"
    wiring.credentials.cache_clear()


def test_a_pull_without_readable_credentials_says_so(config: Path) -> None:
    config.write_text('{"auths": [')
    with pytest.raises(RuntimeFault, match=r"not valid JSON .*REGISTRY_AUTH_DOCKERCONFIG") as raised:
        wiring.registry_auth(IMAGE)
    assert raised.value.kind == "auth_expired"

    config.write_text("{}")
    assert wiring.registry_auth(IMAGE) is None


def test_the_engine_is_told_the_login_of_the_images_namespace(config: Path) -> None:
    logins = {f"r.example:5000/{space}": {"username": space, "password": "x"} for space in ("team", "other")}
    config.write_text(json.dumps({"auths": logins}))
    for space in logins:
        told = wiring.registry_auth(Reference.parse(f"{space}/notes:1"))
        assert told is not None
        assert (told["username"], told["serveraddress"]) == (space.partition("/")[2], "r.example:5000")
    assert wiring.registry_auth(Reference.parse("r.example:5000/third/notes:1")) is None


def test_a_forge_with_its_own_authority_is_trusted(
    tmp_path: Path, settings: Settings, server: Server, quick: None
) -> None:
    certificate, key = write_certificate(tmp_path)
    settings.BUILD_CA_BUNDLE = certificate
    head = Repository(tmp_path / "forge" / "own").commit("First", server__py="print(1)\n")
    with serving(tmp_path / "forge") as forge:
        forge.speak_tls(certificate, key)
        server.source_kind, server.source = "git", {"url": forge.url("own")}
        fetched = wiring.source_of(server).fetch(tmp_path / "into", deadline=Deadline.of(60), log=print)

    assert fetched.revision == head
