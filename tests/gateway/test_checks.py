"""Settings that cannot work, or cannot be meant, end the start."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from gateway import checks, options
from gateway.options import Trust


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"OAUTH_ISSUER": "https://login.example", "PUBLIC_URL": "https://mcp.example"}, []),
        ({"OAUTH_ISSUER": "https://login.example", "OAUTH_AUDIENCE": ["mcp"]}, []),
        ({"OAUTH_ISSUER": "http://127.0.0.1:9000", "PUBLIC_URL": "https://mcp.example"}, []),
        ({"OAUTH_ISSUER": "https://login.example"}, ["gateway.E002"]),
        ({"OAUTH_ISSUER": "http://login.example", "OAUTH_AUDIENCE": ["mcp"]}, ["gateway.E001"]),
        (
            {
                "OAUTH_ISSUER": "https://login.example",
                "OAUTH_JWKS_URL": "http://login.example/keys",
                "OAUTH_AUDIENCE": ["mcp"],
            },
            ["gateway.E001"],
        ),
    ],
)
def test_issuer(settings: Settings, given: dict[str, object], found: list[str]) -> None:
    for name, value in given.items():
        setattr(settings, name, value)
    assert [message.id for message in checks.issuer()] == found


def test_tracing_needs_an_sdk(settings: Settings) -> None:
    assert list(checks.tracing()) == []
    settings.TRACING = True
    assert [message.id for message in checks.tracing()] == ["gateway.E003"]


def test_options_come_from_the_settings(settings: Settings) -> None:
    assert options.from_settings().trust is None
    settings.OAUTH_ISSUER, settings.OAUTH_SCOPES = "https://login.example/", ["mcp"]
    settings.RATE_LIMIT_PER_TOKEN, settings.RATE_LIMIT_PER_SERVER = 60, 600
    made = options.from_settings()
    assert made.trust == Trust("https://login.example/", scopes=("mcp",))
    assert (made.rate_per_token, made.rate_per_server, made.tracing) == (60, 600, False)
