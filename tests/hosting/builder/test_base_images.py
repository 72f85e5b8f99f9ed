from __future__ import annotations

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder.base_images import python_image
from hosting.builder.dockerfile import render
from hosting.sources import interpreters
from hosting.sources.plan import Plan, Step, Tool
from hosting.sources.python_releases import suits
from registry.pull_rights import PullRights, Way
from registry.reference import Reference

PINNED = "python@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("base", "wanted", "reference", "asked"),
    [
        ("python:3.12-slim", "", "python:3.12-slim", ""),
        ("python:3.12-slim", ">=3.10", "python:3.12-slim", ""),
        ("python:3.12-slim", "3.12", "python:3.12-slim", ""),
        ("python:3.12-slim", ">=3.13", "python:3.13-slim", ""),
        ("python:3.12-slim", ">=3.9,<3.12", "python:3.11-slim", ""),
        ("python:3.12-slim", "3.13.2", "python:3.13.2-slim", ""),
        ("python:3.12.4-slim-bookworm", "==3.12.*", "python:3.12.4-slim-bookworm", ""),
        ("h.example:5000/base/python:3.12", ">=3.14", "h.example:5000/base/python:3.14", ""),
        ("python:3.12-slim", ">=3.40", "python:3.12-slim", ">=3.40"),
        ("h.example:5000/base/python:latest", ">=3.13", "h.example:5000/base/python:latest", ">=3.13"),
        ("h.example:5000/base/python", "3.13", "h.example:5000/base/python", "3.13"),
        (PINNED, "3.13", PINNED, "3.13"),
    ],
)
def test_the_image_with_the_python_that_is_asked_for(
    base: str, wanted: str, reference: str, asked: str
) -> None:
    found = python_image(Plan("python", version=wanted), BuildSettings(python_image=base))
    assert (found.reference, found.asked) == (reference, asked)


@pytest.mark.parametrize(
    ("version", "wanted", "does"),
    [
        ("3.12", ">=3.12.3", True),
        ("3.11.7", ">=3.12", False),
        ("3.11.7", "3.11", True),
        ("3.1", "3.11", False),
        ("3", "3.11", False),
        ("3.11.7", "what is this", True),
    ],
)
def test_whether_a_python_is_one_that_is_meant(version: str, wanted: str, does: bool) -> None:
    assert suits(version, wanted) is does


def test_an_image_of_another_version_may_be_pulled_as_that_of_the_settings() -> None:
    base = Reference.parse("h.example/base/python:3.12")
    found = python_image(Plan("python", version="3.13"), BuildSettings(python_image=str(base)))
    rights = PullRights(shared=(base.endpoint,))
    assert rights.way_to(Reference.parse(found.reference)) is Way.PLATFORM


@pytest.mark.parametrize(("allowed", "how"), [(True, "automatic"), (False, "never")])
def test_a_python_that_the_tag_does_not_tell_is_had_in_the_build(allowed: bool, how: str) -> None:
    step = Step("install", ("uv", "sync"), "")
    plan = Plan("python", ("x",), version=">=3.13", tools=(Tool("uv"),), steps=(step,))
    settings = BuildSettings(python_image="base:latest", python_downloads=allowed)
    text = render(plan, transport="streamable-http", settings=settings)

    assert f"UV_PYTHON_DOWNLOADS={how} UV_SYSTEM_CERTS=true UV_PYTHON_INSTALL_DIR=/opt/python" in text
    assert "--python='>=3.13' /opt/venv" in text
    assert "COPY --from=build /opt/python /opt/python" in text


def test_of_a_range_the_image_s_own_python_comes_first_and_then_no_newer_one_than_is_usual() -> None:
    plan = Plan(
        "python", ("x",), version=">=3.11", tools=(Tool("uv"),), steps=(Step("install", ("uv",), ""),)
    )
    text = render(plan, transport="streamable-http", settings=BuildSettings(python_image="base:latest"))
    [line] = [line for line in text.splitlines() if "uv venv" in line]
    first, second = line.split(" || ")
    assert "--no-python-downloads --python='>=3.11' /opt/venv" in first
    assert "uv venv --quiet --no-project --python=3.12 /opt/venv" in second


@pytest.mark.parametrize(
    ("wanted", "there", "asked"),
    [
        (">=3.12", ("3.11.7",), "3.12"),
        (">=3.12", ("3.14.1", "3.11.7"), ">=3.12"),
        ("<3.10", ("3.11.7",), "3.9"),
        ("3.14", ("3.11.7",), "3.14"),
        (">=3.50", ("3.11.7",), ">=3.50"),
    ],
)
def test_a_python_that_is_downloaded_is_the_nearest_not_the_newest(
    wanted: str, there: tuple[str, ...], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "OWN", "3.11.7")
    assert interpreters.asked(wanted, there) == asked


def test_where_the_python_of_a_pin_is_not_to_be_had_one_of_the_range_is_taken() -> None:
    step = Step("install", ("uv", "sync"), "")
    plan = Plan("python", ("x",), version="3.10", allowed=">=3.9", tools=(Tool("uv"),), steps=(step,))
    text = render(plan, transport="streamable-http", settings=BuildSettings(python_image="base:latest"))
    [line] = [line for line in text.splitlines() if "uv venv" in line]
    first, second = line.split(" || ")
    assert "--python=3.10 /opt/venv" in first
    assert "UV_PYTHON_DOWNLOADS=automatic " in second
    assert "--python='>=3.9' /opt/venv" in second


def test_a_build_set_by_hand_has_the_environment_and_the_version_of_tags() -> None:
    step = Step("build", ("sh", "-c", "make 'it all'"), "")
    plan = Plan("python", ("x",), steps=(step,), environment={"PBR_VERSION": "1 2"})
    text = render(plan, transport="streamable-http", settings=BuildSettings(python_image="base"))
    assert "PBR_VERSION='1 2' sh -c 'make '\"'\"'it all'\"'\"''" in text
