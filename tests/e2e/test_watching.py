"""Several people at the console of one platform: what each sees, and what each may."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from access.actor import Actor
from access.models import AuditEntry, Role, Team
from hooks import services as hook_services
from hooks.models import Delivery
from servers.models import Deployment, Server
from servers.states import ServerStatus
from tests.accounts import person, with_member
from tests.console.browsing import Web, signed_in, web
from tests.eventually import eventually
from tests.hooks.payloads import standard
from tests.platform import Platform, hello_files
from tests.servers.deploying.test_gate import without_add

__all__ = ["web"]
pytestmark = pytest.mark.real

POST = """async (url) => {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const api = url.includes("/api/"), body = { mode: "latest" };
  const answer = await fetch(url, {
    method: "POST",
    body: api ? JSON.stringify(body) : new URLSearchParams(body),
    headers: { "X-CSRFToken": token, ...(api && { "Content-Type": "application/json" }) },
  });
  return answer.status;
}"""


@pytest.fixture
def door(tmp_path: Path) -> Path:
    """The server of `slow` answers once this file is there."""
    path = tmp_path / "open"
    path.touch()
    return path


@pytest.fixture
def server(platform: Platform, door: Path, settings: Any) -> Server:
    """A team's server that serves, and an operator and a viewer of the team; `outsider` is in none."""
    settings.HEALTH_TIMEOUT = 300
    team = Team.objects.create(name="Search")
    with_member(team, person("olga"), Role.OPERATOR)
    with_member(team, person("victor"), Role.VIEWER)
    person("otto")
    files = hello_files()
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(door)!r}).exists():\n    time.sleep(0.05)\n"
    server = platform.server("search", {"waits.py": waits, **files, "server.py": with_first(files, "waits")})
    Server.objects.filter(pk=server.pk).update(team=team)
    assert platform.deploy(server).status == "succeeded"
    return server


def with_first(files: dict[str, str | bytes], module: str) -> str:
    source = files["server.py"]
    assert isinstance(source, bytes)
    start = "from __future__ import annotations\n"
    before, found, after = source.decode().partition(start)
    return f"{before}{found}import {module}\n{after}" if found else f"import {module}\n{before}"


@pytest.fixture
def olga(browser: Browser, web: Web, server: Server) -> Iterator[Page]:
    with signed_in(browser, web, "olga") as page:
        yield page


@pytest.fixture
def victor(browser: Browser, web: Web, server: Server) -> Iterator[Page]:
    with signed_in(browser, web, "victor") as page:
        yield page


def test_two_people_watch_one_deployment(
    olga: Page, victor: Page, web: Web, server: Server, platform: Platform, door: Path
) -> None:
    """The operator presses, both see each step come and end; the viewer has nothing to press."""
    door.unlink()
    for page in (olga, victor):
        page.goto(web.url("servers_server_change", server.pk))
        expect(page.locator("[data-feed-state]")).to_have_text("Live")
        page.evaluate("window.came = 'once'")
    olga.get_by_role("link", name="Redeploy…").click()
    olga.get_by_role("button", name="Redeploy").click()

    victor.get_by_text("is in progress; #1 serves until it is healthy").wait_for()
    assert victor.evaluate("window.came") == "once"
    made = server.deployments.get(number=2)
    expect(olga).to_have_url(web.url("servers_server_change", server.pk))
    for page in (olga, victor):
        page.goto(web.url("servers_deployment_change", made.pk))
        expect(page.locator("[data-feed-state]")).to_have_text("Live")
        page.evaluate("window.came = 'once'")
        steps = page.locator("[data-live=steps]")
        expect(steps.locator("li[data-status=running]")).to_contain_text("In progress")
    expect(olga.get_by_role("link", name="Cancel…")).to_be_visible()
    no_buttons(victor)

    door.touch()
    for page in (olga, victor):
        expect(page.locator(".mh-title")).to_contain_text("Succeeded", timeout=60_000)
        expect(page.locator("[data-live=notice]")).to_contain_text("It is serving.")
        expect(page.locator("[data-live=steps] li[data-status=running]")).to_have_count(0)
        expect(page.locator("[data-live=steps] li[data-status=waiting]")).to_have_count(0)
        assert page.evaluate("window.came") == "once", "nothing was loaded again"
    expect(olga.get_by_role("link", name="Cancel…")).to_have_count(0)
    expect(olga.get_by_role("link", name="Redeploy…")).to_be_visible()
    no_buttons(victor)
    platform.becomes(server, ServerStatus.RUNNING)


def no_buttons(page: Page) -> None:
    for name in ("Cancel…", "Redeploy…", "Stop…", "Roll back to this…", "Delete…", "Edit"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)


