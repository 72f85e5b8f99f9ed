"""From a request to a deployment, at the door itself."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from access.actor import PLATFORM, Actor
from access.buckets import Limit
from hooks import reception, services, views
from hooks.models import Delivery, WebHook
from servers import secretbox
from servers import services as server_services
from servers.deploying import retention
from servers.models import Server, StreamEvent
from servers.models.server import DesiredState
from servers.streams import access
from tests.accounts import make_server
from tests.hooks import payloads
from tests.hooks.payloads import AFTER, as_body

pytestmark = [pytest.mark.core, pytest.mark.django_db]
URL = "https://github.com/octo/hello.git"


@pytest.fixture(autouse=True)
def _fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "KNOCKS", Limit(per_minute=30))
    monkeypatch.setattr(views, "CALLS", Limit(per_minute=120))


@pytest.fixture
def git_server(owner: User) -> Server:
    return make_server(owner, source_kind="git", source={"url": URL})


class Door:
    """A webhook, and whoever calls it."""

    def __init__(self, hook: WebHook, secret: str) -> None:
        self.hook, self.secret = hook, secret
        self.clock = itertools.count(1_700_000_000)

    def send(self, headers: dict[str, str], body: bytes, path: str = "") -> HttpResponse:
        content_type = headers.get("content-type", "application/json")
        rest = {name: value for name, value in headers.items() if name != "content-type"}
        return Client(enforce_csrf_checks=True).post(  # type: ignore[return-value]
            path or self.hook.path, body, content_type=content_type, headers=rest
        )

    def push(self, delivery: str = "d1", **changes: Any) -> tuple[int, dict[str, Any]]:
        """Each push has a time of its own in its body, as GitHub's have."""
        repository = {**payloads.github()["repository"], "pushed_at": next(self.clock)}
        body = as_body(payloads.github(**{"repository": repository, **changes}))
        answer = self.send(payloads.github_headers(self.secret, body, delivery), body)
        return answer.status_code, json.loads(answer.content)


@pytest.fixture
def door(git_server: Server, owner: User) -> Door:
    return Door(*services.create(server=git_server, by=Actor(owner), fields={"kind": "github"}))


def test_a_push_deploys_the_commit_that_was_pushed(door: Door, git_server: Server) -> None:
    status, answer = door.push()
    deployment = git_server.deployments.get()
    delivery = Delivery.objects.get()
    assert status == 202
    assert answer == {"delivery": delivery.pk, "outcome": "accepted", "deployment": 1}
    assert (deployment.trigger, deployment.mode, deployment.wanted_revision) == ("webhook", "latest", AFTER)
    assert delivery.deployment == deployment
    assert (delivery.event, delivery.ref, delivery.commit) == ("push", "refs/heads/main", AFTER)
    assert '"full_name": "octo/hello"' in delivery.excerpt
    assert len(delivery.payload_digest) == 64


def test_a_delivery_is_taken_once(door: Door, git_server: Server) -> None:
    door.push()
    status, answer = door.push()
    assert (status, answer["outcome"], answer["deployment"]) == (200, "duplicate", 1)
    assert git_server.deployments.count() == 1
    again = Delivery.objects.get(outcome="duplicate")
    assert again.origin == Delivery.objects.get(outcome="accepted")
    assert door.push("d2")[0] == 202


def of_gitea(secret: str, body: bytes, delivery: str) -> dict[str, str]:
    signature = payloads.hex_hmac(secret, body)
    return {"x-gitea-event": "push", "x-gitea-delivery": delivery, "x-gitea-signature": signature}


@pytest.mark.parametrize("kind", ["github", "gitea"])
def test_a_captured_push_is_not_taken_again_under_another_id(
    git_server: Server, owner: User, kind: str
) -> None:
    """Only its body is signed. Sent again later, it would bring back what has been replaced since."""
    Server.objects.filter(pk=git_server.pk).update(source={"url": ""})
    door = Door(
        *services.create(server=git_server, by=Actor(owner), fields={"kind": kind, "branches": ["main"]})
    )
    body = as_body(payloads.github() if kind == "github" else payloads.gitea())
    headers_of = payloads.github_headers if kind == "github" else of_gitea
    assert door.send(headers_of(door.secret, body, "d1"), body).status_code == 202
    again = door.send(headers_of(door.secret, body, "d2"), body)
    told = json.loads(again.content)
    assert (again.status_code, told["outcome"]) == (200, "duplicate")
    assert told["reason"] == "It was accepted before, under another id."
    assert git_server.deployments.count() == 1
    assert Delivery.objects.get(delivery_id="d2").origin == Delivery.objects.get(delivery_id="d1")
    services.deliver_again(delivery=Delivery.objects.get(delivery_id="d2"), by=Actor(owner))
    assert git_server.deployments.count() == 2


