from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import unescape
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from access.actor import Actor
from console.notes import Notes
from console.server_tabs import TABS, Tab
from hosting.runtimes.base import Capability
from servers import display, services
from servers.models import LogLine, Run, Server
from tests.console import demo
from tests.eventually import eventually


def page(client: Client, name: str, *args: int) -> str:
    answer = client.get(reverse(f"admin:{name}", args=args))
    assert answer.status_code == 200
    return answer.text


def test_the_empty_dashboard_teaches_the_next_step(console: Client) -> None:
    text = page(console, "index")
    assert "Host the first server" in text
    assert reverse("admin:servers_server_add") in text


def test_the_dashboard_says_what_needs_a_person_and_why(console: Client, seeded: dict[str, Server]) -> None:
    text = page(console, "index")
    panel = text.partition('data-live="attention"')[2].partition("</section>")[0]
    assert "unauthorized: authentication required" in panel
    assert "#3 is still serving." in panel
    assert reverse("admin:servers_server_change", args=[seeded["invoices"].pk]) in panel
    assert reverse("admin:servers_server_change", args=[seeded["time"].pk]) not in panel


@pytest.mark.parametrize("name", ["index", "servers_server_changelist"])
def test_the_number_of_queries_does_not_grow_with_the_servers(
    console: Client, staff: User, name: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            page(console, name)
        return len(captured)

    def more(count: int) -> None:
        for number in range(count):
            one = demo.server(staff, f"{count} {number}", status="error", error="It broke.")
            good = demo.deployment(one, 1, "succeeded", 60, 5, endpoint="http://127.0.0.1:1/mcp")
            Server.objects.filter(pk=one.pk).update(current_deployment=good)

    more(3)
    queries()
    few = queries()
    more(20)
    assert queries() == few


def test_no_page_waits_for_the_machine_to_be_looked_at() -> None:
    asked, answer = Event(), Event()

    def look() -> Sequence[Capability]:
        asked.set()
        answer.wait(30)
        return [Capability("docker", found=True, detail="20.10")]

    notes = Notes(look)
    assert notes.current() is None
    assert asked.wait(30)
    assert notes.current() is None
    answer.set()
    known = eventually(notes.current, within=30)
    assert [one.name for one in known] == ["docker"]


@pytest.mark.django_db
def test_a_look_leaves_no_connection_behind() -> None:
    used = []

    def look() -> Sequence[Capability]:
        connection.ensure_connection()
        used.append(connections["default"])
        return ()

    notes = Notes(look)
    eventually(lambda: notes.current() is not None, within=30)
    assert used[0].connection is None


def test_a_look_that_fails_leaves_the_page_standing() -> None:
    def look() -> Sequence[Capability]:
        raise OSError("no socket")

    notes = Notes(look)
    assert eventually(lambda: notes.current() == (), within=30)


def test_a_failed_redeploy_says_what_still_serves(console: Client, seeded: dict[str, Server]) -> None:
    text = page(console, "servers_server_change", seeded["weather"].pk)
    assert "unauthorized: authentication required" in text
    assert "#3 is still serving." in text
    assert "What to do about #4" in text
    assert "What to do about #4" in page(console, "index")


def test_what_failed_before_the_current_deployment_is_over(
    console: Client, seeded: dict[str, Server]
) -> None:
    """Nobody has to do anything about #4 any more: #5 has served since, and is what went down."""
    server = seeded["weather"]
    later = demo.deployment(server, 5, "succeeded", 60, 5, image="i")
    Server.objects.filter(pk=server.pk).update(
        status="error", error="It exited.", error_kind="runtime", current_deployment=later
    )
    for text in (page(console, "servers_server_change", server.pk), page(console, "index")):
        assert "What to do about #5" in text
        assert "What to do about #4" not in text


def test_a_server_says_in_words_at_what_it_failed(console: Client, seeded: dict[str, Server]) -> None:
    text = page(console, "servers_server_change", seeded["weather"].pk)
    assert "Failed at the registry's login." in unescape(text)
    assert "auth_expired" not in text


def test_events_are_told_in_words(console: Client, seeded: dict[str, Server]) -> None:
    text = unescape(page(console, "metrics_usagemetric_changelist"))
    assert "<i>retry limit</i> 3" in text
    assert "<i>took</i> 1.4 s" in text
    assert "unauthorized: authentication required" in text
    assert '{"' not in text.partition('id="result_list"')[2].partition("</table>")[0]


def test_a_cell_without_a_value_looks_the_same_everywhere(console: Client, seeded: dict[str, Server]) -> None:
    for name in ("metrics_usagemetric_changelist", "auth_user_changelist"):
        rows = page(console, name).partition('id="result_list"')[2].partition("</table>")[0]
        said = {cell.strip() for cell in re.findall(r">([^<>]*)<", rows)}
        assert display.EMPTY in said, name
        assert not said & {"-", "None"}, name


def test_the_log_of_what_is_over_waits_for_no_line(console: Client, seeded: dict[str, Server]) -> None:
    def none(slug: str, number: int) -> str:
        pk = seeded[slug].deployments.get(number=number).pk
        return page(console, "servers_deployment_change", pk).partition("mh-log-none")[2][:60]

    LogLine.objects.all().delete()
    assert "No lines." in none("weather", 4)
    assert "No lines yet." in none("search", 1)


def test_what_was_replaced_serves_no_more_while_it_drains(console: Client, seeded: dict[str, Server]) -> None:
    """Both have an endpoint for DRAIN_SECONDS; only one gets the calls, and one may go back to the other."""
    server = seeded["time"]
    before, new = (server.deployments.get(number=number) for number in (1, 2))
    Run.objects.filter(deployment=before).update(endpoint="http://127.0.0.1:1/mcp")
    assert page(console, "servers_server_change", server.pk).count(">serving</span>") == 1
    assert "It is serving." in page(console, "servers_deployment_change", new.pk)
    drains = page(console, "servers_deployment_change", before.pk)
    assert "It is serving." not in drains
    assert reverse("admin:servers_deployment_roll_back", args=[before.pk]) in drains


def test_the_page_of_a_deployment_that_is_over_goes_on_living(
    console: Client, seeded: dict[str, Server]
) -> None:
    """What it offers depends on what else happens to its server."""
    over = seeded["weather"].deployments.get(number=4)
    assert 'data-feed-status="/api/servers/stream/?' in page(console, "servers_deployment_change", over.pk)


def test_the_server_page_offers_what_makes_sense(console: Client, seeded: dict[str, Server]) -> None:
    def offered(slug: str) -> set[str]:
        text = page(console, "servers_server_change", seeded[slug].pk)
        names = ("redeploy", "start", "stop", "remove")
        return {n for n in names if reverse(f"admin:servers_server_{n}", args=[seeded[slug].pk]) in text}

    assert offered("time") == {"redeploy", "stop", "remove"}
    assert offered("archive-search") == {"redeploy", "start", "remove"}


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.name)
def test_a_page_of_a_server_asks_as_much_of_an_old_one(console: Client, staff: User, tab: Tab) -> None:
    """The number of queries is the same whatever has gathered around the server."""

    def queries(server: Server) -> int:
        with CaptureQueriesContext(connection) as captured:
            page(console, tab.view, server.pk)
        return len(captured)

    young, old = (demo.server(staff, name, status="running") for name in ("Young", "Old"))
    for server, count in ((young, 1), (old, 30)):
        for number in range(1, count + 1):
            ended = demo.deployment(server, number, "succeeded", 60, 5, endpoint="http://127.0.0.1:1/mcp")
            demo.log(ended, {0.5: ("stderr", "ready")})
        names = [{"name": f"tool_{number}", "inputSchema": {}} for number in range(count)]
        ended.discovery = {"tools": names}
        ended.save()
        Server.objects.filter(pk=server.pk).update(current_deployment=ended)
    queries(young)
    assert queries(old) == queries(young)


