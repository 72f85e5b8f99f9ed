"""The frame's own parts, which unfold makes with Alpine.js, under a policy that lets no text run."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from access.models import Team
from servers.models import Server
from tests.console import demo
from tests.console.browsing import Web, admin, page, web

__all__ = ["admin", "page", "web"]
pytestmark = pytest.mark.real


@pytest.fixture
def seeded(admin: User) -> dict[str, Server]:
    return demo.seed(admin)


def icon(page: Page, name: str) -> None:
    page.locator(".material-symbols-outlined:visible", has_text=name).first.click()


def test_the_sidebar_is_closed_and_stays_so(page: Page, web: Web) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(web.url("index"))
    sidebar = page.locator("#nav-sidebar")
    expect(sidebar).to_be_visible()
    icon(page, "dock_to_right")
    expect(sidebar).to_be_hidden()
    page.reload()
    expect(sidebar).to_be_hidden()
    icon(page, "dock_to_right")
    expect(sidebar).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    expect(sidebar).to_be_hidden()
    icon(page, "dock_to_right")
    expect(sidebar).to_be_visible()


def test_light_and_dark(page: Page, web: Web) -> None:
    page.goto(web.url("index"))
    account = page.locator("[x-data*=openUserLinks]")
    account.locator("[x-on\\:click*=openUserLinks]").click()
    whole = page.locator("html")
    account.locator("[x-on\\:click*=dark]").click()
    expect(whole).to_have_class("dark")
    page.reload()
    expect(whole).to_have_class("dark")
    page.keyboard.press("Control+e")
    expect(whole).to_have_class("light")
    expect(account.locator("[x-show=openUserLinks]")).to_be_hidden()


def test_a_search_among_the_pages(page: Page, web: Web) -> None:
    page.goto(web.url("index"))
    page.keyboard.press("Control+k")
    typed = page.locator("#search-input-command")
    expect(typed).to_be_focused()
    typed.press_sequentially("tok")
    found = page.locator("#command-results-list a")
    expect(found.first).to_contain_text("Tokens")
    typed.press("ArrowDown")
    expect(page.locator("#command-results-list li.active")).to_have_count(1)
    typed.press("Enter")
    page.wait_for_url(web.url("servers_token_changelist"))
    page.keyboard.press("Control+k")
    expect(typed).to_be_focused()
    typed.press("Escape")
    expect(typed).to_be_hidden()


def test_filters_and_actions_of_a_list(page: Page, web: Web, seeded: dict[str, Server]) -> None:
    page.goto(web.url("servers_server_changelist"))
    page.locator("[x-on\\:click='filterOpen = true']").click()
    sheet = page.locator("#changelist-filter")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    run = page.locator("[x-show=action]")
    expect(run).to_be_hidden()
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(index=1)
    expect(run).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.locator("#searchbar")).to_be_focused()


def test_what_can_be_done_with_what_is_chosen(page: Page, web: Web, seeded: dict[str, Server]) -> None:
    """A menu beside a choice, drawn at the page's end and placed where it belongs."""
    page.goto(web.url("servers_token_add"))
    menus = page.locator("[x-show=openRelatedWidgetWrapper]")
    expect(menus.first).to_be_hidden()
    button = page.locator("[x-ref=relatedWidgetWrapperserver]")
    button.click()
    shown = page.locator("[x-show=openRelatedWidgetWrapper]:visible")
    expect(shown).to_have_count(1)
    there, here = shown.bounding_box(), button.bounding_box()
    assert there
    assert here
    assert 0 <= there["y"] - here["y"] < 80
    page.locator("#content").click(position={"x": 2, "y": 2})
    expect(shown).to_have_count(0)


def test_a_form_is_sent_to_where_it_is(page: Page, web: Web) -> None:
    """unfold binds its address to the tab that is open."""
    page.goto(web.url("access_team_add"))
    form = page.locator("#team_form")
    expect(form).to_have_attribute("action", "/admin/access/team/add/")
    page.locator("[name=name]").fill("Search")
    page.locator("[name=_save]").click()
    page.wait_for_url(web.url("access_team_changelist"))
    team = Team.objects.get(name="Search")
    page.goto(web.url("access_team_change", team.pk))
    rows = page.locator(".form-row:visible, .form-group:visible")
    before = rows.count()
    page.locator(".add-row").first.click()
    expect(rows).not_to_have_count(before)