def test_a_viewer_s_post_by_hand_is_refused(
    browser: Browser, web: Web, server: Server, platform: Platform
) -> None:
    deployment = server.deployments.get()
    urls = [
        *(web.url(f"servers_server_{name}", server.pk) for name in ("redeploy", "stop", "remove")),
        web.url("servers_deployment_roll_back", deployment.pk),
        f"{web.root}/api/servers/{server.pk}/redeploy/",
        f"{web.root}/api/servers/{server.pk}/stop/",
    ]
    with signed_in(browser, web, "victor", refused=True) as victor:
        victor.goto(web.url("servers_server_change", server.pk))
        no_buttons(victor)
        assert {url: victor.evaluate(POST, url) for url in urls} == dict.fromkeys(urls, 403)
        assert server.deployments.count() == 1
        assert platform.fresh(server).desired_state == "running"
    with signed_in(browser, web, "olga") as olga:
        olga.goto(web.url("servers_server_change", server.pk))
        assert olga.evaluate(POST, urls[0]) == 200, "the same request of somebody who may"
    platform.ended(server.deployments.get(number=2))


def test_an_outsider_finds_nothing(browser: Browser, web: Web, server: Server) -> None:
    deployment = server.deployments.get()
    with signed_in(browser, web, "otto", refused=True) as otto:
        for name in ("servers_server", "servers_deployment", "servers_logline", "metrics_usagemetric"):
            otto.goto(web.url(f"{name}_changelist"))
            expect(otto.locator("#result_list tbody tr")).to_have_count(0)
            expect(otto.locator("main, #content").first).not_to_contain_text("Search #1")
        assert otto.request.get(f"{web.root}/api/servers/").json()["results"] == []
        api = f"{web.root}/api/servers/{server.pk}"
        hidden = [
            web.url("servers_server_change", server.pk),
            web.url("servers_server_tools", server.pk),
            web.url("servers_deployment_change", deployment.pk),
            *(f"{api}/{end}" for end in ("", "logs/", "logs/stream/", "metrics/stream/", "logs/download/")),
            f"{web.root}/api/deployments/{deployment.pk}/",
        ]
        answers = {url: otto.goto(url) for url in hidden}
        assert {url: each and each.status for url, each in answers.items()} == dict.fromkeys(hidden, 404)
        otto.goto(web.url("index"))
        posts = [web.url("servers_server_redeploy", server.pk), f"{api}/redeploy/"]
        assert [otto.evaluate(POST, url) for url in posts] == [404, 404]
        assert server.deployments.count() == 1


def test_what_the_gate_holds_is_approved_with_a_button(
    olga: Page, web: Web, server: Server, platform: Platform
) -> None:
    Server.objects.filter(pk=server.pk).update(schema_gate="hold")
    platform.upload(Server.objects.get(pk=server.pk), without_add())
    olga.goto(web.url("servers_server_change", server.pk))
    held = platform.deploy(server)
    olga.locator("[data-live=notice]").get_by_role("link", name="See what changed").click()
    expect(olga.locator("[data-live=tools]")).to_contain_text("add")
    expect(olga.locator("[data-live=tools]")).to_contain_text("Removed")

    olga.get_by_role("region", name="Runbook").get_by_role("link", name="Approve…").click()
    expect(olga.locator(".mh-sentences")).to_contain_text("add is gone.")
    assert Deployment.objects.get(pk=held.pk).status == "held", "looking decides nothing"
    olga.get_by_role("button", name="Approve").click()
    expect(olga.locator(".mh-title")).to_contain_text("#3")
    expect(olga.locator(".mh-title")).to_contain_text("Succeeded", timeout=60_000)
    expect(olga.locator("[data-live=notice]")).to_contain_text("It is serving.")
    assert AuditEntry.objects.get(action="deployment.approved").by.username == "olga"


def test_a_delivery_is_seen_and_delivered_again(
    olga: Page, web: Web, server: Server, platform: Platform
) -> None:
    olga.goto(web.url("servers_server_webhooks", server.pk))
    expect(olga.locator("[data-live=deliveries]")).to_contain_text("No deliveries yet.")
    hook, secret = hook_services.create(server=server, by=Actor(platform.owner), fields={"kind": "generic"})
    body = json.dumps({"message": "nightly"}).encode()
    headers = {"content-type": "application/json", **standard(secret, body, time.time())}
    assert requests.post(f"{web.root}{hook.path}", body, headers=headers, timeout=60).status_code == 202
    platform.ended(server.deployments.get(number=2))

    olga.reload()
    row = olga.locator("[data-live=deliveries] tbody tr")
    expect(row).to_contain_text("#2")
    row.get_by_role("link").first.click()
    olga.get_by_role("link", name="Redeliver…").click()
    olga.get_by_role("button", name="Redeliver").click()
    expect(olga.locator(".mh-page")).to_contain_text("#3")
    again = Delivery.objects.get(origin__isnull=False)
    assert again.requested_by is not None
    assert again.requested_by.username == "olga"
    third = eventually(lambda: server.deployments.filter(number=3).first(), what="it deploys again")
    assert platform.ended(third).status == "succeeded"
