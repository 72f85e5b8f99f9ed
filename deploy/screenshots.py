"""Takes pictures of a running platform's admin: light and dark, wide and phone.

    SCREENSHOT_PASSWORD=… python -m deploy.screenshots http://127.0.0.1:3000 docs/screenshots --user admin

Every server and deployment that the lists lead with is opened; name others with --server and --deployment.
There has to be one of each.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
TALLEST = 2400
SETTLED = 300  # ms for what scripts draw after that, such as the lines of a log
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Look:
    name: str
    width: int
    height: int
    theme: str


LOOKS = (
    Look("light", 1360, 850, "light"),
    Look("dark", 1360, 850, "dark"),
    Look("phone", 390, 844, "light"),
    Look("phone-dark", 390, 844, "dark"),
)
# The feeds of pages that have one (a page of something that is over names none), and the log's own.
FEEDS = """() => [
    ...(document.querySelector("[data-feed-status]:not([data-feed-status=''])")
        ? document.querySelectorAll("[data-feed-state]") : []),
    ...document.querySelectorAll("[data-log-state]"),
].every((state) => ["Live", "Ended"].includes(state.textContent))"""


def main() -> None:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        for look in LOOKS:
            take(browser, look, arguments)
        browser.close()


def take(browser: Browser, look: Look, arguments: argparse.Namespace) -> None:
    """One look at every page; prints what the browser complained of."""
    page = _signed_out(browser, look, arguments.url)
    page.on("console", lambda message: print(f"{look.name}: {message.type}: {message.text}"))
    page.on("pageerror", lambda error: print(f"{look.name}: {error}"))
    page.goto(f"{arguments.url}/admin/login/")
    _shoot(page, arguments.out, f"login-{look.name}", full=False)
    sign_in(page, arguments.url, arguments.user, os.environ["SCREENSHOT_PASSWORD"])
    for name, path in pages(page, arguments.url, arguments.server, arguments.deployment):
        page.goto(f"{arguments.url}{path}")
        _shoot(page, arguments.out, f"{name}-{look.name}")
        if name == "server-tools":
            _try(page, arguments.out, f"server-try-{look.name}")
    page.context.close()


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    page.goto(f"{url}/admin/login/")
    page.fill("[name=username]", user)
    page.fill("[name=password]", password)
    page.click("[type=submit]")
    page.wait_for_url("**/admin/")


def pages(page: Page, url: str, server: str = "", deployment: str = "") -> Iterator[tuple[str, str]]:
    """Names and paths of what is shown."""
    yield "overview", "/admin/"
    yield "servers", "/admin/servers/server/"
    server = server or _first(page, url, "/admin/servers/server/")
    yield "server", server
    for tab in ("tools", "usage", "deployments", "logs", "webhooks", "settings"):
        yield f"server-{tab}", server.replace("/change/", f"/{tab}/")
    yield "preview", server.replace("/change/", "/redeploy/")
    yield "add-server", "/admin/servers/server/add/"
    yield "catalog", "/admin/catalog/"
    yield "deployments", "/admin/servers/deployment/"
    deployment = deployment or _first(page, url, "/admin/servers/deployment/")
    yield "deployment", deployment
    yield "compare", deployment.replace("/change/", "/") + "compare/"
    if failed := _first(page, url, "/admin/servers/deployment/?status__exact=failed"):
        yield "runbook", failed
    yield "events", "/admin/metrics/usagemetric/"
    yield "logs", "/admin/servers/logline/"
    yield "audit", "/admin/access/auditentry/"
    if entry := _first(page, url, "/admin/access/auditentry/?q=server.changed"):
        yield "audit-entry", entry
    yield "webhooks", "/admin/hooks/delivery/"
    if accepted := _first(page, url, "/admin/hooks/delivery/?outcome__exact=accepted"):
        yield "delivery", accepted
    yield "notices", "/admin/notices/channel/"
    yield "tokens", "/admin/servers/token/"
    yield "teams", "/admin/access/team/"
    yield "users", "/admin/auth/user/"


def _try(page: Page, out: Path, name: str) -> None:
    """The first tool called with what its fields suggest, where something serves."""
    call = page.locator("[data-try-call]:not([disabled])")
    if not call.count():
        return
    for field in page.locator("[data-try-fields] [aria-required]").all():
        tag = field.evaluate("field => field.tagName + ' ' + (field.type ?? '')")
        if tag.startswith("SELECT"):
            field.select_option(index=1)
        else:
            field.fill("2" if "number" in tag else "Ada")
    call.click()
    page.locator("[data-try-outcome]:not([data-tone=blue])").wait_for()
    _shoot(page, out, name)


def _first(page: Page, url: str, listing: str) -> str:
    """The address of the first row, "" for none."""
    page.goto(f"{url}{listing}")
    row = page.locator("#result_list tbody th a").first
    return (row.get_attribute("href") or "") if row.count() else ""


def _signed_out(browser: Browser, look: Look, url: str) -> Page:
    size = {"width": look.width, "height": look.height}
    context = browser.new_context(viewport=size, color_scheme=look.theme)  # type: ignore[arg-type]
    context.add_init_script(f"localStorage.setItem('adminTheme', JSON.stringify('{look.theme}'))")
    return context.new_page()


def _shoot(page: Page, out: Path, name: str, *, full: bool = True) -> None:
    _settle(page)
    size = page.viewport_size or {"width": 1360, "height": 850}
    if full:  # not full_page: what sticks to the window's edges would stand in the middle of the picture
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": min(height, TALLEST)})
        page.wait_for_timeout(SETTLED)
    page.screenshot(path=out / f"{name}.png")
    page.set_viewport_size(size)


def _settle(page: Page) -> None:
    """Scripts have run, fonts are there, and what is live says so."""
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready.then(() => true)")
    page.wait_for_function(FEEDS)
    page.wait_for_timeout(SETTLED)


def chromium() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("No Chromium was found. Install it: apt-get install chromium")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--server", default="", help="path of a server's page")
    parser.add_argument("--deployment", default="", help="path of a deployment's page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