def test_the_page_of_tools_says_which_list_may_not_be_whole(
    console: Client, seeded: dict[str, Server]
) -> None:
    serving = seeded["time"].current_deployment
    assert serving
    serving.discovery = {"tools": [{"name": "now"}], "notes": ["The pages of tools/list go round: <b>."]}
    serving.save()
    text = page(console, "servers_server_tools", seeded["time"].pk)
    assert "The pages of tools/list go round: &lt;b&gt;." in text


def test_connect_names_the_public_url(console: Client, seeded: dict[str, Server], settings: object) -> None:
    settings.PUBLIC_URL = "https://mcp.example.org"  # type: ignore[attr-defined]
    text = page(console, "servers_server_change", seeded["time"].pk)
    assert "claude mcp add --transport http time https://mcp.example.org/mcp/time" in text


def test_no_secret_is_on_any_page(console: Client, seeded: dict[str, Server]) -> None:
    server = seeded["time"]
    names = ["servers_server_edit", *(tab.view for tab in TABS)]
    text = "".join(page(console, name, server.pk) for name in names)
    assert "API_KEY" in text
    assert "not shown anywhere" not in text
    for secret in server.secrets.all():
        assert bytes(secret.sealed).decode() not in text


def test_the_deployment_page_shows_each_step_and_its_error(
    console: Client, seeded: dict[str, Server]
) -> None:
    failed = seeded["weather"].deployments.get(number=4)
    text = page(console, "servers_deployment_change", failed.pk)
    steps = text.partition('data-live="steps"')[2].partition("</ol>")[0]
    assert steps.count('data-key="step-') == 5
    assert steps.count("Succeeded") == 4
    assert "unauthorized" in steps
    assert "Attempt 1 of 3 failed: connection reset by peer. The next one follows." in steps
    assert steps.index(">Webhook<") < steps.index(">Source<") < steps.index(">Push<") < steps.index(">End<")
    assert "push_retry" in text


