"""Takes pictures of a running platform's admin: light and dark, wide and phone.

    SCREENSHOT_PASSWORD=… python -m deploy.screenshots http://127.0.0.1:3000 docs/screenshots --user admin

Every server and deployment that the lists lead with is opened; name others with --server and --deployment.
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
)


def main() -> None:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=OPTIONS)
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
    page.fill("[name=username]", arguments.user)
    page.fill("[name=password]", os.environ["SCREENSHOT_PASSWORD"])
    page.click("[type=submit]")
    page.wait_for_url("**/admin/")
    for name, path in _pages(page, arguments):
        page.goto(f"{arguments.url}{path}")
        _shoot(page, arguments.out, f"{name}-{look.name}")
    page.context.close()


def _pages(page: Page, arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    yield "overview", "/admin/"
    yield "servers", "/admin/servers/server/"
    yield "server", arguments.server or _first(page, arguments.url, "/admin/servers/server/")
    yield "add-server", "/admin/servers/server/add/"
    yield "catalog", "/admin/catalog/"
    yield "deployments", "/admin/servers/deployment/"
    deployment = arguments.deployment or _first(page, arguments.url, "/admin/servers/deployment/")
    yield "deployment", deployment
    yield "compare", deployment.replace("/change/", "/") + "compare/"
    yield "events", "/admin/metrics/usagemetric/"
    yield "logs", "/admin/servers/logline/"
    yield "tokens", "/admin/servers/token/"


def _first(page: Page, url: str, listing: str) -> str:
    page.goto(f"{url}{listing}")
    return page.locator("#result_list tbody th a").first.get_attribute("href") or listing


def _signed_out(browser: Browser, look: Look, url: str) -> Page:
    size = {"width": look.width, "height": look.height}
    context = browser.new_context(viewport=size, color_scheme=look.theme)  # type: ignore[arg-type]
    context.add_init_script(f"localStorage.setItem('adminTheme', JSON.stringify('{look.theme}'))")
    return context.new_page()


def _shoot(page: Page, out: Path, name: str, *, full: bool = True) -> None:
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready")
    size = page.viewport_size or {"width": 1360, "height": 850}
    if full:  # not full_page: what sticks to the window's edges would stand in the middle of the picture
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": min(height, TALLEST)})
    page.screenshot(path=out / f"{name}.png")
    page.set_viewport_size(size)


def _chromium() -> str:
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
