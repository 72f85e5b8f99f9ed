"""What the pages of a running platform weigh: requests and bytes, with an empty cache and with a filled one.

    SCREENSHOT_PASSWORD=… python -m deploy.page_weight http://127.0.0.1:3000 --user admin

Prints the table of docs/console.md. Live feeds are left out: they last as long as the page is open.
"""

from __future__ import annotations

import argparse
import os

from playwright.sync_api import Page, sync_playwright

from deploy.screenshots import OPTIONS, chromium, pages, sign_in

SETTLED = 1000  # ms after the load, for what scripts fetch
TRANSFERRED = """() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
    .filter((entry) => !entry.name.includes("/stream/")).map((entry) => entry.transferSize)"""


def main() -> None:
    arguments = _arguments()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = browser.new_page()
        sign_in(page, arguments.url, arguments.user, os.environ["SCREENSHOT_PASSWORD"])
        state = page.context.storage_state()
        print("| page | requests | first visit | again |\n|---|---|---|---|")
        for name, path in list(pages(page, arguments.url, arguments.server, arguments.deployment)):
            fresh = browser.new_context(storage_state=state).new_page()
            first, again = (weigh(fresh, f"{arguments.url}{path}") for _ in range(2))
            sizes = f"{sum(first) / 1024:,.0f} KiB | {sum(again) / 1024:,.0f} KiB"
            print(f"| {name} | {len(first)} | {sizes} |", flush=True)
            fresh.context.close()
        browser.close()


def weigh(page: Page, url: str) -> list[int]:
    """Bytes that came over the wire, for each request."""
    page.goto(url, wait_until="load")
    page.wait_for_timeout(SETTLED)
    sizes: list[int] = page.evaluate(TRANSFERRED)
    return sizes


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--server", default="", help="path of a server's page")
    parser.add_argument("--deployment", default="", help="path of a deployment's page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