@pytest.fixture
def at_gitea(owner: User) -> Door:
    source = {"url": "https://git.example.com/octo/hello.git"}
    server = make_server(owner, slug="gitea", source_kind="git", source=source)
    return Door(*services.create(server=server, by=Actor(owner), fields={"kind": "gitea"}))


def test_a_form_of_gitea_deploys_and_shows_its_payload(at_gitea: Door) -> None:
    text = as_body(payloads.gitea())
    headers = {**payloads.gitea_headers(at_gitea.secret, text), "content-type": payloads.FORM}
    answer = at_gitea.send(headers, payloads.as_form(text))
    assert answer.status_code == 202, answer.content
    delivery = Delivery.objects.get()
    assert (delivery.commit, delivery.outcome) == (AFTER, "accepted")
    assert '"full_name": "octo/hello"' in delivery.excerpt


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda text: (payloads.FORM, payloads.as_form(text)),
        lambda text: (payloads.FORM, payloads.as_form(text).replace(b"+", b"%20")),
        lambda text: (payloads.FORM, payloads.as_form(text) + b"&more=1"),
        lambda text: ("application/json", text),
    ],
)
def test_a_captured_form_is_not_taken_again_in_another_wrapping(at_gitea: Door, wrapped: Any) -> None:
    """The forge signed the JSON alone: the wrapping is anybody's, and makes no other push of it."""
    text = as_body(payloads.gitea())
    signed = payloads.gitea_headers(at_gitea.secret, text)
    assert at_gitea.send({**signed, "content-type": payloads.FORM}, payloads.as_form(text)).status_code == 202
    content_type, body = wrapped(text)
    again = {**signed, "x-gitea-delivery": "another", "content-type": content_type}
    answer = at_gitea.send(again, body)
    assert (answer.status_code, json.loads(answer.content)["outcome"]) == (200, "duplicate")


def test_to_and_fro_between_two_commits_is_no_repetition(door: Door, git_server: Server) -> None:
    back = {"before": AFTER, "after": payloads.BEFORE, "head_commit": {"id": payloads.BEFORE}}
    pushes = [door.push("d1"), door.push("d2", **back), door.push("d3"), door.push("d4", **back)]
    assert [status for status, _ in pushes] == [202] * 4


def test_the_same_ask_for_the_newest_state_is_no_repetition(server: Server, owner: User) -> None:
    """Its id and its time are signed."""
    hook, secret = services.create(server=server, by=Actor(owner), fields={"kind": "generic"})
    for delivery in ("a", "b"):
        headers = payloads.standard(secret, b"{}", time.time(), delivery)
        assert Door(hook, secret).send(headers, b"{}").status_code == 202


def announced() -> int:
    return StreamEvent.objects.filter(channel=access.EVERY_STATUS).count()


def test_pages_hear_of_what_is_refused_and_repeated(
    door: Door, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "ANNOUNCED", Limit(per_minute=3))
    with django_capture_on_commit_callbacks(execute=True):
        door.push()
    before = announced()
    with django_capture_on_commit_callbacks(execute=True):
        door.push()
    assert announced() == before + 1
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(9):
            door.send({}, b"{}")
    assert announced() == before + 3  # of a flood no more


def test_a_newer_push_supersedes_one_that_waits(door: Door, git_server: Server) -> None:
    door.push()
    newer = "c" * 40
    assert door.push("d2", before=AFTER, after=newer, head_commit={"id": newer})[1]["deployment"] == 2
    statuses = git_server.deployments.order_by("number").values_list("status", "wanted_revision")
    assert list(statuses) == [("superseded", AFTER), ("queued", newer)]


