"""A token that was given for one place, and people, forges and repositories that would have it at another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import PLATFORM, Actor
from access.models import AuditEntry
from catalog import services as catalog
from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources.git import GitSource
from hosting.sources.origin import origin_of
from servers import intake, services
from servers.deploying import fetching
from servers.models import Secret, Server
from servers.models.server import GIT_TOKEN
from servers.states import Mode, Trigger
from tests.accounts import api, make_deployment, owner, server, session, staff, team, teammate
from tests.catalog import documents
from tests.hosting.sources.git_server import GitServer, Repository, serving
from tests.platform import archive_of, quick

__all__ = ["api", "owner", "quick", "server", "session", "staff", "team", "teammate"]
Api = Callable[[User], APIClient]
TOKEN = "ghp_0123456789abcdef"
pytestmark = [pytest.mark.core, pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def forge(tmp_path: Path, settings: Any) -> Iterator[GitServer]:
    """The owner's: it gives nothing without the token."""
    settings.GIT_PROTOCOLS = ["http"]
    Repository(tmp_path / "forge" / "server").commit("First", server__py="print(1)\n")
    with serving(tmp_path / "forge") as made:
        made.password = TOKEN
        yield made


@pytest.fixture
def thief(tmp_path: Path) -> Iterator[GitServer]:
    """Somebody else's: it asks everybody for a password, and writes down what it is given."""
    Repository(tmp_path / "thief" / "server").commit("Mine", server__py="print(2)\n")
    with serving(tmp_path / "thief") as made:
        made.password = "whatever-comes"
        yield made


@pytest.fixture
def hosted(server: Server, forge: GitServer, owner: User, quick: None) -> Server:
    """A server of the owner's from a private repository, in a team with the teammate."""
    source = {"url": forge.url("server"), "ref": "", "subdirectory": ""}
    return intake.change(
        server=server, fields={"source_kind": "git", "source": source}, token=TOKEN, by=Actor(owner)
    )


def deploy(server: Server, into: Path, revision: str = "") -> None:
    """As far as the fetch, which is where tokens go out."""
    source = fetching.source_of(Server.objects.get(pk=server.pk), revision)
    source.fetch(into, deadline=Deadline.of(60), log=lambda _: None)


def tokens(server: Server) -> list[str]:
    return [secret.reveal() for secret in Secret.objects.filter(server=server, purpose="source")]


def said_of(server: Server) -> list[str]:
    rows = AuditEntry.objects.filter(server_id=server.pk, action__startswith="secret.")
    return list(rows.order_by("id").values_list("action", flat=True))


def test_the_owner_deploys_with_it(hosted: Server, forge: GitServer, tmp_path: Path) -> None:
    deploy(hosted, tmp_path / "into")
    assert forge.authorizations[-1] == f"x-access-token:{TOKEN}"


# --- A member of the team changes where the source lies


def by_patch(server: Server, url: str, member: User, api: Api) -> None:
    answer = api(member).patch(f"/api/servers/{server.pk}/", {"source": {"kind": "git", "url": url}})
    assert answer.status_code == 200, answer.content


def by_put(server: Server, url: str, member: User, api: Api) -> None:
    body = {"name": "Mine now", "source": {"kind": "git", "url": url}}
    answer = api(member).put(f"/api/servers/{server.pk}/", body)
    assert answer.status_code == 200, answer.content


def by_service(server: Server, url: str, member: User, api: Api) -> None:
    services.update_server(
        server=server, fields={"source": {"url": url, "ref": "", "subdirectory": ""}}, by=PLATFORM
    )


def by_way_of_a_package(server: Server, url: str, member: User, api: Api) -> None:
    client, address = api(member), f"/api/servers/{server.pk}/"
    package = {"kind": "package", "ecosystem": "pypi", "name": "mcp-server-time"}
    dropped = client.patch(address, {"source": package}).json()["dropped"]
    assert [secret["name"] for secret in dropped] == [GIT_TOKEN]
    by_patch(server, url, member, api)


def by_way_of_an_archive(server: Server, url: str, member: User, api: Api) -> None:
    file = SimpleUploadedFile("source.tar.gz", archive_of({"server.py": "print(3)\n"}))
    client, address = api(member), f"/api/servers/{server.pk}/"
    answer = client.post(f"{address}archive/", {"archive": file}, format="multipart")
    assert [secret["name"] for secret in answer.json()["dropped"]] == [GIT_TOKEN]
    by_patch(server, url, member, api)


DOORS = [by_patch, by_put, by_service, by_way_of_a_package, by_way_of_an_archive]


