from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from access.models import AuditEntry
from servers.models import Build, Deployment, Run, Secret, Server, Token
from tests.accounts import make_deployment
from tests.console import demo


def press(client: Client, action: str, pk: int, of: str = "server", **data: Any) -> str:
    """POSTs the confirmation page, and returns what the person is told."""
    answer = client.post(reverse(f"admin:servers_{of}_{action}", args=[pk]), data)
    assert answer.status_code == 302, answer.content
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


@pytest.mark.parametrize("mode", ["latest", "rebuild", "no-cache", "same-digest"])
def test_redeploy_queues_what_was_chosen(
    console: Client, staff: User, seeded: dict[str, Server], mode: str
) -> None:
    said = press(console, "redeploy", seeded["time"].pk, mode=mode)
    made = seeded["time"].deployments.latest("number")
    assert (made.number, made.trigger, made.mode, made.status) == (3, "admin", mode, "queued")
    assert made.requested_by == staff
    assert said == "Time: deployment #3 is queued."
    entry = AuditEntry.objects.get(action="deployment.requested", server_id=seeded["time"].pk)
    assert (entry.actor, entry.via, entry.after and entry.after["mode"]) == ("staff", "admin", mode)


def test_an_unknown_mode_is_named_and_nothing_happens(console: Client, seeded: dict[str, Server]) -> None:
    answer = console.post(reverse("admin:servers_server_redeploy", args=[seeded["time"].pk]), {"mode": "x"})
    assert "Select a valid choice. x is not one of the available choices." in answer.text
    assert seeded["time"].deployments.count() == 2


def test_a_conflict_is_told_with_what_to_do(console: Client, seeded: dict[str, Server]) -> None:
    said = press(console, "redeploy", seeded["archive-search"].pk, mode="same-digest")
    assert said == "Archive search has no built deployment to start again. Redeploy it with mode latest."
    said = press(console, "start", seeded["time"].pk)
    assert said == "Time is running already. To replace what runs, redeploy it."


def test_the_confirmation_says_what_will_happen(console: Client, seeded: dict[str, Server]) -> None:
    page = console.get(reverse("admin:servers_server_redeploy", args=[seeded["weather"].pk])).text
    assert "#3 keeps serving until the new deployment is healthy, or if it fails." in page
    page = console.get(reverse("admin:servers_server_redeploy", args=[seeded["search"].pk])).text
    assert "#1 is in progress: the new deployment waits until it is over." in page
    page = console.get(reverse("admin:servers_server_stop", args=[seeded["time"].pk])).text
    assert "#2 is stopped: clients get an error until it is started again." in page


def test_the_confirmation_says_what_of_another_is_given_up(
    console: Client, seeded: dict[str, Server]
) -> None:
    held = demo.deployment(seeded["time"], 3, "held", 60, 5, image="i")
    said = "#3, which waits for approval, is given up, and what it built is removed."
    assert said in console.get(reverse("admin:servers_server_redeploy", args=[seeded["time"].pk])).text
    earlier = seeded["time"].deployments.get(number=1)
    assert said not in console.get(reverse("admin:servers_deployment_roll_back", args=[earlier.pk])).text
    press(console, "redeploy", seeded["time"].pk, mode="latest")
    held.refresh_from_db()
    assert held.status == "superseded"


@pytest.mark.parametrize("status", ["queued", "running"])
def test_the_confirmation_says_that_a_cancel_stops_what_nothing_serves(
    console: Client, server: Server, status: str
) -> None:
    said = "Nothing serves: the server is stopped, and no longer started again by itself."
    serving = make_deployment(server, image="i", endpoint="http://127.0.0.1:1/mcp", serves=True)
    waiting = make_deployment(server, status=status)
    url = reverse("admin:servers_deployment_cancel", args=[waiting.pk])
    text = console.get(url).text
    assert "#1 goes on serving." in text
    assert said not in text
    Run.objects.filter(deployment=serving).update(endpoint="")
    assert said in console.get(url).text
    other = "running" if status == "queued" else "queued"
    make_deployment(server, status=other)
    assert said not in console.get(url).text


def test_what_makes_no_sense_now_is_refused_with_its_reason(
    console: Client, seeded: dict[str, Server]
) -> None:
    page = console.get(reverse("admin:servers_server_stop", args=[seeded["archive-search"].pk])).text
    assert "It is stopped already." in page
    assert "csrfmiddlewaretoken" not in page.partition("mh-narrow")[2]


def test_stop_and_start(console: Client, seeded: dict[str, Server]) -> None:
    assert press(console, "stop", seeded["time"].pk) == "Time is stopping."
    seeded["time"].refresh_from_db()
    assert (seeded["time"].status, seeded["time"].desired_state) == ("stopping", "stopped")
    Run.objects.filter(deployment__server=seeded["time"]).update(endpoint="")
    assert press(console, "start", seeded["time"].pk) == "Time is starting as #3."
    assert seeded["time"].deployments.latest("number").mode == "same-digest"


