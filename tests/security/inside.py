"""An inner service, a name service that belongs to the attacker, and a platform that names no inner host."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.registry.http import Response, serving
from tests.registry.http import Server as Listener

SECRET = "the inner page says: open sesame"


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """`leads[name]`: what the name service answers, one after the other, the last one again and again."""
    names: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        answers = names.get(host)
        if answers:
            host = answers.pop(0) if len(answers) > 1 else answers[0]
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def inside() -> Iterator[Listener]:
    """What only this network should reach: it answers whoever asks."""
    with serving(lambda _: Response(500, SECRET.encode(), {"Content-Type": "text/plain"})) as listener:
        yield listener


@pytest.fixture
def unnamed(settings: Any, quick: None) -> Any:
    """A platform whose operator named no inner host."""
    settings.REGISTRY_PRIVATE_HOSTS, settings.GIT_PRIVATE_HOSTS, settings.REGISTRY_INSECURE = [], [], []
    settings.REGISTRY = settings.REGISTRY_ADDRESS = ""
    settings.REGISTRY_SHARED_PREFIXES = []
    return settings
