"""Somebody sends what nobody asked for: it never reaches the disk, on which the database lies too."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from access.actor import Actor
from access.models import Membership, Role, Team
from hooks import services as hooks
from servers import uploads
from servers.front import bodies
from servers.models import Server
from tests.accounts import make_server, session, token_of
from tests.eventually import eventually
from tests.hooks import payloads
from tests.security.doorway import Door, head, opened

__all__ = ["session"]
pytestmark = pytest.mark.slow
CSRF = "mcphost_csrf"
MIB = 1024 * 1024
FORM = "content-type: multipart/form-data; boundary=x"
NOWHERE = ["/admin/login/", "/nothing/here/", "/api/nothing/", "/hooks/nothing/", "/api/servers/", "/",
           "/admin/servers/server/add/", "/admin/catalog/", "/v0.1/servers", "/login/sso/"]  # fmt: skip


def part(size: int, name: str = "archive", filename: str = "a.zip") -> bytes:
    about = f'--x\r\ncontent-disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return about.encode() + b"P" * size + b"\r\n--x--\r\n"


def on_disk(data: Path) -> list[str]:
    """Files of the platform, those without a name too."""
    found = [str(path) for path in data.rglob("*") if path.is_file()]
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted({path for path in found if path.startswith(f"{data}/")})


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.FILE_UPLOAD_TEMP_DIR = tmp_path, tmp_path / "incoming"
    settings.UPLOAD_MAX_BYTES, settings.UPLOADS_PER_PERSON_BYTES = 4 * MIB, 6 * MIB
    return tmp_path


@pytest.fixture
def door(transactional_db: None, data: Path) -> Iterator[Door]:
    with opened() as made:
        yield made
    assert not [path for path in on_disk(data) if "incoming" in path]


@pytest.fixture
def owner(transactional_db: None) -> User:
    user = User.objects.create_user("owner")
    Membership.objects.create(team=Team.objects.create(name="Team"), user=user, role=Role.OPERATOR)
    return user


@pytest.fixture
def bearer(owner: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(owner)}"}


@pytest.fixture
def server(owner: User) -> Server:
    return make_server(owner)


# --- Without a login


@pytest.mark.parametrize("address", NOWHERE)
def test_a_file_from_a_stranger_is_refused_by_its_head(door: Door, data: Path, address: str) -> None:
    status, said = door.peer(head(address, "content-length: 598000000", FORM)).answer()
    assert (status, b"64 KiB" in said) == (413, True)
    assert not on_disk(data)


@pytest.mark.parametrize("address", NOWHERE)
def test_so_it_is_where_its_size_is_not_told(door: Door, data: Path, address: str) -> None:
    peer, sent = door.peer(head(address, "transfer-encoding: chunked", FORM)), part(200_000)
    with suppress(OSError):
        peer.send(b"%x\r\n%b\r\n" % (len(sent), sent))
    assert peer.answer()[0] == 413
    assert not on_disk(data)


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/servers/server/add/", "/admin/catalog/"])
def test_a_small_file_from_a_stranger_goes_nowhere(door: Door, data: Path, address: str) -> None:
    sent = part(1000)
    answer = door.post(address, data=sent, headers={"content-type": FORM.partition(": ")[2]})
    assert answer.status_code in (403, 415)
    assert not on_disk(data)
    cookie = {CSRF: "a" * 32}
    answer = door.post(
        address, files={"archive": b"PK"}, data={"csrfmiddlewaretoken": "a" * 32}, cookies=cookie
    )
    assert (answer.status_code, "No file can be sent" in answer.text) == (415, True)


@pytest.mark.parametrize("lie", ["Bearer mcph_nonsense", "Basic YWRtaW46YWRtaW4="])
def test_a_token_that_is_none_opens_nothing(door: Door, data: Path, lie: str) -> None:
    about = [f"authorization: {lie}", "content-length: 100000", FORM, "cookie: mcphost_session=nonsense"]
    assert door.peer(head("/api/servers/", *about)).answer()[0] == 413
    assert not on_disk(data)


def test_a_login_that_was_ended_opens_nothing(door: Door, owner: User) -> None:
    cookie = f"cookie: mcphost_session={logged_in(owner).cookies['mcphost_session'].value}"
    about = ["/api/servers/", cookie, "content-length: 3000000", FORM]
    door.peer(head(*about)).send(b"x")  # taken
    User.objects.update(is_active=False)
    assert door.peer(head(*about)).answer()[0] == 413


# --- With one


@pytest.mark.parametrize("address", ["/api/tokens/", "/api/servers/{}/stop/", "/nothing/", "/admin/login/"])
def test_paths_that_take_no_file_take_none_from_anybody(
    door: Door, data: Path, bearer: dict[str, str], server: Server, address: str
) -> None:
    about = [f"authorization: {bearer['Authorization']}", FORM]
    path = address.format(server.pk)
    assert door.peer(head(path, *about, "content-length: 3000000")).answer()[0] == 413
    peer = door.peer(head(path, *about, "content-length: 2000000"))
    peer.send(part(1_500_000)[:1_500_000])
    eventually(lambda: peer, what="it is on its way")
    assert not on_disk(data)


def test_what_is_uploaded_has_no_name_before_it_is_somebodys(
    door: Door, data: Path, bearer: dict[str, str], server: Server
) -> None:
    whole = part(2 * MIB)
    about = [f"authorization: {bearer['Authorization']}", FORM, f"content-length: {len(whole)}"]
    peer = door.peer(head(f"/api/servers/{server.pk}/archive/", *about, "connection: close")).send(
        whole[:-10]
    )
    eventually(lambda: on_disk(data), what="it arrives")
    assert all(path.endswith("(deleted)") for path in on_disk(data))
    assert peer.send(whole[-10:]).answer()[0] == 200
    server.refresh_from_db()
    assert on_disk(data) == [str(uploads.path_of(server))]


def test_an_upload_that_breaks_off_leaves_nothing(
    door: Door, data: Path, bearer: dict[str, str], server: Server
) -> None:
    about = [f"authorization: {bearer['Authorization']}", FORM, f"content-length: {4 * MIB}"]
    peer = door.peer(head(f"/api/servers/{server.pk}/archive/", *about)).send(part(2 * MIB))
    eventually(lambda: on_disk(data), what="it arrives")
    peer.close()
    eventually(lambda: not on_disk(data), what="it is gone")


def test_an_upload_through_the_form_arrives(door: Door, data: Path, owner: User) -> None:
    User.objects.update(is_staff=True)
    cookies = {"mcphost_session": logged_in(owner).cookies["mcphost_session"].value, CSRF: "a" * 32}
    fields = {"name": "Mine", "source_kind": "upload", "csrfmiddlewaretoken": "a" * 32, "port": "8000",
              "path": "/mcp", "cpu": "1", "memory_mb": "512", "pids": "128"}  # fmt: skip
    answer = door.post(
        "/admin/servers/server/add/", data=fields, files={"archive": ("a.zip", b"PK" * MIB)}, cookies=cookies,
        allow_redirects=False,
    )  # fmt: skip
    assert answer.status_code == 302, answer.text
    assert uploads.path_of(Server.objects.get()).read_bytes() == b"PK" * MIB


def test_bytes_under_way_count_against_a_person(
    door: Door, data: Path, bearer: dict[str, str], server: Server
) -> None:
    path, kind = f"/api/servers/{server.pk}/archive/", [f"authorization: {bearer['Authorization']}", FORM]
    first = door.peer(head(path, *kind, f"content-length: {4 * MIB}"))
    eventually(lambda: on_disk(data), what="one is being received")
    status, said = door.peer(head(path, *kind, f"content-length: {3 * MIB}")).answer()
    assert (status, b"wait until the other requests are done" in said) == (429, True)
    first.close()
    eventually(lambda: not on_disk(data), what="the first is given up")
    half = door.peer(head(path, *kind, f"content-length: {3 * MIB}"))
    eventually(lambda: on_disk(data), what="there is room again")
    half.close()


def test_bytes_kept_count_against_a_person(
    door: Door, data: Path, bearer: dict[str, str], server: Server, owner: User
) -> None:
    path, another = f"/api/servers/{server.pk}/archive/", f"/api/servers/{make_server(owner).pk}/archive/"
    for fill in (b"1", b"1"):  # the same again takes no room
        sent = {"archive": ("a.zip", fill * 4_000_000)}
        assert door.post(path, files=sent, headers=bearer).status_code == 200
    answer = door.post(another, files={"archive": ("a.zip", b"2" * 4_000_000)}, headers=bearer)
    assert answer.status_code == 413
    assert "UPLOADS_PER_PERSON_BYTES" in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == "archive"
    assert uploads.kept_by(owner.pk) == 4_000_000


def test_the_form_says_so_too_and_keeps_what_was_typed(data: Path, owner: User, settings: Settings) -> None:
    settings.UPLOADS_PER_PERSON_BYTES = 1024
    User.objects.update(is_staff=True)
    client = logged_in(owner)
    sent = {"name": "Mine", "source_kind": "upload", "archive": SimpleUploadedFile("a.zip", b"P" * 2000)}
    answer = client.post("/admin/servers/server/add/", sent)
    form = answer.context["adminform"].form
    assert "UPLOADS_PER_PERSON_BYTES" in form.errors["archive"][0]
    assert form["name"].value() == "Mine"


def test_a_full_disk_is_said_and_the_database_keeps_its_room(
    door: Door, data: Path, bearer: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LEAST_FREE", 1 << 60)
    about = [f"authorization: {bearer['Authorization']}", FORM, f"content-length: {2 * MIB}"]
    status, said = door.peer(head(f"/api/servers/{server.pk}/archive/", *about)).answer()
    assert (status, b"full" in said) == (507, True)


# --- Webhooks


def test_a_large_delivery_needs_a_webhook_that_exists(
    door: Door, data: Path, server: Server, owner: User
) -> None:
    hook, secret = hooks.create(server=server, by=Actor(owner), fields={"kind": "github"})
    body = payloads.as_body({**payloads.github(), "filler": "x" * 300_000})
    signed = payloads.github_headers(secret, body)
    assert door.post(f"/hooks/{hook.public_id}/", data=body, headers=signed).status_code in (200, 202)
    assert door.post("/hooks/nothing/", data=body, headers=signed).status_code == 413
    too_much = head(f"/hooks/{hook.public_id}/", f"content-length: {6 * MIB}")
    assert door.peer(too_much).answer()[0] == 413


# --- Leftovers


def test_what_a_killed_process_was_receiving_goes_at_once(data: Path, db: None) -> None:
    program = """
        import os, signal, sys
        from tests import environment
        os.environ["DJANGO_SETTINGS_MODULE"] = "mcphost.settings"
        import django; django.setup()
        from django.conf import settings
        from pathlib import Path
        settings.DATA_DIR = Path(sys.argv[1])
        from servers import uploads
        def chunks():
            yield b"half"
            sys.stdout.write("receiving"); sys.stdout.flush()
            sys.stdin.read()
        with uploads.received(chunks(), "a.zip"): pass
    """
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(data)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert running.stdout
    assert running.stdin
    assert running.stdout.read(9) == b"receiving"
    old = data / "tmpabc.upload.gz"
    old.write_bytes(b"of an earlier version")
    uploads.forget_abandoned()
    assert len(on_disk(data)) == 1, "what arrives stays"
    assert not old.exists()
    running.kill()
    running.wait()
    running.stdin.close()
    running.stdout.close()
    uploads.forget_abandoned()
    assert not on_disk(data)


# --- The second line, where the first is not: Django's own handler


def test_django_alone_takes_no_file_either(db: None, data: Path) -> None:
    sent: dict[str, Any] = {"archive": SimpleUploadedFile("a.zip", b"P" * 3_000_000)}
    for address in ("/admin/login/", "/admin/servers/server/add/", "/admin/catalog/"):
        client = Client(enforce_csrf_checks=True)
        client.cookies[CSRF] = "a" * 32
        answer = client.post(address, sent)
        assert (answer.status_code, b"No file can be sent" in answer.content) == (415, True)


def test_nor_does_the_api_where_forms_are_read_and_files_are_not(
    session: Callable[[User], Client], owner: User, server: Server, data: Path
) -> None:
    client, boundary = session(owner), "multipart/form-data; boundary=x"
    client.cookies[CSRF] = token = "a" * 32
    answer = client.put(
        f"/api/servers/{server.pk}/", part(3_000_000), content_type=boundary, headers={"X-CSRFToken": token}
    )
    assert (answer.status_code, b"No file can be sent" in answer.content) == (400, True)
    assert not on_disk(data)