def test_cancel_asks_the_running_deployment_to_stop(console: Client, seeded: dict[str, Server]) -> None:
    running = seeded["search"].deployments.get()
    assert press(console, "cancel", running.pk, "deployment") == "Search #1 is being cancelled."
    running.refresh_from_db()
    assert running.cancel_requested


def test_roll_back_starts_what_an_earlier_one_built(console: Client, seeded: dict[str, Server]) -> None:
    earlier = seeded["time"].deployments.get(number=1)
    assert press(console, "roll_back", earlier.pk, "deployment") == "Time rolls back to #1 as #3."
    made = seeded["time"].deployments.get(number=3)
    assert (made.trigger, made.mode, made.based_on) == ("rollback", "same-digest", earlier)


def test_a_page_does_not_offer_the_build_that_serves(console: Client, seeded: dict[str, Server]) -> None:
    """It is the same under any number: what was restarted is not brought back by an earlier start of it."""
    serving = seeded["time"].current_deployment
    assert serving is not None
    make_deployment(seeded["time"], build=serving.build)
    earlier = seeded["time"].deployments.latest("number")
    url = reverse("admin:servers_deployment_change", args=[earlier.pk])
    assert "Roll back to this" not in console.get(url).text
    another = Build.objects.create(server=seeded["time"], number=earlier.number, image="another")
    Deployment.objects.filter(pk=earlier.pk).update(build=another)
    assert "Roll back to this" in console.get(url).text


def test_a_failed_deployment_cannot_be_rolled_back_to(console: Client, seeded: dict[str, Server]) -> None:
    failed = seeded["weather"].deployments.get(number=4)
    said = press(console, "roll_back", failed.pk, "deployment")
    assert said == "#4 is no successful deployment of Weather."


def test_delete_wants_it_gone(console: Client, seeded: dict[str, Server]) -> None:
    assert press(console, "remove", seeded["time"].pk) == "Time is being deleted."
    seeded["time"].refresh_from_db()
    assert (seeded["time"].status, seeded["time"].desired_state) == ("deleting", "deleted")


def test_many_servers_are_redeployed_from_the_list(console: Client, seeded: dict[str, Server]) -> None:
    chosen = [seeded["time"].pk, seeded["weather"].pk]
    url = reverse("admin:servers_server_changelist")
    answer = console.post(url, {"action": "redeploy_selected", "_selected_action": chosen})
    page = console.get(answer["Location"])
    assert "Time, Weather" in page.text
    assert Deployment.objects.filter(status="queued").count() == 0
    ids = ",".join(map(str, chosen))
    console.post(reverse("admin:servers_redeploy"), {"ids": ids, "mode": "latest"})
    assert set(Deployment.objects.filter(status="queued").values_list("server_id", flat=True)) == set(chosen)


def test_a_secret_is_set_replaced_and_removed(
    console: Client, staff: User, seeded: dict[str, Server]
) -> None:
    server = seeded["weather"]
    press(console, "secret", server.pk, name="API_KEY", value=" first ")
    press(console, "secret", server.pk, name="API_KEY", value="second")
    secret = Secret.objects.get(server=server)
    assert (secret.reveal(), secret.updated_by) == ("second", staff)
    answer = console.post(reverse("admin:servers_server_secret_remove", args=[server.pk, secret.pk]))
    assert answer.status_code == 302
    assert not server.secrets.exists()
    history = str(
        list(AuditEntry.objects.filter(server_id=server.pk).values_list("action", "before", "after"))
    )
    assert "API_KEY" in history
    assert "second" not in history


def test_a_bad_secret_is_not_shown_again(console: Client, seeded: dict[str, Server]) -> None:
    url = reverse("admin:servers_server_secret", args=[seeded["time"].pk])
    answer = console.post(url, {"name": "1 bad", "value": "hunter2-hunter2"})
    assert "Use letters, digits and underscores" in answer.text
    assert "hunter2" not in answer.text


def test_a_token_is_shown_once_and_opens_its_server(
    console: Client, staff: User, seeded: dict[str, Server]
) -> None:
    answer = console.post(reverse("admin:servers_server_token", args=[seeded["time"].pk]), {"name": "Desk"})
    token = Token.objects.get(name="Desk")
    value = answer.context["value"]
    assert Token.objects.matching(value, "mcp").get() == token
    assert (token.owner, token.server) == (staff, seeded["time"])
    assert "no-store" in answer["Cache-Control"]
    assert answer.text.count(value) == 6  # itself, and in the snippets that hold one
    for url in (
        reverse("admin:servers_token_changelist"),
        reverse("admin:servers_server_change", args=[seeded["time"].pk]),
    ):
        assert value not in console.get(url).text


def test_a_token_of_the_form_is_shown_once_and_can_be_revoked(console: Client, staff: User) -> None:
    answer = console.post(
        reverse("admin:servers_token_add"), {"name": "CI", "owner": staff.pk, "scope": "api", "server": ""}
    )
    token = Token.objects.get(name="CI")
    assert Token.objects.matching(answer.context["value"], "api").exists()
    console.post(reverse("admin:servers_token_revoke", args=[token.pk]))
    assert not Token.objects.matching(answer.context["value"], "api").exists()
