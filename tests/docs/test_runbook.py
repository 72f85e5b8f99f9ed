"""docs/runbook.md: every command parses, every address resolves, every filter and every button exists."""

from __future__ import annotations

import json
import re
import shlex
from urllib.parse import parse_qsl

import pytest
from django.core.management import load_command_class
from django.urls import resolve
from django.utils.text import slugify

from api.views import fallback, metrics
from cli.command import ServerCommand
from console import actions
from mcphost import settings as given
from registry import push
from servers.states import ServerStatus
from tests.docs import pages, runbook_tables
from tests.metrics import contract

PAGE = pages.text_of("runbook.md")
SECTIONS = pages.sections(PAGE)
COMMANDS = sorted(set(re.findall(r"manage\.py [a-z_]+[^|`\n]*", PAGE)))
ADDRESSES = sorted(set(re.findall(r"(?:\$URL|(?:POST|GET) )(/api/[^\"`\s]*)", PAGE)))
FILTERS = {parameter.name for parameter in metrics.Metrics.parameters("get")}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    _, name, *options = shlex.split(line)
    command = load_command_class("cli", name)
    assert isinstance(command, ServerCommand)
    command.create_parser("manage.py", name).parse_args(options)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_served(address: str) -> None:
    path, _, query = re.sub(r"\$\w+", "1", address).partition("?")
    found = resolve(path)
    assert getattr(found.func, "cls", None) is not fallback.Nothing, path
    if path.endswith("/metrics/"):
        wanted = parse_qsl(query, strict_parsing=True)
        assert {key for key, _ in wanted} <= FILTERS
        assert {value for key, value in wanted if key == "event_type"} <= contract.EVENT_TYPES
    assert {value for key, value in parse_qsl(query) if key == "status"} <= {str(s) for s in ServerStatus}


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) > 10
    assert len(ADDRESSES) > 10


@pytest.mark.parametrize("step", [title for title in SECTIONS if title[0].isdigit()])
def test_each_step_has_a_query_a_command_and_a_button(step: str) -> None:
    text = SECTIONS[step]
    assert "Query" in text
    assert "$URL/api/" in text
    assert "manage.py" in text
    assert "Button" in text or "| button |" in text


def test_there_are_five_steps() -> None:
    assert [title[0] for title in SECTIONS if title[0].isdigit()] == list("12345")


def test_the_bodies_name_modes_that_exist() -> None:
    modes = {json.loads(body)["mode"] for body in re.findall(r'\{"mode": "[a-z-]+"\}', PAGE)}
    assert modes == {mode.value for mode in actions.MODES}


def test_the_buttons_are_in_the_admin() -> None:
    labels = {action.label for action in (*actions.ON_SERVERS, *actions.ON_DEPLOYMENTS)}
    ways = {text.partition(":")[0] for text in actions.MODES.values()}
    assert set(re.findall(r"(\b[A-Z][a-z]+(?: [a-z]+)*)…", PAGE)) <= labels
    assert set(re.findall(r"Redeploy… → (\w+(?: cache| image)?)", PAGE)) == ways


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b", PAGE))))
def test_the_settings_exist(name: str) -> None:
    assert name in given.env.declared or name == "REGISTRY_HOST"


def test_links_lead_to_pages_and_headings() -> None:
    for name, anchor in re.findall(r"\]\(([\w.-]+\.md)(?:#([\w-]+))?\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", pages.text_of(name), re.MULTILINE)
        assert not anchor or anchor in {slugify(heading) for heading in headings}, anchor


def test_every_kind_of_failure_has_a_row() -> None:
    kinds = {kind for row in pages.rows(SECTIONS["4. Faults that pass"]) for kind in pages.code(row[0])}
    assert kinds == contract.ERROR_KINDS


def test_the_tables_are_those_of_the_runbooks() -> None:
    """Where they differ, the page is wrong: copy what `runbook_tables` says."""
    assert runbook_tables.classes() in SECTIONS["Classes of failure"]
    assert runbook_tables.remedies() in SECTIONS["Classes of failure"]


def test_what_is_told_of_waiting_is_so() -> None:
    assert push.PushPolicy().stall == 300, "nothing moved for 5 minutes"
