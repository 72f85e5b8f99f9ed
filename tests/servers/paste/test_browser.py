"""Pasted text in a real browser: read, chosen, filled in."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.console.browsing import Web, admin, page, web

pytestmark = pytest.mark.real
__all__ = ["admin", "page", "web"]
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
TEXT = json.dumps(
    {
        "mcpServers": {
            "weather": {
                "command": "npx",
                "args": ["-y", "@acme/weather-mcp", "/Users/me/places"],
                "env": {"WEATHER_KEY": "<YOUR_KEY>", "GITHUB_TOKEN": SECRET, "UNITS": "metric"},
            },
            "far": {"url": "https://mcp.example.org/mcp"},
        }
    },
    indent=2,
)


def test_a_block_is_read_chosen_and_fills_the_form(page: Page, web: Web) -> None:
    page.set_default_timeout(60_000)
    page.goto(web.url("servers_server_add"))
    page.fill("#paste", TEXT)
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_text("Choose one of 2")).to_be_visible()
    page.get_by_role("button", name="Choose this: weather").click()
    expect(page.get_by_text("Left out, or to check")).to_be_visible()
    expect(page.locator("[name=package_name]")).to_have_value("@acme/weather-mcp")
    expect(page.locator("[name=environment_lines]")).to_have_value("UNITS=metric")
    expect(page.locator("[name=secret_name_2]")).to_have_value("WEATHER_KEY")
    assert SECRET not in page.content()
