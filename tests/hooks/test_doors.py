"""The console's pages of webhooks and their REST twins: who may, and what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.actor import Actor
from access.models import AuditEntry
from hooks import services
from hooks.models import Delivery, WebHook
from hooks.push import Push
from servers.models import Server

Api = Callable[[User], APIClient]
Session = Callable[[User], Client]
pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(server: Server, owner: User) -> WebHook:
    return services.create(server=server, by=Actor(owner), fields={"kind": "github"})[0]


@pytest.fixture
def delivery(hook: WebHook) -> Delivery:
    push = Push(ref="refs/heads/main", commit="a" * 40)
    return Delivery.objects.create(
        hook=hook, delivery_id="d1", event="push", outcome="ignored", reason="Was off.", push=push.kept(),
        ref=push.ref, commit=push.commit, excerpt='{"ref": "refs/heads/main"}',
    )  # fmt: skip


def as_staff(user: User) -> User:
    user.is_staff = True
    user.save()
    return user


def browser(user: User) -> Client:
    client = Client()
    client.force_login(as_staff(user), backend="django.contrib.auth.backends.ModelBackend")
    return client


def confirmations(hook: WebHook, delivery: Delivery) -> list[str]:
    return [
        f"/admin/hooks/webhook/for/{hook.server_id}/",
        *(f"/admin/hooks/webhook/{hook.pk}/{name}/" for name in ("edit", "rotate", "remove")),
        f"/admin/hooks/delivery/{delivery.pk}/again/",
    ]


def rows() -> list[Any]:
    hooks = WebHook.objects.order_by("pk").values_list("pk", "sealed", "branches", "enabled")
    return [*hooks, Delivery.objects.count(), AuditEntry.objects.exclude(action="token.issued").count()]


def test_outsiders_and_viewers_of_the_console(
    hook: WebHook, delivery: Delivery, outsider: User, viewer: User
) -> None:
    before = rows()
    for user, expected in ((outsider, 404), (viewer, 403)):
        client = browser(user)
        for url in confirmations(hook, delivery):
            assert client.get(url).status_code == expected, url
            assert client.post(url, {"kind": "github"}).status_code == expected, url
    assert rows() == before
    page = f"/admin/hooks/delivery/{delivery.pk}/change/"
    assert browser(outsider).get(page).status_code == 404
    assert page not in browser(outsider).get("/admin/hooks/delivery/").text
    assert page in browser(viewer).get("/admin/hooks/delivery/").text
    seen = browser(viewer).get(page)
    assert seen.status_code == 200
    assert "Redeliver" not in seen.text
    assert Client().get(page).status_code == 302


def test_looking_changes_nothing(hook: WebHook, delivery: Delivery, staff: User) -> None:
    before, client = rows(), browser(staff)
    for url in (
        *confirmations(hook, delivery),
        f"/admin/servers/server/{hook.server_id}/webhooks/",
        f"/admin/hooks/delivery/{delivery.pk}/change/",
        "/admin/hooks/delivery/",
        f"/admin/hooks/delivery/?server={hook.server_id}&outcome__exact=ignored",
    ):
        assert client.get(url).status_code == 200, url
    assert rows() == before


def test_the_life_of_a_webhook_in_the_console(server: Server, staff: User) -> None:
    client = browser(staff)
    bad = client.post(f"/admin/hooks/webhook/for/{server.pk}/", {"kind": "github", "branches": "*" * 9})
    assert "stars" in bad.text
    assert not WebHook.objects.exists()
    form = {"kind": "github", "branches": "main\nrelease/*", "paths": "", "enabled": "on"}
    made = client.post(f"/admin/hooks/webhook/for/{server.pk}/", form)
    hook = WebHook.objects.get()
    (secret,) = hook.secrets(hook.created_at)
    assert secret in made.text
    assert f"http://testserver{hook.path}" in made.text
    assert "no-store" in made["Cache-Control"]
    assert hook.branches == ["main", "release/*"]
    shown = client.get(f"/admin/servers/server/{server.pk}/webhooks/").text
    assert hook.path in shown
    assert secret not in shown
    renewed = client.post(f"/admin/hooks/webhook/{hook.pk}/rotate/").text
    assert secret not in renewed
    client.post(f"/admin/hooks/webhook/{hook.pk}/edit/", {"branches": "main", "paths": "src/**"})
    hook.refresh_from_db()
    assert (hook.branches, hook.paths, hook.enabled) == (["main"], ["src/**"], False)
    client.post(f"/admin/hooks/webhook/{hook.pk}/remove/")
    assert not WebHook.objects.exists()
    done = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert done == ["webhook.added", "webhook.secret_rotated", "webhook.changed", "webhook.removed"]


def test_deliver_again_in_the_console(delivery: Delivery, staff: User, server: Server) -> None:
    client, url = browser(staff), f"/admin/hooks/delivery/{delivery.pk}/again/"
    assert "is deployed at its newest state" in client.get(url).text
    answer = client.post(url, follow=True)
    deployment = server.deployments.get()
    assert f"Deployment #{deployment.number} is queued." in answer.text
    again = Delivery.objects.latest("pk")
    assert (again.origin, again.deployment, again.requested_by) == (delivery, deployment, staff)
    assert AuditEntry.objects.filter(action="webhook.delivered_again").exists()


def test_what_is_no_push_cannot_be_delivered_again(delivery: Delivery, staff: User) -> None:
    Delivery.objects.update(push=None)
    client, url = browser(staff), f"/admin/hooks/delivery/{delivery.pk}/again/"
    assert "nothing to redeliver" in client.get(url).text
    client.post(url)
    assert Delivery.objects.count() == 1


@pytest.mark.core
def test_the_life_of_a_webhook_over_rest(api: Api, owner: User, server: Server) -> None:
    client = api(owner)
    made = client.post(f"/api/servers/{server.pk}/hooks/", {"kind": "generic", "paths": ["src/**"]})
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["secret"].startswith("whsec_")
    assert body["url"].endswith(WebHook.objects.get().path)
    (listed,) = client.get(f"/api/servers/{server.pk}/hooks/").json()
    assert "secret" not in listed
    assert listed["paths"] == ["src/**"]
    where = f"/api/hooks/{listed['id']}/"
    refused = client.patch(where, {"enabled": False, "kind": "github"})
    assert [error["field"] for error in refused.json()["errors"]] == ["kind"]
    changed = client.patch(where, {"enabled": False}).json()
    assert (changed["enabled"], changed["kind"]) == (False, "generic")
    rotated = client.post(f"{where}rotate/").json()
    assert rotated["secret"] != body["secret"]
    assert rotated["former_until"]
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "svn"}, "kind"),
        ({"kind": "github", "branches": "main"}, "branches"),
        ({"kind": "github", "branches": ["x" * 201]}, "branches"),
        ({"kind": "github", "paths": ["a"] * 51}, "paths"),
        ({"kind": "github", "paths": ["!"]}, "paths"),
    ],
)
def test_bad_input_names_its_field(api: Api, owner: User, server: Server, body: object, field: str) -> None:
    answer = api(owner).post(f"/api/servers/{server.pk}/hooks/", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(field)


def test_redelivery_over_rest(api: Api, owner: User, delivery: Delivery, server: Server) -> None:
    where = f"/api/hooks/{delivery.hook_id}/deliveries/"
    answer = api(owner).post(f"{where}{delivery.pk}/redeliver/")
    assert answer.status_code == 202
    assert answer.json()["outcome"] == "accepted"
    assert server.deployments.get().trigger == "webhook"
    listed = api(owner).get(f"{where}?outcome=ignored").json()["results"]
    assert [row["id"] for row in listed] == [delivery.pk]
    Delivery.objects.update(push=None)
    assert api(owner).post(f"{where}{delivery.pk}/redeliver/").status_code == 409


def test_outsiders_and_viewers_over_rest(
    api: Api, hook: WebHook, delivery: Delivery, outsider: User, viewer: User
) -> None:
    before = rows()
    reads = [
        f"/api/servers/{hook.server_id}/hooks/",
        f"/api/hooks/{hook.pk}/",
        f"/api/hooks/{hook.pk}/deliveries/",
    ]
    writes = [
        ("post", f"/api/servers/{hook.server_id}/hooks/"),
        ("patch", f"/api/hooks/{hook.pk}/"),
        ("delete", f"/api/hooks/{hook.pk}/"),
        ("post", f"/api/hooks/{hook.pk}/rotate/"),
        ("post", f"/api/hooks/{hook.pk}/deliveries/{delivery.pk}/redeliver/"),
    ]
    for user, read, write in ((outsider, 404, 404), (viewer, 200, 403)):
        client = api(user)
        assert [client.get(url).status_code for url in reads] == [read] * 3
        for method, url in writes:
            answer = getattr(client, method)(url, {"kind": "github", "enabled": False})
            assert answer.status_code == write, (method, url)
    assert APIClient().get(reads[0]).status_code == 401
    assert rows() == before


def test_csrf_is_asked_for(session: Session, hook: WebHook, delivery: Delivery, staff: User) -> None:
    for url in confirmations(hook, delivery):
        assert session(staff).post(url).status_code == 403
