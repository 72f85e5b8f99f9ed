from __future__ import annotations

import pytest

from registry.pull_rights import PullRights, Way, is_official, login_host
from registry.reference import Reference

RIGHTS = PullRights(
    homes=("registry.example:5000/team", "docker.io/mcphost"),
    own=frozenset({"mine"}),
    others=frozenset({"theirs"}),
    shared=("registry.example:5000/base", "ghcr.io", "docker.io/acme/python"),
    logins=frozenset({"quay.example"}),
)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("registry.example:5000/team/mine:1", Way.PLATFORM),
        ("REGISTRY.example:5000/team/mine:1", Way.PLATFORM),
        ("registry.example:5000/team/mine/cache:1", Way.PLATFORM),
        ("mcphost/mine:1-linux-amd64", Way.PLATFORM),
        ("registry.example:5000/team/theirs:1", Way.REFUSED),
        ("registry.example:5000/team/theirs/cache:1", Way.REFUSED),
        ("registry.example:5000/team/minefield:1", Way.ANONYMOUS),
        ("registry.example:5000/other/mine:1", Way.ANONYMOUS),
        ("registry.example/team/theirs:1", Way.ANONYMOUS),
        ("registry.example:5000/base/python:3", Way.PLATFORM),
        ("registry.example:5000/base:1", Way.PLATFORM),
        ("registry.example:5000/basement:1", Way.ANONYMOUS),
        ("registry.example:5000/base-2/x:1", Way.ANONYMOUS),
        ("ghcr.io/anybody/anything", Way.PLATFORM),
        ("ghcr.io.evil.example/anybody/anything", Way.ANONYMOUS),
        ("acme/python:3", Way.PLATFORM),
        ("index.docker.io/acme/python:3", Way.PLATFORM),
        ("acme/node:3", Way.ANONYMOUS),
        ("quay.example/x/y", Way.TEAM),
        ("quay.example:443/x/y", Way.TEAM),
        ("quay.example:8443/x/y", Way.ANONYMOUS),
    ],
)
def test_the_way_to_an_image(text: str, way: Way) -> None:
    assert RIGHTS.way_to(Reference.parse(text)) is way


@pytest.mark.parametrize(
    ("prefix", "way"),
    [
        ("registry.example:5000", Way.REFUSED),
        ("registry.example:5000/team", Way.REFUSED),
        ("registry.example:5000/team/theirs", Way.PLATFORM),
        ("registry.example:5000/team/theirs/", Way.PLATFORM),
        ("registry.example:5000/team/their", Way.REFUSED),
    ],
)
def test_a_prefix_opens_a_servers_repository_by_its_name_only(prefix: str, way: Way) -> None:
    rights = PullRights(RIGHTS.homes, RIGHTS.own, RIGHTS.others, (prefix,))
    assert rights.way_to(Reference.parse("registry.example:5000/team/theirs:1")) is way


def test_a_registry_without_a_prefix_is_a_home_too() -> None:
    rights = PullRights(("registry.example:5000",), frozenset({"mine"}), frozenset({"theirs"}))
    assert rights.way_to(Reference.parse("registry.example:5000/theirs:1")) is Way.REFUSED
    assert rights.way_to(Reference.parse("registry.example:5000/mine@sha256:" + "a" * 64)) is Way.PLATFORM
    assert rights.way_to(Reference.parse("registry.example:5000/base/python")) is Way.ANONYMOUS


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:5000", "localhost:5000", "LOCALHOST:5000", "127.1:5000", "0x7f000001:5000", "[::1]:5000",
     "0.0.0.0:5000", "[::ffff:127.0.0.1]:5000", "here.localhost:5000", "127.9.9.9:5000"],
)  # fmt: skip
def test_every_name_of_this_machine_is_one(host: str) -> None:
    rights = PullRights(("127.0.0.1:5000/team",), others=frozenset({"theirs"}))
    assert rights.way_to(Reference(host, "team/theirs")) is Way.REFUSED


def test_dockers_own_images_are_everybodys() -> None:
    assert is_official(Reference.parse("debian:12"))
    assert is_official(Reference.parse("docker/dockerfile:1"))
    assert not is_official(Reference.parse("acme/debian:12"))
    assert not is_official(Reference.parse("registry.example/library/debian:12"))


@pytest.mark.parametrize(
    ("host", "key"),
    [("Quay.Example", "quay.example"), ("quay.example:443", "quay.example"), ("index.docker.io", "docker.io"),
     ("127.0.0.1:5000", "127.0.0.1:5000"), ("quay.example:80", "quay.example:80")],
)  # fmt: skip
def test_a_login_is_its_origins(host: str, key: str) -> None:
    assert login_host(host) == key
