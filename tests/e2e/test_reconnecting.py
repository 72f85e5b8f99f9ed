"""A browser at a server's log while the whole platform is restarted, with the server writing all the time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.test_browser import count, shown
from tests.e2e.upping import Machine, Session, archive, machine
from tests.eventually import eventually
from tests.platform import hello_files

pytestmark = pytest.mark.real
WRITES = """
import pathlib, sys, threading, time

def write():
    run, number = time.time_ns(), 0
    while not pathlib.Path({enough!r}).exists():
        print(f"run {{run}} line {{number}}", file=sys.stderr, flush=True)
        number += 1
        time.sleep(0.2)

threading.Thread(target=write, daemon=True).start()
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, migrated=True) as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def writing(enough: Path) -> dict[str, str | bytes]:
    """A server that writes numbered lines until that file is there."""
    files = hello_files()
    source = bytes(files["server.py"])  # type: ignore[arg-type]
    start = b"from __future__ import annotations\n"
    assert start in source
    files["server.py"] = source.replace(start, start + b"import writes\n", 1)
    return {**files, "writes.py": WRITES.format(enough=str(enough))}


def runs(texts: list[str]) -> dict[str, list[int]]:
    """The numbers of the lines that each run of the server has written."""
    found: dict[str, list[int]] = defaultdict(list)
    for text in texts:
        if line := re.fullmatch(r"run (\d+) line (\d+)", text):
            found[line[1]].append(int(line[2]))
    return found


def test_no_line_is_lost_or_doubled_while_the_platform_is_restarted(
    here: Machine, page: Page, tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    up = here.start()
    password = up.password
    session = Session(up, password)
    with archive(here.home, writing(enough)) as source:
        made = session.upload("/api/servers/", source, name="Writes", slug="writes")

    page.goto(f"{up.url}/admin/servers/server/{made['id']}/logs/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".mh-title")).to_contain_text("Running", timeout=120_000)
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    page.get_by_text(re.compile(r"^run \d+ line 9$")).first.wait_for()

    assert up.stop() == 0
    expect(page.locator("[data-log-state]")).to_have_text("Reconnecting")
    before = runs(shown(page))
    again = here.start(BIND_PORT=str(up.port))
    expect(page.locator("[data-log-state]")).to_have_text("Live")

    def kept() -> list[str]:
        lines: list[dict[str, Any]] = session.get(f"/api/servers/{made['id']}/logs/?tail=1000")["results"]
        return [line["text"] for line in lines]

    eventually(
        lambda: any(len(runs(kept())[run]) > 10 for run in runs(kept()).keys() - before.keys()),
        within=120,
        what="the server runs again and writes",
    )
    enough.touch()
    page.get_by_label("Follow").uncheck()
    eventually(lambda: shown(page) == kept(), what="the browser shows what is kept, in its order")
    assert count(page) == len(kept())
    assert all(numbers == list(range(len(numbers))) for numbers in runs(shown(page)).values())
    assert again.stop() == 0
