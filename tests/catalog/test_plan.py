"""Document + package + answers → a server's description: pure functions on dicts."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import packages, plan
from catalog.packages import Option
from catalog.plan import BadAnswers, Plan
from hosting.errors import UserError
from tests.catalog import documents

BOTH = ("process", "docker")


def option(package: dict[str, Any], runtimes: tuple[str, ...] = BOTH) -> Option:
    return packages.options(documents.document(package), runtimes)[0]


def made(package: dict[str, Any], runtime: str = "docker", kept: str = "", **answers: Any) -> Plan:
    return plan.make(
        documents.document(package),
        option(package),
        answers,
        runtime=runtime,
        kept_secrets=frozenset(kept.split()),
    )


def test_an_npm_package_with_a_secret_and_a_default() -> None:
    it = made(documents.SEARCH, SEARCH_API_KEY="s3cr3t")
    assert it.fields == {
        "name": "Weather",
        "source_kind": "package",
        "source": {"ecosystem": "npm", "name": "@example/server-search", "version": "1.2.0",
                   "command": "", "arguments": []},
        "transport": "stdio", "port": 8000, "path": "/mcp",
        "environment": {"LOG_LEVEL": "info"},
    }  # fmt: skip
    assert it.secrets == {"SEARCH_API_KEY": "s3cr3t"}
    assert "s3cr3t" not in repr(it)
    assert "s3cr3t" not in str(it.origin)


def test_an_answer_that_was_emptied_is_not_the_default() -> None:
    assert made(documents.SEARCH, SEARCH_API_KEY="x", LOG_LEVEL="").fields["environment"] == {}


def test_repeated_positionals_follow_in_order() -> None:
    it = made(documents.FILES_NPM, target_dir=["/data/a", "/data/b"])
    assert it.fields["source"]["arguments"] == ["/data/a", "/data/b"]
    assert it.origin["answers"] == {"target_dir": ["/data/a", "/data/b"]}


def test_fixed_arguments_need_no_answer() -> None:
    assert made(documents.FIXED).fields["source"]["arguments"] == ["mcp", "start", "--stdio"]
    assert option(documents.FIXED).questions == ()


def test_docker_options_that_set_variables_become_variables() -> None:
    it = made(documents.DATABASE_OCI, db_type="mysql", password="pw", database_name="shop")
    assert it.fields["source"] == {
        "reference": "docker.io/example/database:3.1.0",
        "arguments": ["--host=localhost", "shop"],
    }
    assert it.fields["environment"] == {"DB_TYPE": "mysql"}
    assert it.secrets == {"DB_URL": "db://reader:pw@db"}
    assert it.origin["answers"] == {"db_type": "mysql", "database_name": "shop"}
    assert any("--network" in note for note in option(documents.DATABASE_OCI).notes)


@pytest.mark.parametrize(("answer", "words"), [("true", ["--read-only"]), ("false", []), ("", [])])
def test_a_flag_is_there_or_not(answer: str, words: list[str]) -> None:
    answers = {"db_type": "mysql", "password": "pw", "database_name": "shop", "read-only": answer}
    it = made(documents.DATABASE_OCI, **answers)
    assert it.fields["source"]["arguments"] == ["--host=localhost", *words, "shop"]


def test_an_http_package_tells_port_and_path() -> None:
    on_docker = made(documents.HTTP, port="9100").fields
    assert (on_docker["transport"], on_docker["port"], on_docker["path"]) == (
        "streamable-http",
        9100,
        "/weather/mcp",
    )
    assert on_docker["source"]["arguments"] == ["--port=9100"]
    assert made(documents.HTTP, "process").fields["source"]["arguments"] == ["--port={port}"]


def test_the_platforms_own_variables_are_not_the_documents() -> None:
    package = documents.package(
        transport={"type": "streamable-http", "url": "http://localhost:{PORT}/mcp"},
        environmentVariables=[{"name": "PORT", "default": "3001"}, {"name": "UNITS", "value": "metric"}],
    )
    fields = made(package).fields
    assert (fields["port"], fields["environment"]) == (3001, {"UNITS": "metric"})


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({}, {"db_type", "password", "database_name"}),
        ({"db_type": "oracle", "password": "p", "database_name": "d"}, {"db_type"}),
        ({"db_type": "mysql", "password": "p", "database_name": "d", "port": "many"}, {"port"}),
        ({"db_type": "mysql", "password": "p", "database_name": "d", "host": "a\0"}, {"host"}),
        ({"db_type": "mysql", "password": "p", "database_name": ["d", "e"]}, {"database_name"}),
        ({"db_type": "mysql", "password": "p", "database_name": "d", "colour": "red"}, {"colour"}),
    ],
)
def test_answers_that_do_not_fit_are_named(answers: dict[str, Any], wrong: set[str]) -> None:
    with pytest.raises(BadAnswers) as caught:
        made(documents.DATABASE_OCI, **answers)
    assert set(caught.value.problems) == wrong


def test_a_secret_that_is_set_may_stay_and_is_replaced_as_a_whole() -> None:
    answers = {"db_type": "mysql", "database_name": "shop"}
    assert made(documents.DATABASE_OCI, kept="DB_URL", **answers).secrets == {}
    with pytest.raises(BadAnswers) as caught:
        made(documents.DATABASE_OCI, kept="DB_URL", user="writer", **answers)
    assert set(caught.value.problems) == {"password"}


@pytest.mark.parametrize(
    ("package", "runtimes", "word"),
    [
        (documents.NUGET, BOTH, "nuget"),
        (documents.SSE, BOTH, "old transport"),
        (documents.FILES_OCI, BOTH, "--mount"),
        (documents.DATABASE_OCI, ("process",), "Docker"),
        (documents.package(registryBaseUrl="https://npm.example.org"), BOTH, "another registry"),
        (documents.package(fileSha256="0" * 64), BOTH, "SHA-256"),
        (documents.package(packageArguments=[
            {"type": "named", "name": "--key", "isSecret": True, "isRequired": True}]), BOTH, "command line"),
        (documents.package("pypi", runtimeArguments=[
            {"type": "named", "name": "--from", "value": "git+https://x", "isRequired": True}]), BOTH, "uvx"),
    ],
)  # fmt: skip
def test_what_cannot_be_hosted_says_why(
    package: dict[str, Any], runtimes: tuple[str, ...], word: str
) -> None:
    found = option(package, runtimes)
    assert word in found.why_not
    with pytest.raises(UserError):
        plan.make(documents.document(package), found, {}, runtime="process")


def test_the_first_package_that_can_run_here_is_chosen() -> None:
    document = documents.document(documents.NUGET, documents.DATABASE_OCI, documents.FIXED)
    here = packages.options(document, ["process"])
    chosen = packages.preselected(here)
    assert chosen
    assert chosen.kind == "pypi"
    assert packages.preselected(packages.options(documents.document(documents.SSE), BOTH)) is None


def test_remotes_are_told_and_not_hosted() -> None:
    document = documents.document(remotes=[documents.REMOTE])
    assert packages.remotes(document) == [documents.REMOTE]
    assert packages.options(document, BOTH) == []


@pytest.mark.parametrize(
    ("package", "reference"),
    [
        ({"identifier": "docker.io/a/b:1"}, "docker.io/a/b:1"),
        ({"identifier": "a/b", "version": "2", "registryBaseUrl": "https://docker.io"}, "docker.io/a/b:2"),
        ({"identifier": "ghcr.io/a/b", "version": "2"}, "ghcr.io/a/b:2"),
        ({"identifier": "localhost:5000/a@sha256:" + "0" * 64}, "localhost:5000/a@sha256:" + "0" * 64),
    ],
)
def test_the_reference_of_an_image(package: dict[str, Any], reference: str) -> None:
    assert packages.reference(package) == reference


def test_two_variables_of_one_name_are_asked_apart() -> None:
    twice = documents.package(
        environmentVariables=[
            {"name": "A", "value": "{x}", "variables": {"x": {}}},
            {"name": "B", "value": "{x} {unknown}", "variables": {"x": {"default": "b"}}},
        ]
    )
    assert [question.key for question in option(twice).questions] == ["x", "x-2"]
    assert made(twice, x="a").fields["environment"] == {"A": "a", "B": "b {unknown}"}
