"""docs/hosting.md against the choices, the options and the kinds of source."""

from __future__ import annotations

import json
import re
import shlex
from argparse import Namespace

import pytest
from django.core.management import get_commands, load_command_class

from console.server_form import ServerForm
from hosting.sources import dockerfile_project
from servers import plan_shown
from servers.models import build_choices
from servers.models.server import SourceKind
from tests.docs import pages

PAGE = pages.text_of("hosting.md")
ROWS = {key[0]: row for row in pages.rows(PAGE) if (key := pages.code(row[0]))}
LINES = [
    line[2:] for block in pages.blocks(PAGE, "console") for line in block.splitlines() if line[:2] == "$ "
]


def parsed(line: str) -> Namespace:
    _, name, *words = shlex.split(line)
    return load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(words)


def test_every_choice_is_there() -> None:
    assert tuple(ROWS) == build_choices.KEYS


@pytest.mark.parametrize("key", build_choices.KEYS)
def test_a_choice_s_option_sources_and_field(key: str) -> None:
    _, option, sources, _ = ROWS[key]
    value = "A=b" if key == "arguments" else "x"
    assert vars(parsed(f"manage.py redeploy a {pages.code(option)[0]} {value}"))[f"build_{key}"] in (
        value,
        [value],
    )
    fit = {kind.value for kind in SourceKind if not build_choices.unfit(kind, {key: "x"})}
    assert fit == set(sources.split(", "))
    assert f"build_{key}" in ServerForm.base_fields


@pytest.mark.parametrize("line", LINES)
def test_the_commands_are_taken(line: str) -> None:
    assert parsed(line).slug


def test_the_document_is_valid() -> None:
    (document,) = pages.blocks(PAGE, "json")
    build = json.loads(document)["build"]
    assert build_choices.clean(build) == build


def test_the_names_of_a_plan_are_the_product_s() -> None:
    plan = {
        "ecosystem": "python", "tool": "uv", "lock": "uv.lock", "version": "3.12", "command": ["notes"],
        "steps": [{"kind": "install", "words": ["uv", "sync", "--frozen", "--no-dev"]}],
    }  # fmt: skip
    shown = "".join(f"{fact.name:<11}{fact.words}\n" for fact in plan_shown.facts(plan))
    assert shown in PAGE


def test_the_dockerfiles_are_named() -> None:
    (found,) = re.findall(r"^1\. (.+?), where images run", PAGE, re.MULTILINE)
    assert tuple(pages.code(found)) == dockerfile_project.NAMES
