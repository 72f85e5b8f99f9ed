"""Logs, secrets, tokens, archives, health."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from access.actor import PLATFORM
from servers import logbook, services, uploads
from servers.models import LogLine, Server, Token
from tests.accounts import make_deployment, make_server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core


@pytest.fixture
def client(api: Api, owner: User) -> APIClient:
    return api(owner)


@pytest.fixture
def logged(server: Server) -> Server:
    deployment = make_deployment(server)
    LogLine.objects.bulk_create(
        LogLine(
            server=server,
            deployment=deployment if number < 6 else None,
            stream="build" if number < 6 else "stderr",
            at=timezone.now(),
            text=f"line {number}",
        )
        for number in range(10)
    )
    return server


def texts(client: APIClient, server: Server, query: str) -> list[str]:
    body = client.get(f"/api/servers/{server.pk}/logs/{query}").json()
    return [line["text"].removeprefix("line ") for line in body["results"]]


def test_logs_by_range(client: APIClient, logged: Server) -> None:
    first = LogLine.objects.earliest("pk").pk
    assert texts(client, logged, "") == list("0123456789")
    assert texts(client, logged, "?tail=3") == list("789")
    assert texts(client, logged, "?stream=stderr") == list("6789")
    assert texts(client, logged, f"?deployment={logged.deployments.get().pk}&tail=2") == list("45")
    assert texts(client, logged, f"?after={first + 1}&before={first + 4}") == list("23")
    for query in (
        "?limit=0",
        "?limit=x",
        "?stream=x",
        "?tail=1001",
        "?after=-1",
        "?after=99999999999999999999",
    ):
        assert client.get(f"/api/servers/{logged.pk}/logs/{query}").status_code == 400


def test_logs_page_by_page(client: APIClient, logged: Server) -> None:
    seen, address = [], f"/api/servers/{logged.pk}/logs/?limit=4"
    while address:
        page = client.get(address).json()
        seen.append([line["text"] for line in page["results"]])
        address = page["next"]
    assert [len(lines) for lines in seen] == [4, 4, 2]


def test_logs_as_a_download(client: APIClient, logged: Server) -> None:
    for extra in ({"HTTP_ACCEPT": "text/plain"}, {"QUERY_STRING": "format=text"}):
        answer: Any = client.get(f"/api/servers/{logged.pk}/logs/", **extra)
        lines = b"".join(answer.streaming_content).decode().splitlines()
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer["Content-Disposition"] == f'attachment; filename="{logged.slug}.log"'
        assert len(lines) == 10
        assert lines[0].endswith(" build    line 0")


def test_logs_by_what_they_say(client: APIClient, server: Server) -> None:
    began = timezone.now()
    said = ["INFO: Ready", "level=warning Slow", "ERROR it broke", "plain", "50% done"]
    lines = [LogLine(server=server, stream="stderr", at=began, text=text) for text in said]
    lines[0].at -= timedelta(hours=1)
    logbook.keep(server.pk, lines)
    assert texts(client, server, "?search=READY") == [said[0]]
    assert texts(client, server, "?search=%25") == [said[4]]
    assert texts(client, server, "?level=warning") == said[1:3]
    assert texts(client, server, "?level=debug") == said[:3]
    moment = began.isoformat().replace("+", "%2B")
    assert texts(client, server, f"?since={moment}") == said[1:]
    assert texts(client, server, f"?until={moment}") == said[:1]
    for query in ("?level=loud", "?since=yesterday", f"?search={'x' * 201}", "?search=%00"):
        assert client.get(f"/api/servers/{server.pk}/logs/{query}").status_code == 400


def test_logs_as_lines_of_json(client: APIClient, logged: Server, outsider: User, api: Api) -> None:
    address = f"/api/servers/{logged.pk}/logs/download/?format=jsonl&search=line"
    answer: Any = client.get(address)
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert answer["Content-Disposition"] == f'attachment; filename="{logged.slug}.jsonl"'
    assert [line["text"] for line in lines] == [f"line {number}" for number in range(10)]
    assert lines[0]["level"] == ""
    assert api(outsider).get(address).status_code == 404


def test_secrets_are_set_listed_replaced_and_deleted(client: APIClient, server: Server) -> None:
    server.source_kind, server.source = "git", {"url": "https://forge.example/a/b"}
    server.save()
    where = f"/api/servers/{server.pk}/secrets/"
    assert client.put(f"{where}API_KEY/", {"value": "one"}).status_code == 200
    assert client.put(f"{where}API_KEY/", {"value": " two "}).status_code == 200
    assert client.put(f"{where}GIT_TOKEN/?purpose=source", {"value": "t"}).status_code == 200
    listed = client.get(where)
    assert [(row["name"], row["purpose"], row["updated_by"]) for row in listed.json()] == [
        ("API_KEY", "environment", "owner"),
        ("GIT_TOKEN", "source", "owner"),
    ]
    assert set(listed.json()[0]) == {"name", "purpose", "origin", "updated_at", "updated_by"}
    assert server.secrets.get(name="API_KEY").reveal() == " two "
    assert client.delete(f"{where}API_KEY/").status_code == 204
    assert client.delete(f"{where}API_KEY/").status_code == 404
    assert client.get(f"{where}API_KEY/").status_code == 405


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("API_KEY/", {}),
        ("API_KEY/", {"value": ""}),
        ("PORT/", {"value": "1"}),
        ("1A/", {"value": "1"}),
        ("A/?purpose=other", {"value": "1"}),
    ],
)
def test_secrets_that_are_refused(client: APIClient, server: Server, path: str, body: object) -> None:
    answer = client.put(f"/api/servers/{server.pk}/secrets/{path}", body)
    assert answer.status_code == 400


def test_a_token_is_shown_once_and_can_be_revoked(
    client: APIClient, server: Server, owner: User, outsider: User
) -> None:
    answer = client.post("/api/tokens/", {"name": "laptop", "server": server.pk})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["scope"], made["server"], made["owner"]) == ("mcp", server.pk, "owner")
    assert made["value"].startswith(made["prefix"])
    shown = client.get("/api/tokens/").json()["results"]
    assert made["id"] in [row["id"] for row in shown]
    assert all("value" not in row and "digest" not in row for row in shown)
    assert client.delete(f"/api/tokens/{made['id']}/").status_code == 204
    assert client.get(f"/api/tokens/{made['id']}/").json()["revoked_at"]
    assert client.patch(f"/api/tokens/{made['id']}/", {}).status_code == 405
    foreign = make_server(outsider)
    for body, field in (
        ({"name": "x", "server": foreign.pk}, "server"),
        ({"name": "x", "scope": "root"}, "scope"),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({}, "name"),
    ):
        assert client.post("/api/tokens/", body).json()["errors"][0]["field"] == field


def test_which_tokens_open_the_api(api: Api, owner: User, server: Server) -> None:
    def status(value: str) -> int:
        return APIClient().get("/api/servers/", HTTP_AUTHORIZATION=f"Bearer {value}").status_code

    token, value = services.issue_token(owner=owner, name="a", scope="api", by=PLATFORM)
    assert status(value) == 200
    token.refresh_from_db()
    used = token.last_used_at
    assert used
    assert status(value) == 200
    token.refresh_from_db()
    assert token.last_used_at == used
    Token.objects.filter(pk=token.pk).update(last_used_at=used - timedelta(minutes=2))
    status(value)
    token.refresh_from_db()
    assert token.last_used_at > used - timedelta(minutes=1)
    assert status(services.issue_token(owner=owner, name="m", scope="mcp", by=PLATFORM)[1]) == 401
    past = timezone.now() - timedelta(seconds=1)
    assert (
        status(services.issue_token(owner=owner, name="e", scope="api", expires_at=past, by=PLATFORM)[1])
        == 401
    )
    services.revoke_token(token=token, by=PLATFORM)
    assert status(value) == 401
    assert status("mcph_nonsense") == 401


def archive(content: bytes = b"PK-archive", name: str = "my app.tar.gz") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.DATA_DIR = tmp_path
    settings.UPLOAD_MAX_BYTES = 100_000
    yield tmp_path
    assert not list((tmp_path / "uploads" / "incoming").glob("*"))


def test_an_archive_becomes_the_source(client: APIClient, server: Server, data: Path) -> None:
    answer = client.post(f"/api/servers/{server.pk}/archive/", {"archive": archive()}, format="multipart")
    assert answer.status_code == 200, answer.content
    digest = hashlib.sha256(b"PK-archive").hexdigest()
    assert answer.json()["source"] == {
        "kind": "upload", "filename": "my app.tar.gz", "sha256": digest, "size": 10,
    }  # fmt: skip
    server.refresh_from_db()
    kept = uploads.path_of(server)
    assert kept == data / "uploads" / str(server.pk) / f"{digest}.tar.gz"
    assert kept.read_bytes() == b"PK-archive"
    assert kept.stat().st_mode & 0o077 == 0
    assert str(data) not in answer.content.decode()


def test_a_server_from_an_archive_in_one_request(client: APIClient, data: Path) -> None:
    form = {"archive": archive(name="a.zip"), "server": '{"name": "Zip", "limits": {"cpu": 0.5}}'}
    answer = client.post("/api/servers/", form, format="multipart")
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["source"]["kind"], body["limits"]["cpu"], body["deployment"]["number"]) == ("upload", 0.5, 1)
    assert uploads.path_of(Server.objects.get()).is_file()


def test_where_in_its_archive_a_server_lies(client: APIClient, data: Path) -> None:
    document = json.dumps({"name": "Zip", "source": {"kind": "upload", "subdirectory": "packages/one"}})
    form = {"archive": archive(name="a.zip"), "server": document}
    body = client.post("/api/servers/", form, format="multipart").json()
    assert body["source"]["subdirectory"] == "packages/one"

    newer = client.post(f"{body['url']}archive/", {"archive": archive(b"PK-newer")}, format="multipart")
    held = newer.json()["source"]
    assert (held["size"], held["subdirectory"]) == (8, "packages/one")

    moved = client.patch(body["url"], {"source": {"kind": "upload", "subdirectory": "packages/two"}})
    assert moved.json()["source"] == {**held, "subdirectory": "packages/two"}

    out = client.patch(body["url"], {"source": {"kind": "upload", "subdirectory": "../x"}})
    assert [error["field"] for error in out.json()["errors"]] == ["source.subdirectory"]


@pytest.mark.parametrize("size", [100_001, 400_000])
def test_an_archive_that_is_too_large(client: APIClient, server: Server, data: Path, size: int) -> None:
    answer = client.post(
        f"/api/servers/{server.pk}/archive/", {"archive": archive(bytes(size))}, format="multipart"
    )
    assert answer.status_code == 413, answer.content
    assert answer.json()["errors"][0]["field"] == "archive"
    assert not (data / "uploads" / str(server.pk)).exists()


@pytest.mark.parametrize(
    "form",
    [{}, {"archive": "text"}, {"archive": archive(b"")}, {"archive": archive(name="a.exe")}],
)
def test_archives_that_are_refused(client: APIClient, server: Server, data: Path, form: Any) -> None:
    answer = client.post(f"/api/servers/{server.pk}/archive/", form, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "archive"


def test_a_refused_server_leaves_no_archive(client: APIClient, data: Path) -> None:
    form = {"archive": archive(), "server": '{"name": ""}'}
    assert client.post("/api/servers/", form, format="multipart").status_code == 400
    assert client.post("/api/servers/", {**form, "server": "no"}, format="multipart").status_code == 400
    assert not Server.objects.exists()


def test_health(db: None) -> None:
    answer = APIClient().get("/api/health/")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "degraded"
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "database": "ok", "migrations": "ok", "broker": "ok", "reconciler": "degraded",
    }  # fmt: skip


def test_health_with_migrations_missing(db: None, settings: Settings) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'metrics'")
    assert APIClient().get("/api/health/").status_code == 503
    settings.ALLOW_MIGRATION_FAILURE = True
    answer = APIClient().get("/api/health/")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "not applied" in answer.json()["checks"]["migrations"]["detail"]


def test_health_without_the_broker(db: None, settings: Settings) -> None:
    settings.BROKER_URL = "redis://:hidden@127.0.0.1:1/0"
    answer = APIClient().get("/api/health/")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert b"hidden" not in answer.content
    assert b"127.0.0.1" not in answer.content
