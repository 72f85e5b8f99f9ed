from __future__ import annotations

import pytest

from registry.reference import InvalidReference, Reference, is_loopback, normalise_platform

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("registry.example/team/app:v1", "registry.example", "team/app", "v1", ""),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app", "", ""),
        ("localhost/app:v1", "localhost", "app", "v1", ""),
        ("[::1]:5000/app:v1", "[::1]:5000", "app", "v1", ""),
        (f"r.example:5000/a/b/c:v1@{DIGEST}", "r.example:5000", "a/b/c", "v1", DIGEST),
        ("python:3.12-slim", "docker.io", "library/python", "3.12-slim", ""),
        ("index.docker.io/acme/app", "docker.io", "acme/app", "", ""),
    ],
)
def test_parse(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    assert Reference.parse(text) == Reference(host, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r.example/UPPER:v1",
        "r.example/app:",
        "r.example/app:-x",
        "r.example/a//b",
        "r.example/../etc",
        "r.example/app@sha256:short",
        "r.example/app@",
        "r.example/app:v 1",
        "r.example/app?x=1",
        "user:secret@r.example/app",
        "r.example/" + "a" * 256,
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidReference):
        Reference.parse(text)


def test_endpoint_and_scopes_are_the_contracts() -> None:
    ref = Reference.parse("127.0.0.1:5000/team/app:v1")
    assert ref.endpoint == "127.0.0.1:5000/team/app"
    assert ref.scopes == ("repository:team/app:push", "repository:team/app:pull")


def test_each_platform_has_its_own_tag() -> None:
    ref = Reference.parse("r.example/app:v1")
    tags = [
        ref.for_platform(name).tag for name in ("linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/arm")
    ]
    assert tags == ["v1-linux-amd64", "v1-linux-arm64", "v1-linux-arm-v7", "v1-linux-arm-v7"]


def test_a_platforms_tag_is_never_too_long() -> None:
    assert len(Reference("r.example", "app", "v" * 128).for_platform("linux/arm64").tag) == 128


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
    ],
)
def test_normalise_platform(text: str, normal: str) -> None:
    assert normalise_platform(text) == normal


@pytest.mark.parametrize("text", ["", "linux", "/amd64", "linux/"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(InvalidReference):
        normalise_platform(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("localhost:1", True),
        ("[::1]:5000", True),
        ("r.example", False),
        ("127.0.0.1.r.example", False),
        ("localhost.r.example", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
