"""Which Dockerfile is built, with which context, and what is said where none is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosting.errors import SourceError
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise


def filled(top: Path, *names: str) -> Path:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("FROM scratch\n")
    return top


def look(path: Path, *, top: Path = Path(), images: bool = True, **choices: object) -> Plan:
    return recognise(BuildContext(path, "r", top=top), Choices(**choices), images=images)  # type: ignore[arg-type]


def test_a_dockerfile_in_a_folder_with_the_top_as_its_context(tmp_path: Path) -> None:
    """As `docker build -f docker/Dockerfile .` builds it."""
    filled(tmp_path, "docker/Dockerfile", "src/server.py")
    plan = look(tmp_path, dockerfile="docker/Dockerfile", target="run", arguments={"A": "b"})
    assert (plan.ecosystem, plan.dockerfile, plan.root) == ("dockerfile", "docker/Dockerfile", "")
    assert (plan.target, plan.arguments) == ("run", {"A": "b"})
    assert "docker/Dockerfile was set by hand" in plan.why[0]


def test_the_root_is_the_context(tmp_path: Path) -> None:
    filled(tmp_path, "docker/Dockerfile", "app/server.py")
    assert look(tmp_path, dockerfile="docker/Dockerfile", root="app").root == "app"
    with pytest.raises(SourceError, match="has no directory “nowhere”"):
        look(tmp_path, dockerfile="docker/Dockerfile", root="nowhere")


def test_a_subdirectory_s_dockerfile_and_one_from_the_top(tmp_path: Path) -> None:
    filled(tmp_path, "docker/Dockerfile", "app/Dockerfile")
    assert look(tmp_path / "app", top=tmp_path).dockerfile == "app/Dockerfile"
    plan = look(tmp_path / "app", top=tmp_path, dockerfile="docker/Dockerfile")
    assert (plan.dockerfile, plan.root) == ("docker/Dockerfile", "app")


def test_a_containerfile_is_one(tmp_path: Path) -> None:
    filled(tmp_path, "Containerfile", "server.py")
    assert look(tmp_path).dockerfile == "Containerfile"
    filled(tmp_path, "Dockerfile")
    assert look(tmp_path).dockerfile == "Dockerfile"


def test_only_a_containerfile_where_processes_run(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has only a Containerfile"):
        look(filled(tmp_path, "Containerfile"), images=False)


@pytest.mark.parametrize(
    "name", ["docker/Dockerfile", "Dockerfile.prod", "deploy/app/server.Dockerfile", "images/dockerfile-slim"]
)
def test_those_elsewhere_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="Nothing that can be started") as caught:
        look(filled(tmp_path, name))
    assert f"It has {name}: set the one to build as the Dockerfile." in caught.value.hint
    with pytest.raises(SourceError) as caught:
        look(tmp_path, images=False)
    assert f"{name}: set the one to build as the Dockerfile. Use the docker or kub" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["Dockerfile.md", "docker/Dockerfile.dockerignore", "node_modules/x/Dockerfile", ".git/Dockerfile",
     "a/b/c/d/Dockerfile", "dockerfiles/readme.txt"],
)  # fmt: skip
def test_what_is_none_is_not_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError) as caught:
        look(filled(tmp_path, name))
    assert "It has" not in caught.value.hint


def test_of_many_a_few_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        look(filled(tmp_path, *(f"{number}/Dockerfile" for number in range(40))))
    assert caught.value.hint.count("/Dockerfile") == 5
    assert "and others" in caught.value.hint


def test_a_link_out_of_the_source_is_not_named(tmp_path: Path) -> None:
    outside = filled(tmp_path / "outside", "Dockerfile")
    source = filled(tmp_path / "source", "notes.txt")
    (source / "Dockerfile").symlink_to(outside / "Dockerfile")
    (source / "docker").symlink_to(outside)
    with pytest.raises(SourceError, match="Nothing that can be started") as caught:
        look(source)
    assert "It has" not in caught.value.hint
    with pytest.raises(SourceError, match="has no file docker/Dockerfile"):
        look(source, dockerfile="docker/Dockerfile")


def test_one_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    filled(tmp_path, "docker/Dockerfile", "server.py")
    with pytest.raises(SourceError, match=r"has no file docker\.") as caught:
        look(tmp_path, dockerfile="docker")
    assert "It has docker/Dockerfile" in caught.value.hint


def test_one_set_by_hand_is_not_passed_over_where_processes_run(tmp_path: Path) -> None:
    filled(tmp_path, "Dockerfile", "server.py")
    with pytest.raises(SourceError, match="the process runtime cannot build") as caught:
        look(tmp_path, images=False, dockerfile="Dockerfile")
    assert "docker or kubernetes runtime" in caught.value.hint
