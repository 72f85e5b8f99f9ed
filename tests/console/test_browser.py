"""The console in a real browser, on the platform's own ASGI application."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, Route, expect

from console import notes
from metrics import recorder
from servers import events, logbook
from servers.models import Deployment, LogLine, Server, Step, build_choices
from servers.operations.needs_attention import Concern
from tests.accounts import begun
from tests.console import demo
from tests.console.browsing import Web, admin, page, signed_in, web

pytestmark = pytest.mark.real


__all__ = ["admin", "page", "web"]
HEARD = """
window.heard = 0;
window.EventSource = class extends EventSource {
  constructor(...about) {
    super(...about);
    this.addEventListener("status", () => { window.heard += 1; });
  }
};
"""


WAITS = """
window.waits = [];
const wait = window.setTimeout;
window.setTimeout = (act, milliseconds, ...more) => {
  waits.push(milliseconds);
  return wait(act, milliseconds, ...more);
};
"""


def wrote(deployment: Deployment, *texts: str, step: Step | None = None) -> None:
    lines = [
        LogLine(
            server_id=deployment.server_id,
            deployment=deployment,
            step=step,
            stream="build",
            at=timezone.now(),
            text=text,
        )
        for text in texts
    ]
    logbook.keep(deployment.server_id, lines)


def recorded(deployment: Deployment, event_type: str, **details: Any) -> None:
    metric = recorder.record(
        server_id=deployment.server_id, deployment_id=deployment.pk, event_type=event_type, details=details
    )
    events.metric_recorded(metric)


@pytest.fixture
def running(admin: User) -> Deployment:
    server = demo.server(admin, "Search", status="building")
    deployment = demo.deployment(server, 1, "running", 10)
    demo.step(deployment, "clone", 0, 1.2)
    return deployment


def test_a_deployment_is_watched_to_its_end(page: Page, web: Web, running: Deployment) -> None:
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    step = demo.step(running, "build", 2, None, platform="linux/arm64")
    recorded(running, "build_started", platform="linux/arm64")
    row = page.locator(f"#step-{step.pk}")
    expect(row).to_contain_text("In progress")
    expect(page.locator("[data-live=events]")).to_contain_text("build_started")

    broke = {"status": "failed", "error": "The Dockerfile names no base image.", "error_kind": "build"}
    Step.objects.filter(pk=step.pk).update(finished_at=timezone.now(), **broke)
    Deployment.objects.filter(pk=running.pk).update(finished_at=timezone.now(), **broke)
    Server.objects.filter(pk=running.server_id).update(status="error")
    recorded(running, "build_failed", platform="linux/arm64", error=broke["error"], error_kind="build")
    events.status_changed(running.server_id)
    expect(row).to_contain_text("The Dockerfile names no base image.")
    expect(page.locator(".mh-title")).to_contain_text("Failed")
    expect(page.get_by_role("link", name="Cancel…")).to_have_count(0)


def test_nothing_moves_under_a_pressed_pointer(page: Page, web: Web, running: Deployment) -> None:
    """Else a click is lost, since what it was aimed at has moved on when the button comes up."""
    page.clock.install()
    page.add_init_script(HEARD)
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    page.clock.pause_at(timezone.now() + timedelta(hours=1))
    page.locator(".mh-title").hover()
    page.mouse.down()
    step = demo.step(running, "build", 2, None, platform="linux/arm64")
    events.status_changed(running.server_id)
    page.wait_for_function("() => heard == 1")
    with page.expect_response(page.url):
        page.clock.run_for(1_000)
    page.evaluate("fetch(location.href).then((answer) => answer.text())")
    row = page.locator(f"#step-{step.pk}")
    assert row.count() == 0
    page.mouse.up()
    page.clock.resume()
    expect(row).to_contain_text("In progress")


@pytest.mark.parametrize("button", ["left", "right"])
def test_a_press_whose_end_nobody_tells_freezes_no_page(
    page: Page, web: Web, running: Deployment, button: Literal["left", "right"]
) -> None:
    """Menus, drags and other windows keep it to themselves."""
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    page.locator(".mh-title").hover()
    page.mouse.down(button=button)
    step = demo.step(running, "build", 2, None, platform="linux/arm64")
    recorded(running, "build_started", platform="linux/arm64")
    expect(page.locator(f"#step-{step.pk}")).to_contain_text("In progress")


def fails(deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(status="failed", finished_at=timezone.now())
    Server.objects.filter(pk=deployment.server_id).update(status="error")
    events.status_changed(deployment.server_id)


@pytest.mark.parametrize(
    ("view", "before", "after"),
    [
        ("index", "In progress", "Failed"),
        ("servers_server_changelist", "Building", "Error"),
        ("servers_server_change", "Building", "Error"),
    ],
)
def test_what_happens_before_the_page_listens_shows_too(
    page: Page, web: Web, running: Deployment, view: str, before: str, after: str
) -> None:
    held: list[Route] = []
    page.route("**/api/servers/stream/**", lambda route: held.append(route), times=1)
    with page.expect_request("**/api/servers/stream/**"):
        page.goto(web.url(view, *([running.server_id] if view == "servers_server_change" else [])))
    pill = page.locator(".mh-pill")
    expect(pill.filter(has_text=before).first).to_be_visible()
    fails(running)
    (route,) = held
    route.continue_()
    expect(pill.filter(has_text=after).first).to_be_visible()
    expect(pill.filter(has_text=before)).to_have_count(0)


def test_what_happens_while_the_page_is_fetched_shows_too(page: Page, web: Web, running: Deployment) -> None:
    """The last event of a deployment may come while the page still fetches for the one before."""
    page.add_init_script(HEARD)
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    held: list[Route] = []
    page.route(page.url, lambda route: held.append(route), times=1)
    with page.expect_request(page.url):
        events.status_changed(running.server_id)
    page.wait_for_function("() => heard == 1")
    (route,) = held
    before = route.fetch()
    fails(running)
    page.wait_for_function("() => heard == 2")
    route.fulfill(response=before)
    expect(page.locator(".mh-title")).to_contain_text("Failed")


def test_a_page_that_could_not_be_fetched_is_fetched_again(page: Page, web: Web, running: Deployment) -> None:
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    page.route(page.url, lambda route: route.abort(), times=1)
    with page.expect_event("requestfailed"):
        fails(running)
    expect(page.locator(".mh-title")).to_contain_text("Failed")


@pytest.fixture
def refused(browser: Browser, web: Web, admin: User) -> Iterator[Page]:
    """A page that will be refused something, of which the browser complains."""
    with signed_in(browser, web, admin.username, refused=True) as page:
        yield page


def is_over(page: Page, words: str, link: str) -> Locator:
    """The page says so; its feeds have ended and ask for nothing any more."""
    notice = page.locator(".mh-over")
    expect(notice).to_contain_text(words)
    expect(notice).to_be_in_viewport()
    expect(page.locator("[data-feed-state]")).to_have_text("Ended")
    expect(page.locator("[data-log-state]")).to_have_text("Ended")
    return notice.get_by_role("link", name=link)


def test_a_page_whose_server_was_deleted_says_so(refused: Page, web: Web, running: Deployment) -> None:
    page = refused
    page.goto(web.url("servers_server_logs", running.server_id))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    with transaction.atomic():
        events.status_changed(running.server_id)
        Server.objects.filter(pk=running.server_id).delete()
    is_over(page, "This page no longer exists", "Go to the overview").click()
    expect(page).to_have_url(web.url("index"))


def test_a_page_whose_login_has_ended_says_so(refused: Page, web: Web, running: Deployment) -> None:
    page = refused
    page.goto(web.url("servers_server_logs", running.server_id))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    Session.objects.all().delete()
    web.stop()
    web.start()
    is_over(page, "Your login has ended.", "Log in again").click()
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", "admin-password")
    page.click("[type=submit]")
    expect(page).to_have_url(web.url("servers_server_logs", running.server_id))


def test_what_a_proxy_says_ends_no_page(refused: Page, web: Web, running: Deployment) -> None:
    """In front of a platform that restarts there may be one that finds nothing for a moment."""
    page = refused
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    page.route(page.url, lambda route: route.fulfill(status=404, body="404 page not found"), times=1)
    with page.expect_response(page.url):
        fails(running)
    expect(page.locator(".mh-title")).to_contain_text("Failed")
    expect(page.locator("[data-feed-state]")).to_have_text("Live")


def count(page: Page) -> int:
    return int(page.locator("[data-log]").get_attribute("data-count") or 0)


def days(page: Page) -> dict[str, str]:
    """The lines that have a date, of all that one scrolls through."""
    return page.evaluate(
        """async () => {
            const log = document.querySelector("[data-log]"), found = {};
            for (let top = 0; top < log.scrollHeight; top += 300) {
                log.scrollTop = top;
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                for (const line of log.querySelectorAll("[data-day]")) {
                    found[line.querySelector("span").textContent] = line.dataset.day;
                }
            }
            return found;
        }"""
    )


def shown(page: Page) -> list[str]:
    """Every line, in its order: only those near the view have elements, so one scrolls through them."""
    return page.evaluate(
        """async () => {
            const log = document.querySelector("[data-log]"), found = new Map();
            for (let top = 0; ; top += 300) {
                log.scrollTop = top;
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                for (const line of log.querySelectorAll(".mh-log-line")) {
                    const place = line.offsetTop;
                    found.set(line.dataset.id, [place, line.querySelector("span").textContent]);
                }
                if (top > log.scrollHeight) break;
            }
            return [...found.values()].map(([, text]) => text);
        }"""
    )


def test_no_line_is_lost_or_doubled_over_a_restart(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, "line 0")
    page.goto(web.url("servers_server_logs", running.server_id))
    state, log = page.locator("[data-log-state]"), page.locator("[data-log]")
    expect(state).to_have_text("Live")
    wrote(running, *(f"line {n}" for n in range(1, 300)))
    expect(log).to_have_attribute("data-count", "300")

    web.stop()
    expect(state).to_have_text("Reconnecting")
    wrote(running, *(f"line {n}" for n in range(300, 320)))
    web.start()
    expect(state).to_have_text("Live", timeout=30_000)
    wrote(running, "line 320")
    expect(log).to_have_attribute("data-count", "321")
    assert shown(page) == [f"line {n}" for n in range(321)]


AT_END = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 24"


def test_the_log_follows_until_somebody_reads(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, *(f"line {n}" for n in range(200)))
    page.goto(web.url("servers_deployment_change", running.pk))
    log, follow = page.locator("[data-log]"), page.get_by_label("Follow")
    expect(log).to_have_attribute("data-count", "200")
    assert log.evaluate(AT_END)
    wrote(running, "one more")
    expect(log).to_have_attribute("data-count", "201")
    assert log.evaluate(AT_END)

    log.hover()
    page.mouse.wheel(0, -2000)
    expect(follow).not_to_be_checked()
    top = log.evaluate("log => log.scrollTop")
    wrote(running, "another")
    expect(log).to_have_attribute("data-count", "202")
    assert log.evaluate("log => log.scrollTop") == top
    follow.check()
    assert log.evaluate(AT_END)


def test_a_hundred_thousand_lines_are_a_few_elements(page: Page, web: Web, running: Deployment) -> None:
    """Older lines come as one scrolls up to them, and what one reads stays where it is."""
    rows = (
        LogLine(server_id=running.server_id, deployment=running, stream="build", at=timezone.now(), text=text)
        for text in (f"line {n} " + "x" * (n % 400) for n in range(100_000))
    )
    LogLine.objects.bulk_create(rows, batch_size=5_000)
    page.goto(web.url("servers_server_logs", running.server_id))
    log = page.locator("[data-log]")
    expect(log).to_have_attribute("data-count", "300")
    page.get_by_label("Follow").uncheck()
    while (before := count(page)) < 20_000:
        log.evaluate("log => { log.scrollTop = 0 }")
        expect(log).not_to_have_attribute("data-count", str(before))
    assert page.evaluate("document.querySelectorAll('.mh-log-line').length") < 1_500
    log.evaluate("log => { log.scrollTop = log.scrollHeight / 2 }")
    top = """() => {
        const log = document.querySelector("[data-log]"), drawn = [...log.querySelectorAll(".mh-log-line")];
        return drawn.find((line) => line.offsetTop + line.offsetHeight > log.scrollTop + 1)?.innerText }"""
    reading = page.wait_for_function(top).json_value()
    before = count(page)
    wrote(running, "meanwhile")
    expect(log).to_have_attribute("data-count", str(before + 1))
    assert page.evaluate(top) == reading


def test_a_search_finds_what_is_far_away(page: Page, web: Web, running: Deployment) -> None:
    texts = ["the needle", *(f"hay {n}" for n in range(2_000)), "level=error no needles", "Needle at last"]
    wrote(running, *texts)
    page.goto(web.url("servers_server_logs", running.server_id))
    log = page.locator("[data-log]")
    page.get_by_label("Search in the log").fill("needle")
    expect(log).to_have_attribute("data-count", "3")
    expect(page.locator(".mh-log-line mark")).to_have_text(["needle", "needle", "Needle"])
    expect(page).to_have_url(f"{web.url('servers_server_logs', running.server_id)}?search=needle")
    wrote(running, "one more needle", "and hay")
    expect(log).to_have_attribute("data-count", "4")
    page.get_by_label("Level", exact=True).select_option("error")
    expect(log).to_have_attribute("data-count", "1")
    with page.expect_download() as download:
        page.get_by_role("link", name="text", exact=True).click()
    assert download.value.path().read_text().count("\n") == 1
    page.reload()
    expect(log).to_have_attribute("data-count", "1")


def test_a_search_typed_before_the_script_came(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, "the needle", "hay")
    held: list[Route] = []
    script = re.compile(r"/mcphost/log(\.\w+)?\.js")
    page.route(script, lambda route: held.append(route))
    with page.expect_request(script):
        page.goto(web.url("servers_server_logs", running.server_id))
    page.get_by_label("Search in the log").fill("needle")
    held[0].continue_()
    expect(page.locator("[data-log]")).to_have_attribute("data-count", "1")


ASKED = re.compile(r"/api/servers/\d+/logs/\?")
SCROLLED_TO = """text => {
    const log = document.querySelector("[data-log]");
    log.scrollTop = log.scrollHeight;
    return [...log.querySelectorAll(".mh-log-line")].at(-1)?.textContent.includes(text) }"""
FAILED = "The search failed. These lines are from before it."


def test_a_search_that_fails_says_so_and_changes_nothing(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, "the needle", *(f"hay {n}" for n in range(400)), "needle two")
    page.goto(web.url("servers_server_logs", running.server_id))
    log, trouble = page.locator("[data-log]"), page.get_by_role("alert").filter(has_text=FAILED)
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    held: list[Route] = []
    page.route(ASKED, lambda route: held.append(route))
    with page.expect_request(ASKED):
        page.get_by_label("Search in the log").fill("needle")
    expect(page.locator("[data-log-count]")).to_have_text("1 found so far, searching")
    wrote(running, "hay that came meanwhile")
    held[0].abort()
    page.unroute(ASKED)
    expect(trouble).to_be_visible()
    expect(page.locator("[data-log-count]")).to_have_text("301 lines, older ones above")
    expect(page.locator(".mh-log-line").last).to_contain_text("hay that came meanwhile")
    assert log.evaluate(AT_END)

    trouble.get_by_role("button", name="Try again").click()
    expect(page.locator("[data-log-count]")).to_have_text("2 found")
    expect(trouble).to_be_hidden()


def test_a_search_typed_before_the_script_came_that_fails(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, "the needle", "hay")
    held: list[Route] = []
    script = re.compile(r"/mcphost/log(\.\w+)?\.js")
    page.route(script, lambda route: held.append(route))
    page.route(ASKED, lambda route: route.abort())
    with page.expect_request(script):
        page.goto(web.url("servers_server_logs", running.server_id))
    page.get_by_label("Search in the log").fill("needle")
    held[0].continue_()
    expect(page.get_by_role("alert").filter(has_text=FAILED)).to_be_visible()
    expect(page.locator("[data-log-count]")).to_have_text("2 lines")


def test_a_search_that_fails_leaves_no_gap_behind_a_linked_line(
    page: Page, web: Web, running: Deployment
) -> None:
    wrote(running, *(f"line {n}" for n in range(1_500)))
    chosen = LogLine.objects.get(text="line 700")
    page.goto(f"{web.url('servers_server_logs', running.server_id)}?line={chosen.pk}")
    log = page.locator("[data-log]")
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    before = count(page)
    page.route(ASKED, lambda route: route.abort())
    page.get_by_label("Follow").click()
    expect(page.get_by_role("alert").filter(has_text=FAILED)).to_be_visible()
    expect(page.get_by_label("Follow")).not_to_be_checked()
    wrote(running, "line 1500")
    log.evaluate("log => { log.scrollTop = log.scrollHeight }")
    expect(page.get_by_role("alert").filter(has_text="More lines could not be fetched.")).to_be_visible()
    expect(log).to_have_attribute("data-count", str(before))
    page.unroute(ASKED)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function(SCROLLED_TO, arg="line 1500")
    assert log.locator(".mh-log-line span").all_inner_texts()[-50:] == [
        f"line {n}" for n in range(1_451, 1_501)
    ]
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(log).to_have_attribute("data-count", "1501")


def test_a_link_leads_to_one_line(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, *(f"line {n}" for n in range(3_000)))
    chosen = LogLine.objects.get(text="line 700")
    page.goto(f"{web.url('servers_server_logs', running.server_id)}?line={chosen.pk}")
    here = page.locator(".mh-log-line[aria-current]")
    expect(here).to_contain_text("line 700")
    expect(here).to_be_in_viewport()
    expect(page.get_by_label("Follow")).not_to_be_checked()
    page.locator("[data-log]").focus()
    page.keyboard.press("j")
    expect(here).to_contain_text("line 701")
    expect(page).to_have_url(f"{web.url('servers_server_logs', running.server_id)}?line={chosen.pk + 1}")
    page.get_by_label("Follow").check()
    expect(page.locator(".mh-log-line").last).to_contain_text("line 2999")
    wrote(running, "the newest")
    expect(page.locator(".mh-log-line").last).to_contain_text("the newest")


def test_lines_lead_to_a_step_that_comes_after_them(page: Page, web: Web, running: Deployment) -> None:
    page.goto(web.url("servers_deployment_change", running.pk))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    expect(page.locator("[data-log-state]")).to_have_text("Live")
    step = demo.step(running, "build", 2, None, platform="linux/arm64")
    wrote(running, "line 0", "line 1", step=step)
    lines = page.locator(".mh-log-line")
    expect(lines).to_have_count(2)
    expect(lines.locator(".mh-log-step")).to_have_count(0)
    recorded(running, "build_started", platform="linux/arm64")
    expect(lines.locator(f"a[href='#step-{step.pk}']")).to_have_count(2)
    expect(page.get_by_label("Step", exact=True).locator(f"option[value='{step.pk}']")).to_have_count(1)


def test_the_first_line_of_a_day_has_its_date(page: Page, web: Web, running: Deployment) -> None:
    wrote(running, *(f"line {n}" for n in range(700)))
    for day, last in ((3, 699), (2, 499), (1, 149)):
        until = LogLine.objects.get(text=f"line {last}").pk
        LogLine.objects.filter(pk__lte=until).update(at=datetime(2026, 3, day, 23, 59, tzinfo=UTC))
    page.goto(web.url("servers_server_logs", running.server_id))
    log, dated = page.locator("[data-log]"), page.locator(".mh-log-line[data-day]")
    expect(log).to_have_attribute("data-count", "300")
    page.get_by_label("Follow").uncheck()
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(log).to_have_attribute("data-count", "700")
    assert days(page) == {"line 0": "2026-03-01", "line 150": "2026-03-02", "line 500": "2026-03-03"}
    assert shown(page) == [f"line {n}" for n in range(700)]
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(dated.first).to_contain_text("line 0")
    before = "node => getComputedStyle(node, '::before').content"
    assert dated.first.evaluate(before) == '"2026-03-01"'


@pytest.mark.parametrize(
    "clipboard", ["", "Object.defineProperty(navigator, 'clipboard', { value: undefined })"]
)
def test_the_link_to_a_line_is_copied(page: Page, web: Web, running: Deployment, clipboard: str) -> None:
    """Without https a browser offers the old way only."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.add_init_script(clipboard)
    wrote(running, "line 0", "line 1")
    page.goto(web.url("servers_server_logs", running.server_id))
    page.locator("[data-log][data-count]").focus()
    page.keyboard.press("j")
    page.keyboard.press("c")
    expect(page.get_by_text("The link to this line is copied.")).to_be_in_viewport()
    chosen = LogLine.objects.get(text="line 1")
    page.keyboard.press("/")
    page.keyboard.press("Control+V")
    link = f"{web.url('servers_server_logs', running.server_id)}?line={chosen.pk}"
    expect(page.get_by_label("Search in the log")).to_have_value(link)