@pytest.mark.parametrize("door", DOORS)
def test_a_teammate_moves_the_source_to_a_host_of_theirs(
    hosted: Server, thief: GitServer, teammate: User, api: Api, tmp_path: Path,
    door: Callable[[Server, str, User, Api], None],
) -> None:  # fmt: skip
    door(hosted, thief.url("server"), teammate, api)
    with pytest.raises(SourceError, match="refused access"):
        deploy(hosted, tmp_path / "into")

    assert thief.authorizations == []
    assert tokens(hosted) == []
    assert said_of(hosted) == ["secret.set", "secret.dropped"]


def test_a_teammate_moves_it_away_and_back(
    hosted: Server, forge: GitServer, teammate: User, api: Api, tmp_path: Path
) -> None:
    by_way_of_a_package(hosted, forge.url("server"), teammate, api)
    with pytest.raises(SourceError, match="refused access"):
        deploy(hosted, tmp_path / "into")
    assert tokens(hosted) == []


def test_a_teammate_moves_it_by_a_document_of_the_catalog(hosted: Server, owner: User) -> None:
    document: Any = documents.document(documents.SEARCH)
    found = catalog.Found(document)
    options = catalog.packages.options(document, frozenset({"process"}))
    option = next(each for each in options if each.hostable)
    Server.objects.filter(pk=hosted.pk).update(origin={"name": document["name"], "version": "0.0.1"})
    hosted.refresh_from_db()
    answers = {question.key: "s3cr3t-value" for question in option.questions if question.required}
    changed, _ = catalog.update(
        server=hosted, found=found, option=option, answers=answers, by=Actor(owner), trigger=Trigger.API,
        deploy=False,
    )  # fmt: skip
    assert [secret.name for secret in changed.dropped] == [GIT_TOKEN]
    assert tokens(hosted) == []


def test_the_api_and_the_audit_say_what_was_dropped(
    hosted: Server, forge: GitServer, teammate: User, api: Api
) -> None:
    body = {"source": {"kind": "git", "url": "http://forge.example/a/b"}}
    answer = api(teammate).patch(f"/api/servers/{hosted.pk}/", body).json()

    here = f"http://127.0.0.1:{forge.server_port}"
    assert answer["dropped"] == [{"name": GIT_TOKEN, "purpose": "source", "origin": here}]
    entry = AuditEntry.objects.get(action="secret.dropped")
    assert (entry.actor, entry.before, entry.after) == (
        "teammate",
        {"name": GIT_TOKEN, "purpose": "source", "origin": here},
        {"origin": "http://forge.example"},
    )
    assert TOKEN not in str(AuditEntry.objects.values_list("before", "after"))


def test_the_page_says_it_before_and_after(hosted: Server, forge: GitServer, teammate: User) -> None:
    browser = Client()
    browser.force_login(teammate, backend="django.contrib.auth.backends.ModelBackend")
    here, edit = origin_of(forge.url("")), reverse("admin:servers_server_edit", args=[hosted.pk])
    shown = browser.get(edit).content.decode()
    assert f"Empty keeps the one for {here}; with another scheme, host or port in the URL" in shown

    given = {
        "name": hosted.name, "source_kind": "git", "git_url": "http://forge.example/a/b", "port": "8000",
        "path": "/mcp", "cpu": "1", "memory_mb": "512", "pids": "128", "transport_choice": "stdio",
    }  # fmt: skip
    after = browser.post(edit, given, follow=True).content.decode()
    assert f"{GIT_TOKEN} was dropped: it was given for {here}." in after
    assert "The source is at http://forge.example now." in after
    assert tokens(hosted) == []


def test_a_token_that_comes_with_the_new_url_is_for_the_new_place(
    hosted: Server, thief: GitServer, owner: User, api: Api, tmp_path: Path
) -> None:
    source = {"kind": "git", "url": thief.url("server"), "token": thief.password}
    answer = api(owner).patch(f"/api/servers/{hosted.pk}/", {"source": source})
    assert answer.json()["dropped"] == []
    deploy(hosted, tmp_path / "into")
    assert set(thief.authorizations) == {f"x-access-token:{thief.password}"}


def test_another_repository_of_the_same_forge_is_allowed(
    hosted: Server, forge: GitServer, teammate: User, api: Api, tmp_path: Path
) -> None:
    Repository(tmp_path / "forge" / "other").commit("Other", server__py="print(4)\n")
    by_patch(hosted, forge.url("other"), teammate, api)
    deploy(hosted, tmp_path / "into")
    assert tokens(hosted) == [TOKEN]