def test_a_push_that_arrives_after_its_successor_changes_nothing(door: Door, git_server: Server) -> None:
    newer = "c" * 40
    door.push("later", before=AFTER, after=newer, head_commit={"id": newer})
    status, answer = door.push("earlier")
    assert (status, answer["outcome"]) == (200, "ignored")
    assert "arrived before it" in answer["reason"]
    back = door.push("back", before=newer, after=AFTER, forced=True)
    assert back[0] == 202
    assert git_server.deployments.count() == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ref": "refs/heads/topic"}, "not the default branch"),
        ({"deleted": True, "after": payloads.NONE, "head_commit": None}, "was deleted"),
        (
            {"repository": {"full_name": "fork/hello", "clone_url": "https://github.com/fork/hello"}},
            "fork/hello",
        ),
    ],
)
def test_pushes_that_are_not_meant(
    door: Door, git_server: Server, changes: dict[str, Any], reason: str
) -> None:
    status, answer = door.push(**changes)
    assert (status, answer["outcome"]) == (200, "ignored")
    assert reason in answer["reason"]
    assert not git_server.deployments.exists()


def test_filters_of_the_hook(door: Door, owner: User, git_server: Server) -> None:
    services.change(
        hook=door.hook, by=Actor(owner), fields={"branches": ["release/*"], "paths": ["!docs/**"]}
    )
    assert "branch filter" in door.push()[1]["reason"]
    docs = [payloads.commit(modified=["docs/a.md"])]
    assert "path filter" in door.push("d2", ref="refs/heads/release/1", commits=docs)[1]["reason"]
    assert door.push("d3", ref="refs/heads/release/1")[0] == 202


def test_a_ping_is_answered_and_deploys_nothing(door: Door, git_server: Server) -> None:
    body = as_body({"zen": "Design for failure."})
    answer = door.send(payloads.github_headers(door.secret, body, event="ping"), body)
    assert answer.status_code == 200
    assert not git_server.deployments.exists()


def test_who_cannot_sign_learns_nothing(door: Door, git_server: Server) -> None:
    body = as_body(payloads.github())
    wrong = door.send(payloads.github_headers("guess", body), body)
    unknown = door.send(payloads.github_headers("guess", body), body, "/hooks/nobody/")
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)
    assert wrong.status_code == 404
    kept = Delivery.objects.get()
    assert (kept.outcome, kept.excerpt, kept.payload_digest, kept.push) == ("rejected", "", "", None)
    assert Client().get(door.hook.path).status_code == 405


def test_a_guess_does_not_use_up_a_delivery_id(door: Door) -> None:
    body = as_body(payloads.github())
    door.send(payloads.github_headers("guess", body, "d1"), body)
    assert door.push("d1")[0] == 202


def test_guessing_is_slowed_down(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "KNOCKS", Limit(per_minute=2))
    answers = [door.send({}, b"{}").status_code for _ in range(3)]
    assert answers == [404, 404, 429]
    assert int(door.send({}, b"{}")["Retry-After"]) > 0


def test_of_rejected_ones_only_the_newest_are_kept(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "MOST_REJECTED", 3)
    for _ in range(5):
        door.send({}, b"{}")
    assert Delivery.objects.count() == 3


