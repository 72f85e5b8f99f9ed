"""The browsable page in a real browser, under our Content-Security-Policy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from deploy.bench.requirement import program

pytestmark = pytest.mark.real


def test_the_page_shows_the_api_and_breaks_no_policy(live_server: LiveServer, tmp_path: Path) -> None:
    # Chromium alone: Playwright keeps an event loop in this thread, which Django takes for an async caller.
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    show = ["--dump-dom", "--virtual-time-budget=20000", "--enable-logging=stderr"]
    page = subprocess.run(
        [program("chromium"), *options, *show, f"{live_server.url}/api/docs/"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "/api/servers/{id}/rollback/" in page.stdout.replace("\u200b", "").replace("<wbr>", "")
    assert "Content Security Policy" not in page.stderr
    assert "CONSOLE" not in page.stderr