def test_only_a_repository_has_a_token(server: Server, owner: User, api: Api) -> None:
    """One that was kept for no place would be for any."""
    address = f"/api/servers/{server.pk}/secrets/GIT_TOKEN/?purpose=source"
    answer = api(owner).put(address, {"value": TOKEN})
    assert answer.status_code == 400
    assert "Only a git source has a credential" in answer.json()["detail"]
    assert tokens(server) == []


def test_an_owner_who_gives_it_again_says_where_it_is_meant_for(
    hosted: Server, forge: GitServer, thief: GitServer, owner: User, teammate: User, api: Api
) -> None:
    """A script that renews tokens does not look where the source has been moved to meanwhile."""
    by_patch(hosted, thief.url("server"), teammate, api)
    address = f"/api/servers/{hosted.pk}/secrets/GIT_TOKEN/?purpose=source"
    answer = api(owner).put(address, {"value": TOKEN, "origin": origin_of(forge.url(""))})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "origin"
    assert tokens(hosted) == []
    there = origin_of(thief.url(""))
    assert api(owner).put(address, {"value": TOKEN, "origin": there}).json()["origin"] == there


# --- Past the services: rows that were edited, races, older deployments


def test_a_row_that_was_changed_by_hand(hosted: Server, thief: GitServer, tmp_path: Path) -> None:
    Server.objects.filter(pk=hosted.pk).update(source={"url": thief.url("server")})
    with pytest.raises(SourceError, match=r"was given for http://127.* Give the token again"):
        deploy(hosted, tmp_path / "into")
    assert thief.authorizations == []


def test_a_change_while_a_deployment_is_on_its_way(
    hosted: Server, forge: GitServer, thief: GitServer, owner: User, tmp_path: Path
) -> None:
    """The worker read the row before; the token that it finds was given for the new place."""
    before = Server.objects.get(pk=hosted.pk)
    fields = {"source": {"url": thief.url("server"), "ref": "", "subdirectory": ""}}
    intake.change(server=hosted, fields=fields, token="for-the-new-place", by=Actor(owner))
    with pytest.raises(SourceError, match="is not sent to"):
        fetching.source_of(before)
    assert forge.authorizations == []


@pytest.mark.parametrize("mode", [Mode.LATEST, Mode.REBUILD])
def test_an_older_deployment_brings_nothing_back(
    hosted: Server, thief: GitServer, owner: User, tmp_path: Path, mode: Mode
) -> None:
    """Neither what it was built of nor the commit that a webhook asked for leads to the old token."""
    older = make_deployment(hosted, revision="0" * 40, serves=True)
    fields = {"source": {"url": thief.url("server"), "ref": "", "subdirectory": ""}}
    services.update_server(server=hosted, fields=fields, by=PLATFORM)
    made = services.deploy(
        server=hosted, by=Actor(owner), trigger=Trigger.API, mode=mode, based_on=older,
        revision="0" * 40 if mode == Mode.LATEST else "",
    )  # fmt: skip
    with pytest.raises(SourceError, match="refused access"):
        deploy(hosted, tmp_path / "into", made.wanted_revision or older.build.revision)
    assert thief.authorizations == []


# --- Forges and repositories that lead elsewhere