def test_a_body_may_not_be_endless(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_BYTES", 10)
    assert door.send({}, b"x" * 11).status_code == 413


def test_a_large_push_is_taken(door: Door) -> None:
    commits = [payloads.commit(modified=[f"src/{number}/{'x' * 1500}.py"]) for number in range(1900)]
    body = as_body(payloads.github(commits=commits))
    assert 2_500_000 < len(body) < views.MOST_BYTES  # beyond what Django would hold in memory
    assert door.send(payloads.github_headers(door.secret, body), body).status_code == 202


def test_a_stale_signature_is_refused_with_a_reason(git_server: Server, owner: User) -> None:
    generic = Door(*services.create(server=git_server, by=Actor(owner), fields={"kind": "generic"}))
    body = b"{}"
    old = generic.send(payloads.standard(generic.secret, body, time.time() - 400), body)
    assert old.status_code == 400
    assert "too long ago" in old.content.decode()
    assert Delivery.objects.get().outcome == "rejected"
    now = generic.send(payloads.standard(generic.secret, body, time.time()), body)
    assert now.status_code == 202
    assert git_server.deployments.get().wanted_revision == ""


def test_a_generic_hook_redeploys_what_is_no_repository(server: Server, owner: User) -> None:
    hook, secret = services.create(server=server, by=Actor(owner), fields={"kind": "generic"})
    body = as_body(payloads.generic())
    assert Door(hook, secret).send(payloads.standard(secret, body, time.time()), body).status_code == 202
    assert server.deployments.get().wanted_revision == ""


def test_a_rotated_secret_is_accepted_beside_the_new_one_for_a_while(door: Door, owner: User) -> None:
    old, door.secret = door.secret, services.rotate(hook=door.hook, by=Actor(owner))
    assert door.push("new")[0] == 202
    door.secret = old
    assert door.push("old")[0] == 202
    WebHook.objects.update(former_until=timezone.now() - timedelta(seconds=1))
    assert door.push("too old")[0] == 404


def test_a_stopped_server_stays_stopped(door: Door, git_server: Server) -> None:
    server_services.stop(server=git_server, by=PLATFORM)
    answer = door.push()[1]
    assert "does not start it" in answer["reason"]
    git_server.refresh_from_db()
    assert git_server.desired_state == DesiredState.STOPPED


def test_a_hook_that_is_off_keeps_what_arrives(door: Door, owner: User) -> None:
    services.change(hook=door.hook, by=Actor(owner), fields={"enabled": False})
    assert door.push()[1]["reason"] == "The webhook is turned off."
    assert Delivery.objects.get().push


def test_deliver_again_decides_anew(door: Door, owner: User, git_server: Server) -> None:
    services.change(hook=door.hook, by=Actor(owner), fields={"branches": ["release"]})
    door.push()
    ignored = Delivery.objects.get()
    services.change(hook=door.hook, by=Actor(owner), fields={"branches": []})
    again = services.deliver_again(delivery=ignored, by=Actor(owner))
    deployment = git_server.deployments.get()
    assert (again.outcome, again.origin, again.requested_by) == ("accepted", ignored, owner)
    assert (deployment.wanted_revision, deployment.requested_by) == (AFTER, owner)
    services.deliver_again(delivery=again, by=Actor(owner))
    assert git_server.deployments.count() == 2


def test_what_a_payload_tells_in_confidence_is_not_kept(door: Door, owner: User, git_server: Server) -> None:
    server_services.set_secret(server=git_server, name="API_KEY", value="hunter2-hunter2", by=Actor(owner))
    door.push(secret="3gEsCfjlV2", note=f"hunter2-hunter2 {door.secret}", head_commit={"api_key": 'a\\"b'})
    kept = Delivery.objects.get().excerpt
    for text in ("3gEsCfjlV2", "hunter2", door.secret, 'a\\\\\\"b'):
        assert text not in kept
    assert "***" in kept


def test_old_deliveries_go_though_nothing_arrives(door: Door) -> None:
    door.push("new")
    door.push("old")
    Delivery.objects.filter(delivery_id="old").update(received_at=timezone.now() - timedelta(days=400))
    retention.trim()
    assert Delivery.objects.get().delivery_id == "new"


def test_secrets_are_sealed_and_go_with_the_rotation_of_keys(door: Door) -> None:
    stored = bytes(WebHook.objects.get().sealed)
    assert door.secret.encode() not in stored
    call_command("rotate_secrets")
    renewed = bytes(WebHook.objects.get().sealed)
    assert renewed != stored
    assert secretbox.open_sealed(renewed) == door.secret


def test_what_cannot_be_checked_is_said_to_nobody_but_the_log(door: Door, settings: Settings) -> None:
    settings.SECRET_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    status, answer = door.push()
    assert (status, answer["detail"]) == (503, "This delivery cannot be checked now.")
    assert not Delivery.objects.exists()


def test_a_deployment_leads_to_its_delivery(door: Door, staff: User, git_server: Server) -> None:
    door.push()
    client = Client()
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/admin/servers/deployment/{git_server.deployments.get().pk}/change/").text
    assert f"/admin/hooks/delivery/{Delivery.objects.get().pk}/change/" in page
    assert AFTER[:12] in page


@pytest.mark.django_db(transaction=True)
def test_of_the_same_delivery_at_the_same_time_one_is_taken(door: Door, git_server: Server) -> None:
    def push(_: int) -> str:
        try:
            return str(door.push("at once")[1]["outcome"])
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=4) as pool:
        outcomes = sorted(pool.map(push, range(4)))
    assert outcomes == ["accepted", "duplicate", "duplicate", "duplicate"]
    assert git_server.deployments.count() == 1