def test_the_step_of_a_line_takes_no_room_on_a_phone(page: Page, web: Web, running: Deployment) -> None:
    """There is no pointer that could bring it up; on the line that was chosen it is there."""
    page.set_viewport_size({"width": 390, "height": 844})
    wrote(running, *(f"line {n}" for n in range(400)), step=running.steps.get())
    page.goto(web.url("servers_deployment_change", running.pk))
    log, line = page.locator("[data-log]"), page.locator(".mh-log-line").last
    expect(line).to_contain_text("line 399")
    expect(line.locator(".mh-log-step")).to_be_hidden()
    line.get_by_role("link").first.click()
    expect(line.locator(".mh-log-step")).to_be_visible()
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(page.locator(".mh-log-line[aria-current]")).to_have_count(0)
    log.evaluate("log => { log.scrollTop = log.scrollHeight }")
    expect(page.locator(".mh-log-line[aria-current]")).to_contain_text("line 399")


def test_the_list_and_the_dashboard_follow_a_status(page: Page, web: Web, running: Deployment) -> None:
    for name, place in (("servers_server_changelist", "#result_list"), ("index", "[data-live=tiles]")):
        Server.objects.filter(pk=running.server_id).update(status="building")
        page.goto(web.url(name))
        expect(page.locator("[data-feed-state]")).to_have_text("Live")
        expect(page.locator(place)).to_contain_text("Building")
        Server.objects.filter(pk=running.server_id).update(status="running")
        events.status_changed(running.server_id)
        expect(page.locator(place)).to_contain_text("Running")


