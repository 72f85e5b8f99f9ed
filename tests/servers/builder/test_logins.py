from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.credentials import CredentialStore
from registry.dockerconfig import HUB_KEY
from servers.builder import logins

PLAIN, CLOUD, AWAY = "r.example:5000", "cloud.example", "away.example"
CI = {"auth": b64encode(b"ci:password").decode()}
HELPED = {"auth": b64encode(b"AWS:of-the-environment").decode()}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Helpers on PATH: `cloud` needs a variable that no build tool sees, `broken` fails. Gives the calls."""
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CLOUD_SECRET", "of-the-environment")
    answer = 'printf \'{"Username":"AWS","Secret":"%s"}\' "$CLOUD_SECRET"'
    for name, script in (("cloud", answer), ("broken", "exit 3")):
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f'#!/bin/sh\nread server\necho "$server" >> {calls}\n{script}\n')
        program.chmod(0o755)
    return lambda: calls.read_text().split() if calls.exists() else []


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Any, list[str]]]:
    """`made(dockerfile, **config)`: the entries for a build of it, and what its log was told."""

    def make(dockerfile: str, **config: object) -> tuple[Any, list[str]]:
        path, lines = tmp_path / ".dockerconfigjson", list[str]()
        path.write_text(json.dumps(config))
        text = logins.docker_config(CredentialStore(path), dockerfile, lines.append)
        return json.loads(text).get("auths", {}), lines

    return make


Made = Callable[..., tuple[Any, list[str]]]
Asked = Callable[[], list[str]]


def test_entries_of_the_file_in_every_form(made: Made) -> None:
    entries = {
        PLAIN: {"username": "ci", "password": "password"},
        "https://cloud.example/v2/": {"identitytoken": "renewable"},
        "direct.example": {"registrytoken": "as it is"},
        HUB_KEY: CI,
        "nobody.example": {},
    }
    auths, lines = made("FROM x\n", auths=entries)

    assert auths == {
        PLAIN: CI,
        CLOUD: {"identitytoken": "renewable"},
        "direct.example": {"registrytoken": "as it is"},
        HUB_KEY: CI,
    }
    assert not lines


def test_helpers_are_asked_with_the_platforms_environment_for_what_is_named(asked: Asked, made: Made) -> None:
    auths, lines = made(
        f"ARG FROM_WHERE={CLOUD}\nFROM $FROM_WHERE/base:1\n",
        auths={PLAIN: CI},
        credHelpers={CLOUD: "cloud", AWAY: "broken"},
    )

    assert auths == {PLAIN: CI, CLOUD: HELPED}
    assert (asked(), lines) == ([CLOUD], [])


def test_a_helper_that_fails_leaves_the_others_alone(asked: Asked, made: Made) -> None:
    text = f"FROM {CLOUD}/a AS a\nFROM --platform=$BUILDPLATFORM {AWAY}/b\n"
    auths, lines = made(text, credHelpers={CLOUD: "cloud", AWAY: "broken"})

    assert auths == {CLOUD: HELPED}
    (line,) = lines
    assert line.startswith(f"There is no login for {AWAY}: ")
    assert "docker-credential-broken" in line


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        (f"from {CLOUD}/base:1\n", {CLOUD}),
        (f"# syntax={CLOUD}/frontend:1\nFROM scratch\n", {CLOUD, HUB_KEY}),
        (f"FROM scratch\nCOPY --from={PLAIN}/tools:1 /a /a\n", {PLAIN, HUB_KEY}),
        (f"FROM scratch\nRUN --mount=type=bind,from={PLAIN}/tools,target=/t x\n", {PLAIN, HUB_KEY}),
        (f'ARG BASE="{CLOUD}/base"\nFROM ${{BASE}}\n', {CLOUD}),
        ("FROM python:3.12-slim\n", {HUB_KEY}),
    ],
)
def test_a_store_is_asked_for_what_is_named(asked: Asked, made: Made, text: str, hosts: set[str]) -> None:
    auths, lines = made(text, credsStore="cloud")

    assert auths == dict.fromkeys(hosts, HELPED)
    assert set(asked()) == hosts
    assert not lines


def test_a_file_that_cannot_be_read_makes_pulls_anonymous(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "config.json").write_text('{"auths": {"r.example": {"auth": "c2VjcmV0')

    text = logins.docker_config(CredentialStore(tmp_path / "config.json"), "FROM x\n", lines.append)
    assert text == "{}"
    (line,) = lines
    assert "is not valid JSON" in line
    assert "c2VjcmV0" not in line


def test_no_file_no_login() -> None:
    assert logins.docker_config(CredentialStore(None), f"FROM {CLOUD}/x\n", pytest.fail) == "{}"


def test_a_dockerfile_of_nothing_but_blank_lines_is_read_at_once(made: Callable[..., Any]) -> None:
    """A pattern that began anew in each of them took hours."""
    assert made("\n" * 1_000_000 + f"FROM {PLAIN}/x\n", auths={PLAIN: CI})[0] == {PLAIN: CI}


def test_a_dockerfile_that_names_thousands_of_hosts_runs_no_helper_for_each(
    made: Callable[..., Any], asked: Callable[[], list[str]]
) -> None:
    made("".join(f"FROM r{number}.example/x\n" for number in range(5000)), credsStore="cloud")
    assert len(asked()) == logins.MAX_NAMED