def test_progress_is_shown_where_bytes_are_counted(console: Client, seeded: dict[str, Server]) -> None:
    text = page(console, "servers_deployment_change", seeded["search"].deployments.get().pk)
    assert 'role="progressbar" max="100" value="33" aria-label="Push linux/amd64"' in text
    assert "30.0\xa0MB of 90.0\xa0MB" in text
    assert "4.0\xa0MB of at most 93.0\xa0MB" in text
    assert text.count('data-status="waiting"') == 3, "start, health and tools"


def test_the_log_of_one_step(console: Client, seeded: dict[str, Server]) -> None:
    failed = seeded["weather"].deployments.get(number=4)
    clone = failed.steps.get(kind="clone")
    demo.log(failed, {0.5: ("build", "Receiving objects: 100%")}, clone)
    url = reverse("admin:servers_deployment_change", args=[failed.pk])
    text = console.get(url, {"step": clone.pk}).text
    assert text.count("mh-log-line") == 1
    assert "Receiving objects: 100%" in text


def test_markup_in_a_log_or_an_error_stays_text(console: Client, seeded: dict[str, Server]) -> None:
    server = seeded["time"]
    evil = "<script>alert(1)</script>"
    demo.log(server.deployments.get(number=2), {1: ("stderr", evil)})
    Server.objects.filter(pk=server.pk).update(error=evil, name=evil, status="error")
    for text in (
        page(console, "servers_server_change", server.pk),
        page(console, "servers_server_logs", server.pk),
        page(console, "servers_server_changelist"),
        page(console, "servers_logline_changelist"),
        page(console, "index"),
    ):
        assert evil not in text
        assert "&lt;script&gt;" in text


def test_log_search_asks_for_a_server_first(console: Client, seeded: dict[str, Server]) -> None:
    url = reverse("admin:servers_logline_changelist")
    text = console.get(url, {"q": "wheel"}, follow=True).text
    assert "Choose a server in the filters" in text
    text = console.get(url, {"q": '"part 7 of"', "server": seeded["weather"].pk}).text
    assert text.count("Compiling wheel part") == 1


@pytest.mark.parametrize("name", ["servers_logline_changelist", "metrics_usagemetric_changelist"])
def test_large_tables_are_never_counted(console: Client, seeded: dict[str, Server], name: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        page(console, name)
    table = "servers_logline" if "logline" in name else "metrics_usagemetric"
    assert not [q for q in captured if "COUNT(" in q["sql"] and table in q["sql"]]


def test_a_page_of_a_server_that_is_gone_is_not_found(console: Client) -> None:
    assert console.get(reverse("admin:servers_server_change", args=[4711])).status_code in (302, 404)
    assert console.get(reverse("admin:servers_deployment_change", args=[4711])).status_code == 404


def test_the_page_follows_from_where_its_rows_end(
    console: Client, seeded: dict[str, Server], django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    from servers import events

    server = seeded["time"]
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        events.lines_written(server.pk, LogLine.objects.filter(server=server)[:1])
    assert f"lastEventId=server-{server.pk}-logs%3A1" in page(console, "servers_server_logs", server.pk)


def test_settings_say_who_gave_each_variable_its_value(console: Client) -> None:
    ann, bob = (User.objects.create_superuser(name) for name in ("ann", "bob"))
    source = {"name": "Clock", "slug": "clock", "source_kind": "image", "source": {"reference": "clock:1"}}
    server = services.create_server(
        by=Actor(ann), fields={**source, "environment": {"ZONE": "UTC", "FORM": "12"}}
    )
    console.force_login(bob)
    changed = {"environment": {"ZONE": "UTC", "FORM": "24"}}
    console.patch(reverse("api:server-detail", args=[server.pk]), changed, content_type="application/json")
    text = page(console, "servers_server_settings", server.pk)

    def of(name: str) -> str:
        return text.partition(f"<dt><code>{name}</code></dt>")[2].partition("</dd>")[0]

    assert "UTC" in of("ZONE")
    assert "by ann." in of("ZONE")
    assert "24" in of("FORM")
    assert "by bob." in of("FORM")
