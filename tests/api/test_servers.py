from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from access.actor import PLATFORM
from access.models import AuditEntry
from servers import secretbox, services
from servers.deploying import runs
from servers.models import Deployment, Run, Server
from servers.states import DeploymentStatus, ServerStatus, Trigger
from tests.accounts import make_deployment, make_server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core
PACKAGE = {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"}


@pytest.fixture
def client(api: Api, owner: User) -> APIClient:
    return api(owner)


def test_create_deploys_and_tells_where_to_look(client: APIClient, owner: User) -> None:
    answer = client.post("/api/servers/", {"name": "My Time!", "source": PACKAGE})
    body = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == body["url"] == f"http://testserver/api/servers/{body['id']}/"
    assert body["slug"] == "my-time"
    assert body["mcp_url"] == "http://testserver/mcp/my-time"
    assert body["owner"] == owner.username
    assert body["transport"] == "stdio"
    assert body["deployment"]["number"] == 1
    assert body["deployment"]["status"] == "queued"
    assert Deployment.objects.get().trigger == Trigger.API


def test_create_without_a_deployment(client: APIClient) -> None:
    body = client.post("/api/servers/", {"name": "Time", "source": PACKAGE, "deploy": False}).json()
    assert body["deployment"] is None
    assert not Deployment.objects.exists()


def test_slugs_of_equal_names_differ(client: APIClient) -> None:
    slugs = [
        client.post("/api/servers/", {"name": "Zeit", "source": PACKAGE}).json()["slug"] for _ in range(3)
    ]
    assert slugs == ["zeit", "zeit-2", "zeit-3"]


def test_secrets_and_tokens_are_sealed_and_never_shown(client: APIClient) -> None:
    source = {"kind": "git", "url": "https://git.example.org/a/b.git", "token": "tok-1"}
    document = {"name": "A", "source": source, "secrets": {"API_KEY": "s3cr3t"}, "environment": {"A": "b"}}
    answer = client.post("/api/servers/", document)
    assert answer.status_code == 201
    server = Server.objects.get()
    kept = {secret.name: secret.reveal() for secret in server.secrets.all()}
    assert kept == {"API_KEY": "s3cr3t", "GIT_TOKEN": "tok-1"}
    shown = answer.content + client.get(f"/api/servers/{server.pk}/secrets/").content
    assert b"s3cr3t" not in shown
    assert b"tok-1" not in shown
    assert secretbox.seal("x") not in shown
    assert server.source == {"url": source["url"], "ref": "", "subdirectory": ""}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"source": PACKAGE}, "name"),
        ({"name": "A"}, "source"),
        ({"name": "A", "source": "pypi:x"}, "source"),
        ({"name": "A", "source": {"kind": "ftp"}}, "source.kind"),
        ({"name": "A", "source": {"kind": "git"}}, "source.url"),
        ({"name": "A", "source": {"kind": "git", "url": "file:///etc"}}, "source.url"),
        ({"name": "A", "source": {"kind": "git", "url": "https://u:p@h/x"}}, "source.url"),
        ({"name": "A", "source": {"kind": "git", "url": "https://h/x", "ref": "--upload"}}, "source.ref"),
        ({"name": "A", "source": {"kind": "git", "url": "https://h/x", "branch": "m"}}, "source.branch"),
        ({"name": "A", "source": {"kind": "image", "reference": "UPPER case"}}, "source.reference"),
        ({"name": "A", "source": {**PACKAGE, "ecosystem": "cargo"}}, "source.ecosystem"),
        ({"name": "A", "source": {**PACKAGE, "arguments": [1]}}, "source.arguments"),
        ({"name": "A", "source": {**PACKAGE, "name": "mcp[!]"}}, "source.name"),
        ({"name": "A", "source": {**PACKAGE, "name": "mcp[cli"}}, "source.name"),
        ({"name": "A", "source": PACKAGE, "build": []}, "build"),
        ({"name": "A", "source": PACKAGE, "build": None}, "build"),
        ({"name": "A", "source": PACKAGE, "build": {"pyhton": "3.12"}}, "build.pyhton"),
        ({"name": "A", "source": PACKAGE, "build": {"python": 3.12}}, "build.python"),
        ({"name": "A", "source": PACKAGE, "build": {"extras": "cli"}}, "build.extras"),
        ({"name": "A", "source": PACKAGE, "build": {"extras": ["cli", ""]}}, "build.extras"),
        ({"name": "A", "source": PACKAGE, "build": {"with": ["mcp @ https://x/y.whl"]}}, "build.with"),
        ({"name": "A", "source": PACKAGE, "build": {"root": "app"}}, "build.root"),
        ({"name": "A", "source": PACKAGE, "build": {"arguments": {"A": "b"}}}, "build.arguments"),
        (
            {"name": "A", "source": {"kind": "image", "reference": "a/b:1"}, "build": {"node": "22"}},
            "build.node",
        ),
        (
            {"name": "A", "source": {"kind": "git", "url": "https://h/x"}, "build": {"root": "../x"}},
            "build.root",
        ),
        (
            {"name": "A", "source": {"kind": "git", "url": "https://h/x"}, "build": {"arguments": {"A": 1}}},
            "build.arguments",
        ),
        ({"name": "A", "source": {"kind": "upload"}}, "source"),
        ({"name": "A", "source": PACKAGE, "slug": "-a"}, "slug"),
        ({"name": "A", "source": PACKAGE, "port": 99999}, "port"),
        ({"name": "A", "source": PACKAGE, "path": "mcp"}, "path"),
        ({"name": "A", "source": PACKAGE, "limits": {"cpu": 0}}, "limits.cpu"),
        ({"name": "A", "source": PACKAGE, "command": "python x"}, "command"),
        ({"name": "A", "source": PACKAGE, "environment": {"PORT": "1"}}, "environment.PORT"),
        ({"name": "A", "source": PACKAGE, "environment": {"MCPHOST_X": "1"}}, "environment.MCPHOST_X"),
        ({"name": "A", "source": PACKAGE, "environment": {"1A": "1"}}, "environment"),
        ({"name": "A", "source": PACKAGE, "environment": {"A": 1}}, "environment"),
        ({"name": "A", "source": PACKAGE, "secrets": {"A": ""}}, "value"),
        ({"name": "A", "source": PACKAGE, "secrets": {"A": "1"}, "environment": {"A": "1"}}, "secrets.A"),
        ({"name": "A", "source": PACKAGE, "runtime": "lambda"}, "runtime"),
    ],
)
def test_what_is_refused_names_its_field(client: APIClient, document: object, field: str) -> None:
    answer = client.post("/api/servers/", document)
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not Server.objects.exists()


