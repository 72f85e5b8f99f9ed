"""`--explain` and the options of how a server is built: what they print, keep and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from servers import uploads
from servers.models import Deployment, Server
from tests.cli.test_commands import facts, run
from tests.platform import Platform, archive_of, hello_files

pytestmark = pytest.mark.core
URL = "https://git.example.org/team/maps.git"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "hello.tar.gz"
    path.write_bytes(archive_of(hello_files()))
    return path


def kept() -> list[str]:
    """What lies in the directory of the platform, but for its locks and logs."""
    data = Path(settings.DATA_DIR)
    below = [path for name in ("uploads", "work", "runs") for path in (data / name).rglob("*")]
    return [str(path) for path in below if path.is_file()]


def test_the_plan_of_a_source_is_printed_and_nothing_is_left(idle: Platform, archive: Path) -> None:
    said = run("deploy", "greeter", "--archive", str(archive), "--command", "python hello.py", "--explain")

    assert "Root       the top of the source\n" in said
    assert "Start      python hello.py  (set by hand)\n" in said
    assert not Server.objects.exists()
    assert not Deployment.objects.exists()
    assert not kept()


def test_the_plan_as_json_tells_what_was_set(idle: Platform, archive: Path) -> None:
    told = facts("deploy", "greeter", "--archive", str(archive), "--python", "3.12", "--explain")
    assert told["ecosystem"] == "python"
    assert told["chosen"] == {"python": "3.12"}


def test_nothing_that_is_recognised_is_one_line(idle: Platform, tmp_path: Path) -> None:
    path = tmp_path / "notes.tar.gz"
    path.write_bytes(archive_of({"notes.txt": "x", "docker/Dockerfile": "FROM x"}))
    with pytest.raises(CommandError, match="Nothing that can be started") as raised:
        run("deploy", "notes", "--archive", str(path), "--explain")
    assert "docker/Dockerfile" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not kept()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--git", "file:///etc"], "A repository URL starts with"),
        (["--git", URL, "--python", "nope"], "python: “nope” is not a version of Python"),
        (["--git", URL, "--as", "ruby"], "ecosystem: “ruby” is not one of python, node, dockerfile"),
        (
            ["--git", URL, "--as", "node", "--dockerfile", "a"],
            "dockerfile: Leave it out: the ecosystem is node",
        ),
        (["--git", URL, "--root", "../x"], "root: Must be a path from the top"),
        (["--git", URL, "--build-arg", "TOKEN"], "--build-arg takes NAME=VALUE"),
        (["--pypi", "some-server", "--dockerfile", "Dockerfile"], "leave out dockerfile"),
        (["--image", "registry.example.org/a/b:1"], "there is nothing to recognise in it"),
    ],
)
def test_what_cannot_be_explained_is_one_line(idle: Platform, words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as raised:
        run("deploy", "thing", *words, "--explain")
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_every_choice_is_kept(idle: Platform) -> None:
    run(
        "deploy", "maps", "--git", URL, "--as", "dockerfile",
        "--root", "app", "--member", "maps", "--extra", "a", "--extra", "b",
        "--group", "server", "--with", "mcp<2", "--python", "3.12", "--node", "22", "--build", "make all",
        "--dockerfile", "docker/Dockerfile", "--target", "run", "--build-arg", "A=b=c",
    )  # fmt: skip
    assert Server.objects.get().build == {
        "ecosystem": "dockerfile",
        "root": "app", "member": "maps", "extras": ["a", "b"], "groups": ["server"], "with": ["mcp<2"],
        "python": "3.12", "node": "22", "build": "make all", "dockerfile": "docker/Dockerfile",
        "target": "run", "arguments": {"A": "b=c"},
    }  # fmt: skip


def test_extras_of_a_package_are_told_apart_from_its_name(idle: Platform) -> None:
    run("deploy", "thing", "--pypi", "mcp[cli, rich]==1.2", "--extra", "cli")
    server = Server.objects.get()
    assert (server.source["name"], server.source["version"]) == ("mcp", "1.2")
    assert server.build == {"extras": ["cli", "rich"]}


def test_redeploying_changes_what_it_names(idle: Platform) -> None:
    server = idle.hello(build={"python": "3.11", "with": ["mcp<2"]})
    run("redeploy", "hello", "--python", "3.12", "--with", "", "--extra", "x")
    server.refresh_from_db()
    assert server.build == {"python": "3.12", "extras": ["x"]}
    assert server.deployments.count() == 1


def test_what_is_only_explained_is_not_kept(idle: Platform) -> None:
    server = idle.hello(build={"python": "3.11"})
    before = uploads.path_of(server).read_bytes()
    told = facts("redeploy", "hello", "--python", "3.12", "--explain")
    assert told["chosen"] == {"python": "3.12"}
    server.refresh_from_db()
    assert server.build == {"python": "3.11"}
    assert not server.deployments.exists()
    assert uploads.path_of(server).read_bytes() == before


@pytest.mark.parametrize("words", [["--mode", "same-digest"], ["--mode", "resume"], ["--to", "1"]])
def test_what_is_built_already_takes_no_choices(idle: Platform, words: list[str]) -> None:
    server = idle.hello()
    with pytest.raises(CommandError, match="need a mode that builds"):
        run("redeploy", "hello", "--python", "3.12", *words)
    server.refresh_from_db()
    assert server.build == {}


def test_a_refused_redeployment_keeps_no_choice(idle: Platform) -> None:
    server = idle.hello()
    with pytest.raises(CommandError, match="resume"):
        run("redeploy", "hello", "--platform", "linux/arm64", "--python", "3.12")
    server.refresh_from_db()
    assert server.build == {}


def test_the_list_as_json_has_the_choices(idle: Platform) -> None:
    idle.hello(build={"python": "3.12"})
    told: dict[str, Any] = json.loads(run("servers", "--json"))
    assert told["build"] == {"python": "3.12"}
