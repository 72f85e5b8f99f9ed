"""The console on a real platform: what failed is named and pressed away, what happens is seen as it does."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from access.models import AuditEntry
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from servers.models import Deployment, Server
from servers.states import ServerStatus
from tests.console.browsing import Web, signed_in, web
from tests.e2e.hosting import DockerPlatform
from tests.eventually import eventually
from tests.platform import forget_adapters
from tests.registry.conftest import write_config

__all__ = ["web"]
pytestmark = pytest.mark.real

MB = 1 << 20
# What the page does meanwhile: each value that a bar had, and what moved without being touched until the
# deployment is over. What to do about a failure comes on top then, and moves the rest.
WATCH = """() => {
  window.bars = []; window.shifts = []; window.over = Infinity;
  const title = document.querySelector(".mh-title");
  const look = () => {
    const bar = document.querySelector("[role=progressbar]");
    const value = (name) => bar.getAttribute(`aria-value${name}`);
    if (bar) window.bars.push([Number(value("now")), value("text")]);
    if (title.textContent.includes("Failed")) window.over = Math.min(window.over, performance.now());
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shifts.push([entry.startTime, entry.value]);
  }).observe({ type: "layout-shift", buffered: false });
}"""


@pytest.fixture
def page(browser: Browser, web: Web, docker_platform: DockerPlatform) -> Iterator[Page]:
    with signed_in(browser, web, docker_platform.owner.username) as page:
        yield page


def newest(server: Server) -> Deployment:
    return server.deployments.latest("number")


def test_expired_credentials_are_pressed_away(
    page: Page,
    web: Web,
    docker_platform: DockerPlatform,
    settings: Any,
    registry_token: Registry,
    tmp_path: Path,
) -> None:
    """The push fails, the page says why, somebody renews the login, and presses the button."""
    config, renewed = tmp_path / "config.json", tmp_path / "renewed.json"
    write_config(config, registry_token.host, registry_token.username, "of yesterday")
    settings.REGISTRY = f"{registry_token.host}/expired"
    settings.REGISTRY_AUTH_DOCKERCONFIG = config
    settings.REGISTRY_REFRESH_COMMAND = ["cp", str(renewed), str(config)]
    forget_adapters()
    server = docker_platform.healthy("expired")
    failed = docker_platform.deploy(server, within=120)
    assert failed.error_kind == "auth_expired"

    page.goto(web.url("servers_server_change", server.pk))
    page.get_by_role("link", name=f"What to do about #{failed.number}").click()
    runbook = page.get_by_role("region", name="Runbook")
    expect(runbook).to_contain_text("The registry rejected the credentials")
    expect(runbook).to_contain_text("A refresh was tried and failed")

    write_config(renewed, registry_token.host, registry_token.username, registry_token.password)
    runbook.get_by_role("link", name="Refresh credentials and push again…").click()
    expect(page.locator(".mh-sentences")).to_contain_text("REGISTRY_REFRESH_COMMAND is run once")
    assert newest(server) == failed, "looking changes nothing"
    page.get_by_role("button", name="Refresh credentials and push again").click()

    expect(page.locator(".mh-title")).to_contain_text(f"#{failed.number + 1}")
    timeline = page.locator("[data-live=steps]")
    expect(timeline).to_contain_text("The registry's credentials are renewed first.")
    expect(timeline).to_contain_text("Renewed: healthy", timeout=60_000)
    expect(page.locator(".mh-title")).to_contain_text("Succeeded", timeout=120_000)
    expect(page.locator("[data-live=notice]")).to_contain_text("It is serving.")
    expect(timeline).to_contain_text("taken over yes")
    docker_platform.becomes(server, ServerStatus.RUNNING)
    entry = AuditEntry.objects.get(action="runbook.refresh-credentials")
    assert (entry.by, entry.via) == (docker_platform.owner, "admin")


def test_a_slow_push_is_watched_by_its_bytes(
    page: Page, web: Web, docker_platform: DockerPlatform, settings: Any, fault_proxy: FaultProxy
) -> None:
    """16 MB at 2 MB a second, with a fault in the middle: the bar moves, and never back; nothing jumps."""
    settings.REGISTRY, settings.REGISTRY_PUSH_RETRIES = f"{fault_proxy.host}/slow", 4
    watched = threading.Event()
    slow = {"method": "PATCH|PUT", "path": "/blobs/uploads/", "action": "throttle", "rate": 2 * MB}
    slow["gate"] = watched
    fault_proxy.set([{"method": "PUT", "path": "/manifests/", "action": "reset", "times": 1}, slow])
    files = docker_platform.busybox("COPY large.bin /", 'CMD ["true"]')
    files["large.bin"] = os.urandom(16 * MB)
    server = docker_platform.server("slow", files, transport="streamable-http")
    deployment = docker_platform.request(server)
    eventually(lambda: deployment.steps.filter(kind="push").exists(), within=120, what="it pushes")

    page.goto(web.url("servers_deployment_change", deployment.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    bar = page.get_by_role("progressbar", name="Push linux/amd64")
    expect(bar).to_be_visible()
    page.evaluate(WATCH)
    watched.set()
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"MB of \d"), timeout=60_000)
    log = page.locator("[data-log]")
    expect(log).to_contain_text("Registry push attempt 1/4")
    expect(page.locator("[data-live=steps]")).to_contain_text("Attempt 1 of 4 failed", timeout=60_000)
    expect(bar).to_have_count(0, timeout=120_000)

    seen = page.evaluate("window.bars")
    values = [value for value, _ in seen]
    assert values == sorted(values), values
    assert len(set(values)) >= 5, "it moves"
    assert max(values) >= 95
    shifts = page.evaluate("window.shifts.filter(([at]) => at < window.over).map(([, value]) => value)")
    assert sum(shifts) < 0.1
    assert re.fullmatch(r"(1[6-9]\.\d)\xa0MB of \1\xa0MB", seen[-1][1]), seen[-1]

    docker_platform.ended(deployment, within=120)
    expect(page.locator(".mh-title")).to_contain_text("Failed")
    step = deployment.steps.get(kind="push")
    link = page.locator(f"#step-{step.pk}").get_by_role("link", name=re.compile(r"\d+ lines"))
    link.click()
    page.wait_for_url(re.compile(rf"step={step.pk}\b"))
    expect(page.locator(".mh-log-line").first).to_contain_text("Registry push attempt 1/4")
    line = page.locator(".mh-log-line").first
    line.hover()
    line.get_by_role("link", name="push linux/amd64").click()
    expect(page.locator(f"#step-{step.pk}")).to_be_in_viewport()
    expect(page).to_have_url(re.compile(rf"#step-{step.pk}$"))
