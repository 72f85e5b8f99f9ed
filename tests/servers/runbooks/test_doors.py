"""The same diagnosis and the same actions over REST, on the page and from the command line."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from access.actor import PLATFORM
from access.models import AuditEntry
from hosting.errors import Conflict, Invalid
from servers.models import Build, Deployment, Run, Server
from servers.runbooks import diagnosis
from servers.runbooks.remedies import REMEDIES
from servers.states import Mode, Trigger
from tests.accounts import OF_BUILDS, make_deployment
from tests.console.conftest import logged_in
from tests.servers.runbooks.conftest import AMD, ARM, happened

pytestmark = pytest.mark.core
ApiOf = Callable[[User], APIClient]
Session = Callable[[User], Client]


def where(deployment: Deployment, action: str = "") -> str:
    return f"/api/deployments/{deployment.pk}/runbook/" + (f"{action}/" if action else "")


def page_of(deployment: Deployment, action: str) -> str:
    return reverse("admin:servers_deployment_runbook", args=[deployment.pk, action])


def newest(deployment: Deployment) -> Deployment:
    return deployment.server.deployments.latest("number")


def test_the_diagnosis_over_rest(failed: Deployment, api: ApiOf, viewer: User) -> None:
    told = api(viewer).get(where(failed)).json()
    assert (told["name"], told["title"]) == ("auth-expired", "The registry rejected the credentials")
    assert told["what"] == "Push linux/arm64 of #2"
    assert "It had ended 1 min before when this deployment looked at it." in told["means"]
    assert "Renew the login" in told["first"]
    best = told["actions"][0]
    assert best["name"] == "refresh-credentials"
    assert best["url"].endswith(where(failed, "refresh-credentials"))
    assert best["command"] == f"manage.py runbook {failed.server.slug}#2 --do refresh-credentials --wait"
    assert best["preview"] == [
        "REGISTRY_REFRESH_COMMAND is run once, and the registry is asked whether it takes the result. "
        "If not, it ends there.",
        "A new deployment goes on where #2 failed, at revision bbbbbbbbbbbb.",
        "linux/amd64 is taken over: the registry has it.",
        "linux/arm64 is pushed: what was built is taken over.",
        "#1 keeps serving until the new deployment is healthy, or if it fails.",
    ]
    refused = {action["name"]: action["refusal"] for action in told["actions"]}
    assert refused["roll-back"] == "#1 is serving: nothing has to be rolled back."


def test_what_did_not_fail_has_no_runbook(failed: Deployment, api: ApiOf, owner: User) -> None:
    serving = failed.server.deployments.get(number=1)
    assert api(owner).get(where(serving)).json()["name"] is None


@pytest.mark.parametrize(
    ("action", "made"),
    [
        ("refresh-credentials", {"mode": "resume", "refresh_credentials": True}),
        ("resume", {"mode": "resume", "refresh_credentials": False}),
        ("retry-platform", {"mode": "resume", "platform_anew": ARM}),
        ("raise-retries", {"mode": "resume", "push_retries": 6}),
        ("redeploy", {"mode": "latest"}),
        ("rebuild", {"mode": "rebuild"}),
        ("no-cache", {"mode": "no-cache"}),
        ("restart", {"mode": "same-digest"}),
    ],
)
def test_an_action_over_rest(
    failed: Deployment, api: ApiOf, teammate: User, action: str, made: dict[str, Any]
) -> None:
    answer = api(teammate).post(where(failed, action))
    assert answer.status_code == 202, answer.content
    queued = newest(failed)
    assert answer.json()["number"] == queued.number == 3
    assert {name: getattr(queued, name) for name in made} == made
    assert queued.requested_by == teammate
    base = {"redeploy": 1, "restart": 1}.get(action, 2)
    assert queued.based_on is not None
    assert queued.based_on.number == base
    entry = AuditEntry.objects.get(action=f"runbook.{action}")
    assert (entry.by, entry.server_id, entry.after) == (teammate, failed.server_id, {"deployment": 3})
    assert entry.before == {"deployment": 2, "class": "auth-expired"}


def test_stop_over_rest(failed: Deployment, api: ApiOf, owner: User) -> None:
    assert api(owner).post(where(failed, "stop")).json()["number"] == 2
    assert Server.objects.get(pk=failed.server_id).desired_state == "stopped"
    assert AuditEntry.objects.get(action="runbook.stop").by == owner


def test_what_the_schema_gate_holds_is_approved_or_declined(
    failed: Deployment, api: ApiOf, owner: User, viewer: User
) -> None:
    changes = {"against": 1, "breaking": ["add is gone."]}
    failed.keep(status="held", tool_changes=changes)
    failed.build.keep(image="i")
    told = api(viewer).get(where(failed)).json()
    assert (told["name"], [action["name"] for action in told["actions"]][:2]) == (
        "schema-change",
        ["approve", "decline"],
    )
    assert "add is gone." in told["actions"][0]["preview"]
    assert api(owner).post(where(failed, "approve")).json()["number"] == 3
    answer = api(owner).post(where(failed, "decline"))
    assert answer.json()["detail"] == "#2 does not wait for approval."


@pytest.mark.parametrize(
    ("action", "gives_up"),
    [("redeploy", True), ("rebuild", True), ("no-cache", True), ("resume", True), ("restart", False)],
)
def test_what_waits_for_approval_is_told_to_go(failed: Deployment, action: str, gives_up: bool) -> None:
    failed.keep(number=3)
    failed.build.keep(number=3)
    make_deployment(failed.server, number=2, status="held", image="j")
    said = "#2, which waits for approval, is given up, and what it built is removed."
    assert (said in diagnosis.offer_of(failed, action).preview) is gives_up
    diagnosis.perform(deployment=failed, name=action, by=PLATFORM, trigger=Trigger.API)
    held = failed.server.deployments.get(number=2)
    assert (held.status == "superseded") is gives_up


def test_roll_back_starts_the_newest_good_one(failed: Deployment, api: ApiOf, owner: User) -> None:
    Run.objects.filter(deployment__server=failed.server).update(endpoint="")
    assert api(owner).post(where(failed, "roll-back")).status_code == 202
    queued = newest(failed)
    assert queued.based_on is not None
    assert (queued.trigger, queued.based_on.number) == ("rollback", 1)


@pytest.mark.parametrize("action", sorted(REMEDIES))
def test_outsiders_see_nothing_and_viewers_press_nothing(
    failed: Deployment, api: ApiOf, outsider: User, viewer: User, action: str
) -> None:
    assert api(outsider).get(where(failed)).status_code == 404
    assert api(outsider).post(where(failed, action)).status_code == 404
    assert api(viewer).post(where(failed, action)).status_code == 403
    for user, status in ((outsider, 404), (viewer, 403)):
        client = logged_in(user)
        assert client.get(page_of(failed, action)).status_code == status
        assert client.post(page_of(failed, action)).status_code == status
    assert newest(failed) == failed
    assert not AuditEntry.objects.filter(action__startswith="runbook").exists()


def test_an_unknown_action_is_not_there(failed: Deployment, api: ApiOf, owner: User, console: Client) -> None:
    assert api(owner).post(where(failed, "pray")).status_code == 404
    assert console.post(page_of(failed, "pray")).status_code == 404
    with pytest.raises(Invalid, match="There is no action pray"):
        diagnosis.perform(deployment=failed, name="pray", by=PLATFORM, trigger=Trigger.API)


def test_what_makes_no_sense_any_more_is_refused_with_its_reason(
    failed: Deployment, api: ApiOf, owner: User, console: Client
) -> None:
    page = console.get(page_of(failed, "resume"))
    assert "A new deployment goes on where #2 failed" in page.text
    make_deployment(failed.server, status="failed", revision="c" * 40)
    answer = api(owner).post(where(failed, "resume"))
    assert answer.status_code == 409
    assert answer.json()["detail"] == "#3 was asked for since: go on from there."
    assert "#3 was asked for since" in console.get(page_of(failed, "resume")).text
    followed = console.post(page_of(failed, "resume"), follow=True)
    assert "#3 was asked for since: go on from there." in followed.text
    assert newest(failed).number == 3


@pytest.mark.parametrize(
    ("change", "action", "why"),
    [
        ({"revision": ""}, "resume", "failed before it had a revision"),
        ({"image": "i"}, "refresh-credentials", "nothing is left to push"),
        ({"platforms": [ARM]}, "retry-platform", "one platform only"),
        ({"push_retries": 20}, "raise-retries", "It had 20 attempts"),
        ({"status": "succeeded"}, "resume", "did not fail"),
    ],
)
def test_preconditions(failed: Deployment, change: dict[str, Any], action: str, why: str) -> None:
    row: Build | Deployment = failed.build if change.keys() <= OF_BUILDS else failed
    row.keep(**change)
    with pytest.raises(Conflict, match=why):
        diagnosis.perform(deployment=failed, name=action, by=PLATFORM, trigger=Trigger.API)
    assert not AuditEntry.objects.filter(action__startswith="runbook").exists()


def test_without_a_registry_nothing_is_pushed(failed: Deployment, settings: Any) -> None:
    settings.REGISTRY = ""
    assert diagnosis.offer_of(failed, "refresh-credentials").refusal.startswith("No registry is set")


def test_a_button_on_the_page_leads_to_its_preview_and_does_it(failed: Deployment, console: Client) -> None:
    page = console.get(reverse("admin:servers_deployment_change", args=[failed.pk])).text
    assert "The registry rejected the credentials" in page
    assert page_of(failed, "refresh-credentials") in page
    assert f"manage.py runbook {failed.server.slug}#2 --do refresh-credentials --wait" in page
    preview = console.get(page_of(failed, "refresh-credentials"))
    assert "REGISTRY_REFRESH_COMMAND is run once" in preview.text
    assert newest(failed) == failed
    answer = console.post(page_of(failed, "refresh-credentials"))
    queued = newest(failed)
    assert answer["Location"] == reverse("admin:servers_deployment_change", args=[queued.pk])
    assert (queued.number, queued.refresh_credentials) == (3, True)


def test_a_viewer_reads_the_diagnosis_and_has_no_buttons(
    failed: Deployment, session: Session, viewer: User
) -> None:
    page = session(viewer).get(reverse("admin:servers_deployment_change", args=[failed.pk])).text
    assert "The registry rejected the credentials" in page
    assert "/runbook/" not in page


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_command_tells_and_does(failed: Deployment, staff: User) -> None:
    slug = failed.server.slug
    said = run("runbook", slug)
    assert said == run("runbook", f"{slug}#2")
    assert said.startswith("Push linux/arm64 of #2: The registry rejected the credentials (auth-expired)")
    assert f"$ manage.py runbook {slug}#2 --do resume --wait" in said
    assert "not now: #1 is serving" in said
    assert "Nothing is wrong with it." in run("runbook", f"{slug}#1")

    assert run("runbook", slug, "--do", "refresh-credentials") == f"{slug} #3 is queued.\n"
    queued = newest(failed)
    assert (queued.trigger, queued.mode, queued.refresh_credentials) == ("command", Mode.RESUME, True)
    with pytest.raises(CommandError, match="#3 was asked for since"):
        run("runbook", f"{slug}#2", "--do", "resume")
    with pytest.raises(CommandError, match="has no deployment #9"):
        run("runbook", f"{slug}#9")
    assert run("runbook", slug, "--do", "stop").startswith(f"{slug} #3: gives up on it for now")


def test_the_command_as_json(failed: Deployment) -> None:
    assert '"name": "auth-expired"' in run("runbook", failed.server.slug, "--json")


def test_the_number_of_queries_does_not_grow(failed: Deployment) -> None:
    def queries() -> int:
        known = Deployment.objects.select_related(
            "server__current_deployment__build", "server__current_deployment__run", "build"
        )
        deployment = known.get(pk=failed.pk)
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert diagnosis.diagnose(deployment)
        return len(asked)

    few = queries()
    for number in range(20):
        happened(failed, "push_retry", platform=AMD, attempt=number)
        make_deployment(failed.server, status="succeeded", image="i")
    assert queries() == few <= 6


def test_a_server_that_went_down_can_be_started_or_rolled_back(failed: Deployment) -> None:
    server = failed.server
    failed.keep(status="succeeded")
    failed.build.keep(image="j")
    Server.objects.filter(pk=server.pk).update(current_deployment=failed)
    Server.objects.filter(pk=server.pk).update(
        status="degraded", error="It exited with code 3. It is being restarted.", error_kind="runtime"
    )
    current = Deployment.objects.select_related("server__current_deployment").get(server=server, number=2)
    found = diagnosis.diagnose(current)
    assert found is not None
    assert (found.name, found.best and found.best.name) == ("went-down", "restart")
    assert [offer.label for offer in found.others] == ["Roll back to #1", "Deploy the newest source", "Stop"]


def test_a_server_that_cannot_be_started_again_leads_to_what_helps(failed: Deployment) -> None:
    """Whatever kept it from starting: no deployment has failed that could tell."""
    server = failed.server
    current = Deployment.objects.select_related("server__current_deployment__run").get(
        number=1, server=server
    )
    why = "The registry refuses the platform's login."
    Run.objects.update(endpoint="", ended_at=timezone.now())
    Server.objects.filter(pk=server.pk).update(status="error", error=why, error_kind="registry")
    current.refresh_from_db()
    assert diagnosis.diagnose(current) is None, "the error is that of #2"

    current.keep(run=Run.objects.create(deployment=current, runtime="process", ended_at=timezone.now()))
    current.refresh_from_db()
    found = diagnosis.diagnose(current)
    assert found
    assert (found.name, found.best and found.best.name, found.means[1]) == ("went-down", "restart", why)


def test_a_server_whose_engine_does_not_answer_leads_to_what_helps(
    failed: Deployment, console: Client
) -> None:
    """It keeps its endpoint: nobody knows that it is down. Its page does not say that it serves, either."""
    server = failed.server
    failed.delete()
    serving = server.deployments.get()
    page = reverse("admin:servers_deployment_change", args=[serving.pk])
    Server.objects.filter(pk=server.pk).update(status="running", error="", error_kind="")
    assert "It is serving." in console.get(page).text

    why = "The Docker Engine does not answer."
    Server.objects.filter(pk=server.pk).update(status="degraded", error=why, error_kind="runtime")
    for url in (reverse("admin:index"), reverse("admin:servers_server_change", args=[server.pk])):
        text = console.get(url).text
        assert page in text
        assert "Calls still go to #1." in text
        assert "is still serving" not in text
    text = console.get(page).text
    assert "The server cannot be seen" in text
    assert why in text
    assert "It is serving." not in text


def test_a_failed_deployment_is_no_trouble_of_the_one_that_serves(failed: Deployment) -> None:
    Server.objects.filter(pk=failed.server_id).update(error_kind="runtime")
    serving = Deployment.objects.select_related("server__current_deployment").get(
        number=1, server=failed.server
    )
    assert diagnosis.diagnose(serving) is None


def test_what_is_offered_to_roll_back_to_is_another_build(failed: Deployment) -> None:
    """Each restart in a crash loop is a deployment that went well, of the build that keeps going down."""
    server = failed.server
    failed.keep(status="succeeded")
    failed.build.keep(image="j")
    again = {"build": failed.build, "mode": Mode.SAME_DIGEST, "trigger": Trigger.RECONCILER}
    for _ in range(2):
        make_deployment(server, serves=True, **again)
    Server.objects.filter(pk=server.pk).update(status="degraded", error="It exited.", error_kind="runtime")
    newest_one = Deployment.objects.select_related("server__current_deployment").get(number=4, server=server)
    assert diagnosis.offer_of(newest_one, "roll-back").label == "Roll back to #1"


def test_a_restart_that_fails_offers_no_other_start_of_its_build(failed: Deployment) -> None:
    server = failed.server
    failed.keep(status="succeeded")
    failed.build.keep(image="j")
    again = {"build": failed.build, "mode": Mode.SAME_DIGEST, "trigger": Trigger.RECONCILER}
    make_deployment(server, status="failed", **again)
    Run.objects.filter(deployment__server=server).update(endpoint="")
    newest_one = Deployment.objects.select_related("server__current_deployment").get(number=3, server=server)
    assert diagnosis.offer_of(newest_one, "roll-back").label == "Roll back to #1"