def test_the_overview_waits_for_what_is_looked_at(
    page: Page, web: Web, running: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of the platform before it knows, and asks again at the shortest of its intervals."""
    answer = threading.Event()

    def look() -> list[Concern]:
        answer.wait(60)
        return [Concern("The broker is away", "Nothing is taken up.", severe=True)]

    monkeypatch.setattr(notes, "concerns", notes.Notes(look))
    page.add_init_script(WAITS)
    page.goto(web.url("index"))
    place = page.locator("[data-live=attention]")
    expect(place).to_contain_text("The platform itself is being checked…")
    page.wait_for_function("() => waits.includes(2000)")
    assert 20_000 not in page.evaluate("waits"), "the charts' interval is the longer one"
    answer.set()
    expect(place).to_contain_text("The broker is away")


def test_a_list_says_when_other_rows_are_there(page: Page, web: Web, running: Deployment) -> None:
    page.goto(web.url("servers_deployment_changelist"))
    told = page.get_by_role("link", name="The list has changed: reload")
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    Deployment.objects.filter(pk=running.pk).update(
        status="failed", error="It broke.", finished_at=timezone.now()
    )
    events.status_changed(running.server_id)
    expect(page.locator("#result_list")).to_contain_text("It broke.")
    expect(told).to_be_hidden()
    demo.deployment(running.server, 2, "queued", 0)
    events.status_changed(running.server_id)
    told.click()
    expect(page.locator("#result_list")).to_contain_text("Search #2")
    expect(told).to_be_hidden()


def test_from_the_form_to_a_queued_deployment(page: Page, web: Web) -> None:
    page.goto(web.url("index"))
    page.get_by_role("link", name="Add server").first.click()
    expect(page.get_by_label("Package", exact=True)).to_be_visible()
    page.get_by_label("Git repository").check()
    expect(page.get_by_label("Package", exact=True)).to_be_hidden()
    page.get_by_label("URL").fill("https://git.example.org/team/weather.git")
    page.get_by_label("Name").first.fill("Weather")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".mh-title")).to_contain_text("Weather")
    expect(page.locator("[data-live=deployments]")).to_contain_text("Queued")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".mh-title")).to_contain_text("Cancelled")


def test_a_log_that_has_ended_is_as_tall_as_its_lines(page: Page, web: Web, running: Deployment) -> None:
    """While it runs the box keeps its height; later it is cut to what there is, and lines move nothing."""
    wrote(running, "line 0", "line 1")
    page.goto(web.url("servers_deployment_change", running.pk))
    height = "log => log.offsetHeight"
    log = page.locator("[data-log]")
    tall = log.evaluate(height)
    running.keep(status="succeeded")
    begun(running)
    page.reload()
    short = log.evaluate(height)
    assert short < tall / 2
    wrote(running, *(f"line {n}" for n in range(2, 100)))
    expect(log).to_have_attribute("data-count", "100")
    assert log.evaluate(height) == short
    page.reload()
    expect(log).to_have_attribute("data-count", "100")
    assert log.evaluate(height) == tall


def test_a_page_without_scripts_still_shows_its_state(
    browser: Browser, web: Web, page: Page, running: Deployment
) -> None:
    context = browser.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    plain = context.new_page()
    wrote(running, "a line")
    plain.goto(web.url("servers_deployment_change", running.pk))
    expect(plain.locator(".mh-title")).to_contain_text("In progress")
    expect(plain.locator(".mh-log-line")).to_contain_text("a line")
    context.close()


def test_the_url_is_copied(page: Page, web: Web, running: Deployment) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(web.url("servers_server_change", running.server_id))
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"http://127.0.0.1:{web.port}/mcp/search"


def offers(deployment: Deployment, **tools: list[str]) -> None:
    """The deployment answers calls and offers these tools, each with its arguments."""
    found = [
        {
            "name": name,
            "inputSchema": {"type": "object", "properties": {each: {"type": "string"} for each in arguments}},
        }
        for name, arguments in tools.items()
    ]
    deployment.keep(discovery={"tools": found})
    if not deployment.run:
        begun(deployment, endpoint="http://127.0.0.1:9/mcp")
    Server.objects.filter(pk=deployment.server_id).update(current_deployment=deployment, status="running")
    events.status_changed(deployment.server_id)


def test_the_tools_follow_a_deployment(page: Page, web: Web, running: Deployment) -> None:
    """One can try a tool that is new, with the form that it has now; what was typed and sought stays."""
    page.goto(web.url("servers_server_tools", running.server_id))
    expect(page.locator("[data-feed-state]")).to_have_text("Live")
    offers(running, greet=["name", "title"], add=["a"])
    page.get_by_role("button", name="Try greet").click()
    page.get_by_label("name").fill("Ada")
    page.get_by_label("title").fill("Countess")
    page.get_by_label("Search in the tools").fill("greet")
    expect(page.locator("[data-tool]:visible")).to_have_count(1)

    offers(running, greet=["name", "title"], add=["a"], subtract=["a"])
    expect(page.locator("[data-tool]")).to_have_count(3)
    expect(page.locator("[data-tool]:visible")).to_have_count(1)
    expect(page.get_by_label("title")).to_have_value("Countess")

    offers(running, greet=["name", "loudness"], subtract=["a"])
    expect(page.get_by_label("loudness")).to_be_visible()
    expect(page.get_by_label("title")).to_have_count(0)
    expect(page.get_by_label("name")).to_have_value("Ada")
    page.get_by_label("Search in the tools").fill("")
    page.get_by_role("button", name="Try subtract").click()
    expect(page.get_by_label("Tool", exact=True)).to_have_value("subtract")
    expect(page.get_by_label("Tool", exact=True).locator("option")).to_have_text(["greet", "subtract"])


def test_the_form_shows_of_a_build_what_fits_the_source(page: Page, web: Web) -> None:
    page.goto(web.url("servers_server_add"))
    page.get_by_role("heading", name="Build", exact=True).click()
    shown = page.locator("[name^=build_]:visible")

    def names() -> list[str]:
        return [each.removeprefix("build_") for each in shown.evaluate_all("all => all.map(e => e.name)")]

    assert names() == ["extras", "with", "python"]
    page.select_option("[name=package_ecosystem]", "npm", force=True)
    assert names() == ["node"]
    for kind in ("git", "upload"):
        page.check(f"[name=source_kind][value={kind}]")
        assert names() == list(build_choices.KEYS)
    page.check("[name=source_kind][value=image]")
    assert names() == []


def test_a_wrong_choice_opens_how_it_is_built(page: Page, web: Web) -> None:
    page.goto(web.url("servers_server_add"))
    page.fill("[name=name]", "Notes")
    page.fill("[name=package_name]", "notes")
    page.get_by_role("heading", name="Build", exact=True).click()
    page.fill("[name=build_python]", "snake")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("“snake” is not a version of Python")).to_be_visible()
    expect(page.locator("[name=build_python]")).to_have_value("snake")