class _Leading(BaseHTTPRequestHandler):
    """Says that the repository is at `elsewhere`, where `asks` after it was given the token."""

    elsewhere, asks = "", False

    def do_GET(self) -> None:
        if self.asks and not self.headers.get("Authorization"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        else:
            self.send_response(302)
            self.send_header("Location", self.elsewhere + self.path)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@contextmanager
def leading_to(elsewhere: str, *, asks: bool = False) -> Iterator[str]:
    handler = type("Leading", (_Leading,), {"elsewhere": elsewhere.rstrip("/"), "asks": asks})
    made = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/server"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def fetch(url: str, into: Path) -> None:
    GitSource(url, token=TOKEN, protocols=("http",)).fetch(into, deadline=Deadline.of(60), log=lambda _: None)


@pytest.mark.parametrize("asks", [False, True])
def test_a_forge_that_redirects_to_another_host(thief: GitServer, tmp_path: Path, asks: bool) -> None:
    with leading_to(thief.url(""), asks=asks) as url, pytest.raises(SourceError, match="refused access"):
        fetch(url, tmp_path / "into")
    assert thief.authorizations == []


def test_a_forge_that_redirects_to_a_public_repository_elsewhere(thief: GitServer, tmp_path: Path) -> None:
    """It is fetched as a browser would, and nobody is told the token on the way."""
    thief.password = ""
    with leading_to(thief.url("")) as url:
        fetch(url, tmp_path / "into")
    assert (tmp_path / "into" / "server.py").read_text() == "print(2)\n"
    assert thief.authorizations == []


def test_a_repository_with_a_submodule_of_another_port(
    forge: GitServer, thief: GitServer, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "forge" / "with-module")
    there = str(tmp_path / "thief" / "server")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", there, "theirs")
    repository.git("config", "--file", ".gitmodules", "submodule.theirs.url", thief.url("server"))
    repository.commit("Use what is theirs")
    with pytest.raises(SourceError, match=r"The submodule theirs of .* refused access"):
        fetch(forge.url("with-module"), tmp_path / "into")
    assert forge.authorizations
    assert thief.authorizations == []


def test_a_repository_whose_large_files_lie_elsewhere(
    forge: GitServer, thief: GitServer, tmp_path: Path
) -> None:
    """It is asked where the repository says, for what everybody may have: without the token."""
    repository = Repository(tmp_path / "forge" / "large")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n"
    (repository.path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (repository.path / ".lfsconfig").write_text(f"[lfs]\n\turl = {thief.url('server.git/info/lfs')}\n")
    repository.commit("Large", model__bin=pointer)
    with pytest.raises(SourceError, match=r"model\.bin is kept in Git LFS, .* refuses access"):
        fetch(forge.url("large"), tmp_path / "into")
    assert thief.authorizations == []
    assert [authorization for _, authorization in thief.lfs.seen] == [""]


# --- What an origin is


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Forge.Example/a/b.git", "https://forge.example"),
        ("https://forge.example:443/a", "https://forge.example"),
        ("https://forge.example:8443/a", "https://forge.example:8443"),
        ("http://forge.example/a", "http://forge.example"),
        ("http://forge.example:443/a", "http://forge.example:443"),
        ("https://forge.example./a", "https://forge.example."),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443"),
        ("ssh://git@forge.example/a", "ssh://forge.example"),
        ("ssh://other@forge.example:22/a", "ssh://forge.example"),
        ("ssh://git@forge.example:2222/a", "ssh://forge.example:2222"),
        ("git@Forge.Example:a/b.git", "ssh://forge.example"),
        ("https://bücher.example/a", "https://bücher.example"),
        ("https://forge.example#@evil.example/", "https://forge.example"),
        ("https://forge.example?@evil.example/", "https://forge.example"),
    ],
)
def test_the_origin_of(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        r"https://evil.example\@forge.example/a",
        r"https://forge.example\.evil.example/a",
        "https://forge.example%2eevil.example/a",
        "https://forge.example%00.evil.example/a",
        "https://a@b@forge.example/a",
        "https://*/a",
        "https://*.example/a",
        "https://[forge.example]/a",
        "https://<b>forge.example</b>/a",
        'https://forge.example"/a',
        "https://forge.example&amp;/a",
        "https://forge.example\u00a0/a",
        "https:///a",
        "https://forge.example:port/a",
        "https:forge.example/a",
        "/etc/passwd",
        "",
    ],
)
def test_addresses_whose_host_is_not_plain_have_none_and_reach_no_git(url: str) -> None:
    """Parsers differ on them: one would name the forge that the token is for, another go elsewhere."""
    assert origin_of(url) == ""
    with pytest.raises(SourceError):
        GitSource(url, token=TOKEN).check()


# --- What was there before


@pytest.mark.django_db(transaction=True)
def test_tokens_of_the_version_before_belong_to_where_the_source_is() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("servers", "0014_what_a_run_uses")])
    apps = executor.loader.project_state([("servers", "0014_what_a_run_uses")]).apps
    try:
        user = apps.get_model("auth", "User").objects.create(username="owner")
        for slug, kind, source in (
            ("forge", "git", {"url": "https://Forge.example:443/a/b"}),
            ("ssh", "git", {"url": "git@forge.example:a/b"}),
            ("moved", "package", {"ecosystem": "pypi", "name": "x"}),
        ):
            made = apps.get_model("servers", "Server").objects.create(
                name=slug, slug=slug, owner=user, source_kind=kind, source=source
            )
            for purpose in ("source", "environment"):
                apps.get_model("servers", "Secret").objects.create(
                    server=made, purpose=purpose, name=GIT_TOKEN, sealed=b"x"
                )
    finally:
        MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())

    found = Secret.objects.filter(purpose="source").values_list("server__slug", "origin")
    assert dict(found) == {"forge": "https://forge.example", "ssh": "ssh://forge.example", "moved": ""}
    assert set(Secret.objects.filter(purpose="environment").values_list("origin", flat=True)) == {""}
