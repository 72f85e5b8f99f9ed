from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hosting.errors import RuntimeFault
from registry.reference import Reference
from servers.deploying import registries

IMAGE = Reference.parse("r.example:5000/team/notes:1")


@pytest.fixture
def config(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
    registries.credentials.cache_clear()
    yield tmp_path / "config.json"
    registries.credentials.cache_clear()


def test_a_pull_without_readable_credentials_says_so(config: Path) -> None:
    config.write_text('{"auths": [')
    with pytest.raises(RuntimeFault, match=r"not valid JSON .*REGISTRY_AUTH_DOCKERCONFIG") as raised:
        registries.engine_auth(IMAGE)
    assert raised.value.kind == "auth_expired"

    config.write_text("{}")
    assert registries.engine_auth(IMAGE) is None


def test_the_engine_is_told_the_login_of_the_images_namespace(config: Path) -> None:
    logins = {f"r.example:5000/{space}": {"username": space, "password": "x"} for space in ("team", "other")}
    config.write_text(json.dumps({"auths": logins}))
    for space in logins:
        told = registries.engine_auth(Reference.parse(f"{space}/notes:1"))
        assert told is not None
        assert (told["username"], told["serveraddress"]) == (space.partition("/")[2], "r.example:5000")
    assert registries.engine_auth(Reference.parse("r.example:5000/third/notes:1")) is None
