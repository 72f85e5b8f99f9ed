"""From an empty directory to a called tool, as a person does it: a terminal, a browser, an MCP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.upping import Machine, Up, greeted, machine

pytestmark = pytest.mark.real


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with machine(tmp_path) as made:
        running = Machine.start(made)
        yield running
        print(running.complaints)  # pytest shows it where the test failed
        assert running.stop() == 0
        assert "Traceback" not in running.complaints


@pytest.fixture
def page(browser: Browser, up: Up) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def test_first_run_to_a_called_tool(page: Page, up: Up) -> None:
    page.goto(f"{up.url}/admin/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(up.password)
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("navigation").get_by_role("link", name="Servers", exact=True).click()
    page.locator("#result_list").get_by_role("link", name="Hello").click()
    expect(page.locator(".mh-title")).to_contain_text("Running", timeout=120_000)
    expect(page.locator("[data-live=answers]")).to_have_text("Answered by #1.")
    expect(page.locator("[data-live=discovery]")).to_contain_text("greet")
    server = page.url

    url = page.locator("#connect .mh-url").inner_text()
    page.get_by_label("Name of the token").fill("my laptop")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#token-value").inner_text()
    page.locator("[data-key='.mcp.json'] summary").click()
    pasted = page.locator("[data-key='.mcp.json'] pre").inner_text()
    shown = json.loads(pasted)["mcpServers"]["hello"]
    assert (shown["url"], shown["headers"]) == (url, {"Authorization": f"Bearer {token}"})
    with ThreadPoolExecutor() as aside:  # Playwright's event loop runs in this thread
        tools, answer = aside.submit(lambda: asyncio.run(greeted(url, token))).result()
    assert (tools >= {"greet", "add"}, answer) == (True, "Hello, Ada!")

    page.get_by_role("link", name="I have copied it").click()
    expect(page).to_have_url(server)
    expect(page.get_by_text(token)).to_have_count(0)
    page.get_by_role("link", name="Tools", exact=True).click()
    page.get_by_role("button", name="Try greet").click()
    page.get_by_label("name").fill("Grace")
    page.get_by_role("button", name="Call").click()
    expect(page.locator("[data-try-outcome]")).to_contain_text("Answered in")
    expect(page.locator("[data-try-result]")).to_contain_text("Hello, Grace!")

    page.get_by_role("link", name="Usage", exact=True).click()
    by_tool = page.get_by_role("row", name="greet")
    expect(by_tool.get_by_role("cell").first).to_have_text("2", timeout=60_000)
    expect(page.locator("[data-live=usage]")).to_contain_text("mcp")
    page.get_by_role("link", name="All calls in this range").click()
    for who in ("console:admin", token[:12]):
        expect(page.locator("#result_list")).to_contain_text(who)