def test_a_slug_that_is_taken(client: APIClient, server: Server) -> None:
    answer = client.post("/api/servers/", {"name": "A", "source": PACKAGE, "slug": server.slug})
    assert [error["field"] for error in answer.json()["errors"]] == ["slug"]


def test_list_shows_the_own_servers_and_filters(
    api: Api, client: APIClient, owner: User, outsider: User, staff: User
) -> None:
    time = make_server(owner, name="Time", status=ServerStatus.RUNNING)
    make_server(owner, name="Weather")
    foreign = make_server(outsider, name="Theirs")

    def ids(who: APIClient, query: str = "") -> list[int]:
        return [row["id"] for row in who.get(f"/api/servers/{query}").json()["results"]]

    assert len(ids(client)) == 2
    assert ids(client, "?status=running") == [time.pk]
    assert ids(client, "?search=tim") == [time.pk]
    assert ids(api(outsider)) == [foreign.pk]
    assert len(ids(api(staff))) == 3
    assert ids(api(staff), "?owner=outsider") == [foreign.pk]


def test_pages_follow_each_other(client: APIClient, owner: User) -> None:
    made = [make_server(owner).pk for _ in range(5)]
    seen, address = [], "/api/servers/?limit=2"
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert seen == made[::-1]
    assert client.get("/api/servers/?cursor=nonsense").status_code == 400
    assert client.get("/api/servers/?limit=1001").status_code == 400


