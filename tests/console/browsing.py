"""A browser on the platform's own ASGI application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.db import connections
from django.urls import reverse
from playwright.sync_api import Browser, Page

from tests.accounts import person
from tests.eventually import eventually

REFUSED = "the server responded with a status of 40"


class Web:
    """Web and gateway of the platform in a thread, on a port that stays the same over a restart."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        from mcphost.asgi import make_application

        web = make_application()
        config = uvicorn.Config(web, port=self.port, log_level="warning", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        eventually(lambda: self.server.started, what="the web server has started")
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=30)

    def url(self, name: str, *arguments: object) -> str:
        return f"{self.root}{reverse(f'admin:{name}', args=arguments)}"

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def web(transactional_db: None) -> Iterator[Web]:
    running = Web()
    yield running
    running.stop()
    connections.close_all()


@pytest.fixture
def admin(web: Web) -> User:
    return person("admin", is_staff=True, is_superuser=True)


@contextmanager
def signed_in(browser: Browser, web: Web, name: str, *, refused: bool = False, **look: Any) -> Iterator[Page]:
    """A person's own browser; whatever it complains of (scripts, the security policy) fails the test.

    `refused`: the test asks for what is refused, of which a browser complains too.
    """
    complaints: list[str] = []
    context = browser.new_context(**look)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if _is_ours(message) else None)
    page.goto(web.url("login"))
    page.fill("[name=username]", name)
    page.fill("[name=password]", f"{name}-password")
    page.click("[type=submit]")
    page.wait_for_url(web.url("index"))
    yield page
    context.close()
    ours = [each for each in complaints if not (refused and REFUSED in each)]
    assert not ours, ours


@pytest.fixture
def page(browser: Browser, web: Web, admin: User) -> Iterator[Page]:
    with signed_in(browser, web, admin.username) as page:
        yield page


def _is_ours(message: Any) -> bool:
    return message.type == "error" and "net::ERR" not in message.text
