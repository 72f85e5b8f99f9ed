"""Who gets in, and that nothing happens by looking."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.server_tabs import TABS
from metrics.models import UsageMetric
from servers.models import Deployment, Secret, Server, Token
from tests.console.conftest import logged_in

ON_SERVERS = ["redeploy", "start", "stop", "remove", "secret"]


def pages(server: Server) -> list[str]:
    """Every page of the console that shows something of this server."""
    deployment = Deployment.objects.filter(server=server).latest("number")
    event = UsageMetric.objects.filter(server=server).first()
    lists = ["server", "deployment", "logline", "token"]
    return [
        reverse("admin:index"),
        *(reverse(f"admin:servers_{name}_changelist") for name in lists),
        reverse("admin:metrics_usagemetric_changelist"),
        *(reverse(f"admin:{tab.view}", args=[server.pk]) for tab in TABS),
        reverse("admin:servers_deployment_change", args=[deployment.pk]),
        *([reverse("admin:metrics_usagemetric_change", args=[event.pk])] if event else []),
    ]


def confirmations(server: Server) -> list[str]:
    deployment = Deployment.objects.filter(server=server).latest("number")
    return [
        *(reverse(f"admin:servers_server_{name}", args=[server.pk]) for name in ON_SERVERS),
        *(
            reverse(f"admin:servers_deployment_{name}", args=[deployment.pk])
            for name in ("cancel", "roll_back")
        ),
        *(
            reverse("admin:servers_server_secret_remove", args=[server.pk, s.pk])
            for s in server.secrets.all()
        ),
        *(reverse("admin:servers_token_revoke", args=[t.pk]) for t in Token.objects.all()),
        f"{reverse('admin:servers_redeploy')}?ids={server.pk}",
    ]


def rows() -> list[object]:
    """What an action could change."""
    return [
        *Deployment.objects.order_by("pk").values_list("pk", "status", "cancel_requested"),
        *Server.objects.order_by("pk").values_list("pk", "status", "desired_state"),
        *Secret.objects.order_by("pk").values_list("pk", "updated_at"),
        *Token.objects.order_by("pk").values_list("pk", "revoked_at"),
    ]


def test_an_outsider_finds_nothing(outsider: User, seeded: dict[str, Server]) -> None:
    client, before, server = logged_in(outsider), rows(), seeded["time"]
    for url in [*pages(server), *confirmations(server)]:
        answer = client.get(url)
        if f"/{server.pk}/" not in url and answer.status_code == 200:
            assert not re.search("Weather|Invoices|mcph_demo12", answer.text), url
        else:
            assert answer.status_code == 404, url
            assert client.post(url).status_code in (403, 404, 405), url
    assert rows() == before


def test_nobody_sees_the_login_page_everywhere(client: Client, seeded: dict[str, Server]) -> None:
    before = rows()
    for url in [*pages(seeded["time"]), *confirmations(seeded["time"])]:
        for answer in (client.get(url), client.post(url)):
            assert answer.status_code == 302, url
            assert "/admin/login/" in answer["Location"]
    assert rows() == before


def test_a_viewer_sees_every_page_and_no_button(viewer: User, seeded: dict[str, Server]) -> None:
    client, before = logged_in(viewer), rows()
    for url in pages(seeded["time"]):
        answer = client.get(url)
        assert answer.status_code == 200, url
        for name in ON_SERVERS:
            assert reverse(f"admin:servers_server_{name}", args=[seeded["time"].pk]) not in answer.text
    for url in confirmations(seeded["time"]):
        assert client.get(url).status_code in (403, 404), url
        assert client.post(url, {"mode": "latest"}).status_code in (403, 404), url
    assert client.get(reverse("admin:servers_server_add")).status_code == 403
    edit = reverse("admin:servers_server_edit", args=[seeded["time"].pk])
    assert client.post(edit, {"name": "Taken over"}).status_code == 403
    assert rows() == before


def test_a_viewer_reads_no_variable_anywhere_on_its_page(viewer: User, seeded: dict[str, Server]) -> None:
    settings = reverse("admin:servers_server_settings", args=[seeded["time"].pk])
    text = logged_in(viewer).get(settings).text
    assert "LOG_LEVEL" in text
    assert "info" not in text.partition("<body")[2]
    assert "Europe/Zurich" not in text


def test_looking_changes_nothing(console: Client, seeded: dict[str, Server]) -> None:
    before = rows()
    for slug in ("time", "weather", "search"):
        for url in [*pages(seeded[slug]), *confirmations(seeded[slug])]:
            assert console.get(url).status_code == 200, url
    assert rows() == before


def test_a_post_without_its_csrf_token_is_refused(
    session: Callable[[User], Client], staff: User, seeded: dict[str, Server]
) -> None:
    before = rows()
    for url in [
        *confirmations(seeded["time"]),
        reverse("admin:servers_server_token", args=[seeded["time"].pk]),
    ]:
        assert session(staff).post(url, {"mode": "latest"}).status_code == 403, url
    assert rows() == before


@pytest.mark.parametrize("name", ["servers_deployment", "servers_logline", "metrics_usagemetric"])
def test_history_is_read_only(console: Client, seeded: dict[str, Server], name: str) -> None:
    model = {"servers_deployment": Deployment, "metrics_usagemetric": UsageMetric}.get(name)
    assert console.get(reverse(f"admin:{name}_add")).status_code == 403
    if model is None:
        return
    row = model._default_manager.latest("pk")
    assert console.post(reverse(f"admin:{name}_change", args=[row.pk]), {"status": "x"}).status_code in (
        403,
        405,
    )
    assert console.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_tokens_of_another_cannot_be_made_by_get(console: Client, seeded: dict[str, Server]) -> None:
    assert console.get(reverse("admin:servers_server_token", args=[seeded["time"].pk])).status_code == 405
