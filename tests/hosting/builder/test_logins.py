from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hosting.builder import logins
from hosting.errors import BuildError
from registry.credentials import CredentialStore
from registry.dockerconfig import HUB_KEY
from registry.pull_rights import PullRights
from registry.pulls import Pulls

PLAIN, CLOUD, AWAY, DIRECT = "r.example:5000", "cloud.example", "away.example", "direct.example"
SHARED = PullRights(shared=(PLAIN, CLOUD, AWAY, DIRECT, "docker.io"))
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
    """`made(dockerfile, **config)`: the entries for a build of it, and what its log was told. Every team may
    pull everything: what may be, is in tests/security.
    """

    def make(dockerfile: str, **config: object) -> tuple[Any, list[str]]:
        path, lines = tmp_path / ".dockerconfigjson", list[str]()
        path.write_text(json.dumps(config))
        plan = logins.plan(Pulls(SHARED, CredentialStore(path)), dockerfile, {}, lines.append)
        return json.loads(plan.config).get("auths", {}), lines

    return make


Made = Callable[..., tuple[Any, list[str]]]
Asked = Callable[[], list[str]]


def test_entries_of_the_file_in_every_form(made: Made) -> None:
    entries = {
        PLAIN: {"username": "ci", "password": "password"},
        "https://cloud.example/v2/": {"identitytoken": "renewable"},
        DIRECT: {"registrytoken": "as it is"},
        HUB_KEY: CI,
        "nobody.example": {},
    }
    named = "".join(f"FROM {host}/x\n" for host in (PLAIN, CLOUD, DIRECT, "nobody.example"))
    auths, lines = made(f"{named}FROM x\n", auths=entries)

    assert auths == {
        PLAIN: CI,
        CLOUD: {"identitytoken": "renewable"},
        DIRECT: {"registrytoken": "as it is"},
        HUB_KEY: CI,
    }
    assert not lines


def test_a_namespace_of_the_file_answers_for_its_images(made: Made) -> None:
    other = {"auth": b64encode(b"other:secret").decode()}
    auths = {f"{PLAIN}/team": CI, f"{PLAIN}/other": other, PLAIN: {"auth": b64encode(b"any:x").decode()}}
    named = f"FROM {PLAIN}/team/a AS a\nFROM {PLAIN}/team/b\n"
    assert made(named, auths=auths) == ({PLAIN: CI}, [])

    given, lines = made(f"FROM {PLAIN}/other/a AS a\nFROM {PLAIN}/team/b\n", auths=auths)
    assert given == {PLAIN: other}
    (line,) = lines
    assert line == (
        f"BuildKit takes one login for {PLAIN}, and the images named from there have several: that for "
        "other/a is given."
    )


def test_helpers_are_asked_with_the_platforms_environment_for_what_is_named(asked: Asked, made: Made) -> None:
    auths, lines = made(
        f"ARG FROM_WHERE={CLOUD}\nFROM $FROM_WHERE/base:1 AS base\nFROM {PLAIN}/x\n",
        auths={PLAIN: CI, DIRECT: CI},
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
        (f"# syntax={CLOUD}/frontend:1\nFROM scratch\n", {CLOUD}),
        (f"FROM scratch\nCOPY --from={PLAIN}/tools:1 /a /a\n", {PLAIN}),
        (f"FROM scratch\nRUN --mount=type=bind,from={PLAIN}/tools,target=/t x\n", {PLAIN}),
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
    pulls = Pulls(SHARED, CredentialStore(tmp_path / "config.json"))

    assert logins.plan(pulls, "FROM x\n", {}, lines.append).config == "{}"
    (line,) = lines
    assert "is not valid JSON" in line
    assert "c2VjcmV0" not in line


def test_no_file_no_login() -> None:
    assert logins.plan(Pulls(SHARED), f"FROM {CLOUD}/x\n", {}, pytest.fail).config == "{}"


def test_a_dockerfile_of_nothing_but_blank_lines_is_read_at_once(made: Made) -> None:
    """A pattern that began anew in each of them took hours."""
    assert made("\n" * 1_000_000 + f"FROM {PLAIN}/x\n", auths={PLAIN: CI})[0] == {PLAIN: CI}


def test_a_dockerfile_that_names_thousands_of_registries_is_refused_before_one_is_asked(
    made: Made, asked: Asked
) -> None:
    with pytest.raises(BuildError, match="more than 32 registries"):
        made("".join(f"FROM r{number}.example/x\n" for number in range(5000)), credsStore="cloud")
    assert not asked()
