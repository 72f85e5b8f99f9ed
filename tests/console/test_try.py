"""Tools are called from the console: through the gateway, as the person who is signed in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from access.models import Role, Team
from metrics.models import UsageMetric
from servers import tickets
from servers.models import Deployment, Server
from tests.accounts import person, with_member
from tests.console.browsing import Web, signed_in, web
from tests.console.conftest import logged_in
from tests.eventually import eventually
from tests.platform import Platform, hello_files

__all__ = ["web"]

pytestmark = pytest.mark.real
EVIL = "<img src=x onerror=alert(1)>"
ODD = """
import json
from protocol import TYPES, Server, Tool, ToolError

TYPES["array"] = list

def echo(call, **given):
    return json.dumps(given, sort_keys=True) + "<img src=x onerror=alert(1)>"

def fail(call):
    raise ToolError("it <b>broke</b>")

SCHEMA = {
    "text": {"type": "string", "description": "any text"},
    "kind": {"type": "string", "enum": ["one", "two"]},
    "sure": {"type": "boolean", "default": True},
    "many": {"type": "integer", "minimum": 1},
    "list": {"type": "array", "items": {"type": "string"}},
    "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
}
SERVER = Server(name="odd", version="1", instructions="", tools=[
    Tool("echo", "Says what it got.", SCHEMA, ("text", "kind"), echo),
    Tool("fail", "Fails.", {}, (), fail),
], resources=[], prompts=[])
SERVER.run()
"""


@pytest.fixture
def page(browser: Browser, web: Web, platform: Platform) -> Iterator[Page]:
    with signed_in(browser, web, platform.owner.username) as page:
        yield page


def calls(server: Server, count: int) -> list[UsageMetric]:
    """The calls that were recorded of its tools, once there are so many."""
    rows = UsageMetric.objects.filter(server=server, event_type="mcp_call", details__method="tools/call")
    return eventually(lambda: list(rows.order_by("pk")) if rows.count() == count else [])


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_tool_is_called_as_the_person(page: Page, web: Web, platform: Platform, era: str) -> None:
    server = platform.hello()
    made = platform.deploy(server)
    if era == "legacy":
        versions = [version for version in made.facts["protocol_versions"] if version < "2026"]
        Deployment.objects.filter(pk=made.pk).update(facts={"era": era, "protocol_versions": versions})
    page.goto(f"{web.url('servers_server_tools', server.pk)}#tool=greet")
    page.get_by_label("name").fill("Ada")
    page.get_by_role("button", name="Call").click()
    outcome, result = page.locator("[data-try-outcome]"), page.locator("[data-try-result]")
    expect(outcome).to_contain_text("Answered in")
    expect(result).to_contain_text("Hello, Ada!")

    page.get_by_role("button", name="Try add").click()
    page.get_by_label("a (required)").fill("2")
    page.get_by_role("button", name="Call").click()
    expect(outcome).to_contain_text("b: This is required.")
    page.get_by_label("b (required)").fill("0.5")
    page.get_by_role("button", name="Call").click()
    expect(result).to_contain_text('"sum": 2.5')
    first = calls(server, 2)[0].details
    assert (first["era"], first["token"], first["name"]) == (era, "console:operator", "greet")


def test_a_call_shows_its_progress_and_is_cancelled(page: Page, web: Web, platform: Platform) -> None:
    server = platform.hello()
    platform.deploy(server)
    page.goto(f"{web.url('servers_server_tools', server.pk)}#tool=count")
    page.get_by_label("to (required)").fill("500")
    page.get_by_role("button", name="Call").click()
    expect(page.locator("[data-try-result]")).to_contain_text("counted to 2")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-try-outcome]")).to_contain_text("Cancelled after")
    assert calls(server, 1)[0].details["outcome"] == "cancelled"


def test_a_form_of_every_kind_and_answers_that_stay_text(page: Page, web: Web, platform: Platform) -> None:
    server = platform.server("odd", {**hello_files(), "server.py": ODD})
    platform.deploy(server)
    page.goto(f"{web.url('servers_server_tools', server.pk)}#tool=echo")
    page.get_by_label("text (required)").fill("two\nlines")
    page.get_by_label("kind (required)").select_option("two")
    page.get_by_label("many").fill("0")
    page.get_by_label("list").fill("[1")
    page.get_by_role("button", name="Call").click()
    expect(page.locator("#try")).to_contain_text("This is not JSON")
    page.get_by_label("many").fill("3")
    page.get_by_label("list").fill('["a"]')
    page.get_by_role("button", name="Call").click()
    answer = page.locator("[data-try-result] pre").first
    expect(answer).to_contain_text(EVIL)
    said, _ = json.JSONDecoder().raw_decode(answer.inner_text())
    assert said == {"text": "two\nlines", "kind": "two", "sure": True, "many": 3, "list": ["a"]}

    page.get_by_label("Arguments as JSON").check()
    raw = page.get_by_role("textbox", name="arguments")
    assert json.loads(raw.input_value()) == said
    page.get_by_label("Tool", exact=True).select_option("fail")
    raw.fill("{}")
    page.get_by_role("button", name="Call").click()
    expect(page.locator("[data-try-outcome]")).to_contain_text("The tool reports an error")
    expect(page.locator("[data-try-result]")).to_contain_text("it <b>broke</b>")


def test_the_policy_applies(page: Page, web: Web, platform: Platform) -> None:
    server = platform.hello(tools_denied=["add"])
    platform.deploy(server)
    page.goto(web.url("servers_server_tools", server.pk))
    expect(page.get_by_text("Denied by policy")).to_be_visible()
    page.get_by_role("button", name="Refresh list").click()
    expect(page.locator("[data-try-outcome]")).to_contain_text("lists 3 tools")
    expect(page.get_by_label("Tool", exact=True).locator("option")).to_have_text(["greet", "now", "count"])
    page.get_by_label("Search in the tools").fill("time zone")
    expect(page.locator("[data-tool]:visible")).to_have_count(1)


def test_only_who_sees_a_server_gets_a_ticket(client: Client, platform: Platform) -> None:
    server = platform.hello()
    url = reverse("admin:servers_server_ticket", args=[server.pk])
    assert client.post(url).status_code == 302
    assert client.get(url).status_code == 302
    user = person("somebody")
    assert logged_in(user).post(url).status_code == 404
    server.team = Team.objects.create(name="Everybody")
    server.save(update_fields=["team"])
    with_member(server.team, user, Role.VIEWER)
    assert tickets.read(logged_in(user).post(url).json()["ticket"]) == (user.pk, server.pk)
