"""Pages that one comes to by way of others, under axe-core: what is shown once, asked twice, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from access.actor import Actor
from access.models import AuditEntry, Role, Team
from hooks import services as hook_services
from hooks.models import Delivery
from hooks.push import Push
from notices.models import Notice, State
from servers import channels
from servers.models import Server
from tests.accounts import person, with_member
from tests.catalog import documents
from tests.console import demo
from tests.console.browsing import Web, admin, page, web
from tests.console.test_accessibility import in_every_look

__all__ = ["admin", "page", "web"]
pytestmark = pytest.mark.real


@pytest.fixture
def seeded(admin: User) -> dict[str, Server]:
    return demo.seed(admin)


def look_at(page: Page, web: Web, paths: Iterator[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        answer = page.goto(f"{web.root}{path}")
        assert answer, path
        assert answer.status == 200, path
        found |= in_every_look(page, path)
    return found


def of_hooks(server: Server, by: User) -> Iterator[str]:
    hook, _ = hook_services.create(server=server, by=Actor(by), fields={"kind": "github"})
    push = Push(ref="refs/heads/main", commit="a" * 40)
    row = {"hook": hook, "event": "push", "push": push.kept(), "ref": push.ref, "commit": push.commit}
    first = Delivery.objects.create(
        **row, delivery_id="d1", outcome="ignored", reason="Was off.", excerpt='{"ref": "refs/heads/main"}'
    )
    Delivery.objects.create(**row, delivery_id="d2", outcome="rejected", origin=first, requested_by=by)
    yield reverse("admin:servers_server_webhooks", args=[server.pk])
    yield reverse("admin:hooks_delivery_changelist")
    yield reverse("admin:hooks_delivery_change", args=[first.pk])
    yield reverse("admin:hooks_delivery_again", args=[first.pk])
    yield reverse("admin:hooks_webhook_for", args=[server.pk])
    for name in ("edit", "rotate", "remove"):
        yield reverse(f"admin:hooks_webhook_{name}", args=[hook.pk])


def of_notices(by: User) -> Iterator[str]:
    about = {"name": "On call", "url": "https://hooks.slack.com/services/T0/B0/xyz", "kind": "slack"}
    channel, _ = channels.create(by=Actor(by), fields=about)
    notice = channels.test(channel=channel, by=Actor(by))
    Notice.objects.update(state=State.FAILED, attempts=10, last_answer="404 no_service")
    yield reverse("admin:notices_channel_changelist")
    yield reverse("admin:notices_channel_change", args=[channel.pk])
    for name in ("edit", "test", "rotate", "remove"):
        yield reverse(f"admin:notices_channel_{name}", args=[channel.pk])
    yield reverse("admin:notices_notice_again", args=[channel.pk, notice.pk])


def of_access(by: User) -> Iterator[str]:
    team, member = Team.objects.create(name="Search"), person("victor")
    with_member(team, member, Role.VIEWER)
    yield reverse("admin:access_team_change", args=[team.pk])
    yield reverse("admin:access_team_delete", args=[team.pk])
    yield reverse("admin:auth_user_changelist")
    yield reverse("admin:auth_user_change", args=[member.pk])
    yield reverse("admin:auth_user_password_change", args=[member.pk])
    yield reverse("admin:password_change")
    yield reverse("admin:access_auditentry_change", args=[AuditEntry.objects.latest("pk").pk])


def of_deployments(server: Server) -> Iterator[str]:
    newest = server.deployments.latest("number")
    other = server.deployments.exclude(pk=newest.pk).latest("number")
    yield f"{reverse('admin:servers_deployment_compare', args=[newest.pk])}?with={other.number}"
    for action in ("refresh-credentials", "resume", "redeploy"):
        yield reverse("admin:servers_deployment_runbook", args=[newest.pk, action])


@pytest.mark.timeout(600)
def test_every_other_room(page: Page, web: Web, seeded: dict[str, Server], admin: User) -> None:
    def rooms() -> Iterator[str]:
        yield from of_hooks(seeded["weather"], admin)
        yield from of_notices(admin)
        yield from of_access(admin)
        yield from of_deployments(seeded["weather"])

    found = look_at(page, web, rooms())
    assert not found, "\n".join(f"{where}: {what}" for what, where in found.items())


@pytest.mark.timeout(600)
def test_what_is_shown_once_and_the_questions_of_the_catalog(
    page: Page, web: Web, seeded: dict[str, Server]
) -> None:
    page.goto(web.url("servers_server_change", seeded["time"].pk))
    page.get_by_label("Name of the token").fill("laptop")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#token-value")).to_contain_text("mcph_")
    found = in_every_look(page, "token shown once")

    page.goto(web.url("hooks_webhook_for", seeded["time"].pk))
    page.locator(".mh-page [type=submit]").click()
    expect(page.locator("#hook-secret")).to_contain_text("whsec_")
    found |= in_every_look(page, "webhook shown once")

    page.goto(f"{web.root}/admin/catalog/")
    found |= in_every_look(page, "catalog")
    page.locator("[name=text]").fill(json.dumps(documents.document(documents.SEARCH)))
    page.locator("form:has([name=text]) [type=submit]").click()
    expect(page.locator("[name^=answer-]").first).to_be_visible()
    found |= in_every_look(page, "questions")
    assert not found, "\n".join(f"{where}: {what}" for what, where in found.items())


def test_who_is_locked_out(browser: Browser, web: Web, admin: User) -> None:
    page = browser.new_page()
    found: dict[str, str] = {}
    for _ in range(20):
        page.goto(web.url("login"))
        page.fill("[name=username]", admin.username)
        page.fill("[name=password]", "wrong")
        with page.expect_navigation() as answer:
            page.click("[type=submit]")
        if answer.value.status != 200:
            break
        if not found:
            found = in_every_look(page, "login that failed")
    expect(page.get_by_text("is locked for 15 minutes")).to_be_visible()
    found |= in_every_look(page, "locked out")
    page.close()
    assert not found, "\n".join(f"{where}: {what}" for what, where in found.items())
