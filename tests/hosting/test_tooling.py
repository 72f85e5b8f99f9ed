from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hosting import tooling
from hosting.build_settings import BuildSettings
from hosting.deadline import Deadline


def test_tools_see_an_allow_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "UV_PUBLISH_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "ours")
    for name in ("PIP_TIMEOUT", "npm_config_retries", "https_proxy", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "theirs")

    env = tooling.environment(BuildSettings(), tmp_path)

    assert "ours" not in env.values()
    assert {name for name, value in env.items() if value == "theirs"} == {
        "PIP_TIMEOUT",
        "npm_config_retries",
        "https_proxy",
        "SSL_CERT_DIR",
    }
    assert env["HOME"] == str(tmp_path)


def test_settings_reach_tools(tmp_path: Path) -> None:
    settings = BuildSettings(
        pip_index_url="https://index.example/simple",
        npm_registry="https://npm.example/",
        ca_bundle=Path("/ca.pem"),
        proxies={"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": ""},
        cache=tmp_path / "cache",
    )

    env = tooling.environment(settings, tmp_path)

    assert env["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert env["npm_config_registry"] == "https://npm.example/"
    assert env["SSL_CERT_FILE"] == env["NODE_EXTRA_CA_CERTS"] == env["GIT_SSL_CAINFO"] == "/ca.pem"
    assert env["HTTPS_PROXY"] == env["https_proxy"] == "http://proxy.example"
    assert env["UV_CACHE_DIR"] == str(tmp_path / "cache/uv")


def test_credentials_in_urls_are_not_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    say = "print('GET https://user:pw@host/x and https://host/y failed'); raise SystemExit(3)"

    outcome = tooling.run([sys.executable, "-c", say], env={}, deadline=Deadline.of(30), log=lines.append)

    assert lines == ["GET https://***@host/x and https://host/y failed"]
    assert (outcome.code, outcome.lines) == (3, tuple(lines))
