"""Every page of the console under axe-core, in light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib import admin as django_admin
from django.contrib.auth.models import User
from django.test import RequestFactory
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from servers.models import Server, Token
from tests.console import demo
from tests.console.browsing import Web, admin, page, web
from tests.console.test_access import confirmations, pages
from tests.console.test_dashboard import busy

__all__ = ["admin", "page", "web"]

pytestmark = pytest.mark.real
FOCUS = """() => { const at = document.activeElement, style = getComputedStyle(at);
    const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
    return [!!at.closest(".mh-page"), seen, at.innerText] }"""
BAD = ("serious", "critical")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LAID_OUT = ["color-contrast", "target-size", "scrollable-region-focusable", "aria-hidden-focus"]
FEWER = {"logline": "?stream=platform"}  # a long list takes axe its time, and has more of the same
LOOKS = {("light", 390): LAID_OUT, ("dark", 390): ["color-contrast"], ("dark", 1280): ["color-contrast"]}


@pytest.fixture
def filled(admin: User) -> dict[str, Server]:
    seeded = demo.seed(admin)
    busy(seeded["time"])
    return seeded


def every_page(seeded: dict[str, Server], admin: User) -> Iterator[str]:
    """Lists and forms of whatever is registered, pages of servers in good and bad health, confirmations."""
    request = RequestFactory().get("/")
    request.user = admin
    for model, model_admin in django_admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        if model_admin.has_view_permission(request):
            yield f"{reverse(f'{name}_changelist')}{FEWER.get(model._meta.model_name or '', '')}"
        if model_admin.has_add_permission(request):
            yield reverse(f"{name}_add")
    yield from pages(seeded["time"])
    yield from pages(seeded["weather"])
    yield from confirmations(seeded["time"])
    failed, running = seeded["weather"].deployments.get(number=4), seeded["search"].deployments.get()
    yield reverse("admin:servers_deployment_change", args=[failed.pk])
    yield reverse("admin:servers_deployment_change", args=[running.pk])
    yield reverse("admin:servers_deployment_compare", args=[failed.pk])
    yield reverse("admin:servers_deployment_runbook", args=[failed.pk, "resume"])
    yield reverse("admin:servers_server_edit", args=[seeded["time"].pk])
    yield f"{reverse('admin:index')}?range=7d"


def found_by_axe(page: Page, rules: list[str] | None = None) -> list[str]:
    """What is serious or critical; by all rules for `TAGS`, or by the ones that are named."""
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    violations: list[dict[str, Any]] = page.evaluate(
        "async (only) => (await axe.run({ runOnly: only, resultTypes: ['violations'] })).violations", only
    )
    return [
        f"{finding['id']}: {node['html'][:160]} {[one['message'] for one in node['any'][:1]]}"
        for finding in violations
        if finding["impact"] in BAD
        for node in finding["nodes"][:3]
    ]


def in_every_look(page: Page, url: str) -> dict[str, str]:
    """What axe finds, and where it was seen: everything on a desk in light, then what a look can change."""
    page.evaluate(AXE_SCRIPT)
    found: dict[str, str] = {}
    for theme, width in (("light", 1280), ("light", 390), ("dark", 390), ("dark", 1280)):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", theme == "dark")
        for finding in found_by_axe(page, LOOKS.get((theme, width))):
            found.setdefault(finding, f"{url} {theme} {width}")
    return found


@pytest.mark.timeout(1200)  # some fifty pages in four looks
def test_no_page_has_a_serious_finding(page: Page, web: Web, filled: dict[str, Server], admin: User) -> None:
    found: dict[str, str] = {}
    for path in dict.fromkeys(every_page(filled, admin)):
        answer = page.goto(f"{web.root}{path}")
        if answer and answer.status == 200:
            found |= in_every_look(page, path)
    assert not found, "\n".join(f"{where}: {what}" for what, where in found.items())
    assert Token.objects.exists()


def test_the_login_page(browser: Browser, web: Web) -> None:
    page = browser.new_page()
    page.goto(web.url("login"))
    assert not in_every_look(page, "login")
    page.close()


def test_keys_reach_what_matters(page: Page, web: Web, filled: dict[str, Server]) -> None:
    """The first stop skips the navigation; the focus is seen; every button of the page can be reached."""
    page.goto(web.url("servers_server_change", filled["time"].pk))
    while page.evaluate("document.activeElement === document.body"):  # a key before the first frame is lost
        page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    wanted = set(page.locator(".mh-page a.mh-button:visible, .mh-page button:visible").all_inner_texts())
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        here, seen, words = page.evaluate(FOCUS)
        if not here:
            continue
        assert seen, f"the focus on {words!r} is not seen"
        reached.add(words)
    assert wanted <= reached
