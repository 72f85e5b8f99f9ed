from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from servers import wiring
from servers.errors import RuntimeFault


@pytest.fixture
def config(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
    wiring.credentials.cache_clear()
    yield tmp_path / "config.json"
    wiring.credentials.cache_clear()


def test_a_pull_without_readable_credentials_says_so(config: Path) -> None:
    config.write_text('{"auths": [')
    with pytest.raises(RuntimeFault, match=r"not valid JSON .*REGISTRY_AUTH_DOCKERCONFIG") as raised:
        wiring.registry_auth("r.example:5000")
    assert raised.value.kind == "auth_expired"

    config.write_text("{}")
    assert wiring.registry_auth("r.example:5000") is None