def test_the_list_takes_the_same_number_of_queries_however_long(
    client: APIClient, owner: User, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for _ in range(5):
        make_deployment(make_server(owner), serves=True)
    with django_assert_max_num_queries(4):  # type: ignore[attr-defined]
        assert len(client.get("/api/servers/").json()["results"]) == 5


def test_patch_changes_what_it_names(client: APIClient, server: Server) -> None:
    answer = client.patch(
        f"/api/servers/{server.pk}/", {"limits": {"memory_mb": 64}, "environment": {"A": "b"}}
    )
    assert answer.status_code == 200, answer.content
    assert answer.json()["limits"] == {"cpu": 1.0, "memory_mb": 64, "pids": 128}
    assert answer.json()["environment"] == {"A": "b"}
    server.refresh_from_db()
    assert (server.memory_mb, server.source["name"]) == (64, "mcp-server-time")


def test_patch_replaces_the_source(client: APIClient, server: Server) -> None:
    source = {"kind": "image", "reference": "registry.example.org/a/b:1"}
    answer = client.patch(f"/api/servers/{server.pk}/", {"source": source})
    assert answer.json()["source"] == source
    token = client.patch(
        f"/api/servers/{server.pk}/", {"source": {"kind": "git", "url": "git@h.example:a/b", "token": "t"}}
    )
    assert token.status_code == 200, token.content
    assert server.secrets.get().reveal() == "t"


def test_put_needs_what_is_required_and_the_slug_stays(client: APIClient, server: Server) -> None:
    where = f"/api/servers/{server.pk}/"
    assert {e["field"] for e in client.put(where, {}).json()["errors"]} == {"name", "source"}
    assert client.put(where, {"name": "New", "source": PACKAGE}).json()["name"] == "New"
    assert client.patch(where, {"slug": "other"}).json()["errors"][0]["field"] == "slug"
    assert client.patch(where, {"source": {"kind": "upload"}}).json()["errors"][0]["field"] == "source.kind"


def test_actions_queue_work_and_answer_202(client: APIClient, server: Server) -> None:
    where = f"/api/servers/{server.pk}/"
    answer = client.post(f"{where}redeploy/", {"mode": "no-cache"})
    assert answer.status_code == 202
    assert answer["Location"] == answer.json()["url"]
    assert client.get(answer["Location"]).json()["mode"] == "no-cache"
    assert client.post(f"{where}redeploy/").json()["number"] == 2
    assert Deployment.objects.get(number=1).status == DeploymentStatus.SUPERSEDED
    assert client.post(f"{where}cancel/").json()["status"] == "cancelled"
    assert client.post(f"{where}start/").json()["mode"] == "latest"
    stopped = client.post(f"{where}stop/")
    assert (stopped.status_code, stopped.json()["desired_state"]) == (202, "stopped")
    assert stopped["Location"] == f"http://testserver{where}"
    deleted = client.delete(where)
    assert (deleted.status_code, deleted.json()["status"]) == (202, "deleting")


def test_what_does_not_fit_the_state_is_a_conflict(client: APIClient, server: Server) -> None:
    where = f"/api/servers/{server.pk}/"
    for answer in (
        client.post(f"{where}cancel/"),
        client.post(f"{where}redeploy/", {"mode": "same-digest"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["detail"]
    services.delete(server=server, by=PLATFORM)
    assert client.post(f"{where}redeploy/").status_code == 409


def test_rollback_starts_what_was_built(client: APIClient, server: Server) -> None:
    make_deployment(server, image="registry.example.org/a@sha256:1")
    make_deployment(server, status=DeploymentStatus.FAILED)
    where = f"/api/servers/{server.pk}/rollback/"
    answer = client.post(where, {"to": 1})
    assert (answer.status_code, answer.json()["based_on"]) == (202, 1), answer.content
    assert client.post(where, {"to": 2}).status_code == 409
    assert client.post(where, {"to": 9}).json()["errors"][0]["field"] == "to"
    assert client.post(where, {}).json()["errors"][0]["field"] == "to"
    assert (
        client.post(f"/api/servers/{server.pk}/redeploy/", {"mode": "x"}).json()["errors"][0]["field"]
        == "mode"
    )


def test_what_serves_is_shown_beside_what_failed(client: APIClient, server: Server) -> None:
    make_deployment(server, serves=True, endpoint="http://127.0.0.1:1/mcp")
    failed = make_deployment(server, status=DeploymentStatus.FAILED, error="no", error_kind="build")
    body = client.get(f"/api/servers/{server.pk}/").json()
    assert body["serving"]["number"] == 1
    assert body["deployment"] == {"id": failed.pk, "number": 2, "status": "failed"}


def test_each_start_of_a_server_newest_first(client: APIClient, server: Server) -> None:
    deployment = make_deployment(server, serves=True, endpoint="http://127.0.0.1:1/mcp")
    first = deployment.run
    assert first
    Run.objects.filter(pk=first.pk).update(ended_at=timezone.now(), endpoint="", why="It was killed.")
    waiting = runs.begin(deployment)
    make_deployment(make_server(server.owner), endpoint="http://127.0.0.1:2/mcp")
    listed = client.get(f"/api/servers/{server.pk}/runs/").json()["results"]
    assert [(row["id"], row["state"], row["why"]) for row in listed] == [
        (waiting.pk, "queued", ""),
        (first.pk, "ended", "It was killed."),
    ]
    assert {(row["deployment"], row["number"]) for row in listed} == {(deployment.pk, 1)}
    assert listed[1]["ready_at"]
    assert not listed[0]["ready_at"]
    assert client.get(f"/api/servers/{server.pk}/runs/?limit=1").json()["next"]


def test_deployments_and_their_steps(client: APIClient, server: Server) -> None:
    deployment = make_deployment(server, images={"linux/amd64": {"digest": "sha256:1"}})
    deployment.steps.create(
        kind="push", platform="linux/amd64", status="succeeded", details={"digest": "sha256:1"}
    )
    listed = client.get(f"/api/servers/{server.pk}/deployments/?status=succeeded").json()["results"]
    assert [row["number"] for row in listed] == [1]
    assert "steps" not in listed[0]
    body = client.get(f"/api/deployments/{deployment.pk}/").json()
    assert body["steps"][0]["kind"] == "push"
    assert body["steps"][0]["details"] == {"digest": "sha256:1"}
    assert client.get(f"/api/servers/{server.pk}/deployments/?status=failed").json()["results"] == []
    assert client.post(f"/api/deployments/{deployment.pk}/cancel/").status_code == 409


def test_how_it_is_built_is_set_read_and_replaced(client: APIClient) -> None:
    build = {"member": "services/a", "groups": ["server"], "python": "3.12", "with": ["mcp<2"]}
    source = {"kind": "git", "url": "https://git.example.org/a/b.git"}
    made = client.post("/api/servers/", {"name": "A", "source": source, "build": {**build, "root": ""}})
    assert made.status_code == 201
    assert made.json()["build"] == build
    url = made.json()["url"]
    assert client.patch(url, {"name": "B"}).json()["build"] == build
    assert client.patch(url, {"build": {"node": "22"}}).json()["build"] == {"node": "22"}
    changed = AuditEntry.objects.filter(action="server.changed").first()
    assert changed
    assert changed.after == {"build": {"node": "22"}}
    assert changed.before == {"build": build}
    assert client.patch(url, {"build": {}}).json()["build"] == {}


def test_extras_of_a_package_are_told_apart_from_its_name(client: APIClient) -> None:
    source = {**PACKAGE, "name": "mcp[cli, http]"}
    made = client.post("/api/servers/", {"name": "A", "source": source, "build": {"extras": ["ws"]}}).json()
    assert (made["source"]["name"], made["build"]) == ("mcp", {"extras": ["ws", "cli", "http"]})
    again = client.patch(made["url"], {"source": {**PACKAGE, "name": "mcp[cli]"}}).json()
    assert (again["source"]["name"], again["build"]) == ("mcp", {"extras": ["ws", "cli", "http"]})


def test_another_kind_of_source_takes_no_choices_that_mean_nothing_to_it(client: APIClient) -> None:
    source = {"kind": "git", "url": "https://git.example.org/a/b.git"}
    made = client.post("/api/servers/", {"name": "A", "source": source, "build": {"root": "app"}}).json()
    refused = client.patch(made["url"], {"source": PACKAGE})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "build.root")
    assert client.patch(made["url"], {"source": PACKAGE, "build": {}}).status_code == 200


def test_the_plan_of_a_deployment(client: APIClient, server: Server) -> None:
    plan = {"ecosystem": "python", "why": ["uv.lock found"], "chosen": {"python": "3.12"}}
    deployment = make_deployment(server, plan=plan)
    assert client.get(f"/api/deployments/{deployment.pk}/").json()["plan"] == plan
    assert client.get(f"/api/deployments/{make_deployment(server).pk}/").json()["plan"] == {}
