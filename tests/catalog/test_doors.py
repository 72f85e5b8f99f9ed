"""Import, look for newer, update: through the API, the console and the command."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from access.models import AuditEntry
from servers import runtime_choice
from servers.models import Server
from tests.accounts import make_server
from tests.catalog import documents
from tests.catalog.conftest import RegistryApi

Api = Callable[[User], APIClient]
pytestmark = [pytest.mark.core, pytest.mark.django_db]
SEARCH = documents.document(documents.SEARCH)
KEY = {"SEARCH_API_KEY": "s3cr3t-value"}


@pytest.fixture(autouse=True)
def _on_processes(settings: Any) -> Any:
    settings.CONTAINER_RUNTIME = "process"
    runtime_choice.default_runtime.cache_clear()
    yield
    runtime_choice.default_runtime.cache_clear()


@pytest.fixture
def client(api: Api, staff: User) -> APIClient:
    return api(staff)


@pytest.fixture
def browser(staff: User) -> Client:
    made = Client()
    made.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return made


def imported(client: APIClient, document: dict[str, Any] = SEARCH, **more: Any) -> Server:
    given = {"document": document, "answers": KEY, "deploy": False, **more}
    answer = client.post("/api/catalog/import/", given)
    assert answer.status_code == 201, answer.content
    return Server.objects.get(pk=answer.json()["id"])


# --- The API


def test_a_preview_tells_packages_and_questions(client: APIClient) -> None:
    document = documents.document(documents.SSE, documents.SEARCH, remotes=[documents.REMOTE])
    body = client.post("/api/catalog/preview/", {"document": document}).json()
    assert [(p["hostable"], p["preselected"]) for p in body["packages"]] == [(False, False), (True, True)]
    assert "old transport" in body["packages"][0]["why_not"]
    asked = {q["key"]: q for q in body["packages"][1]["questions"]}
    assert asked["SEARCH_API_KEY"]["secret"]
    assert asked["LOG_LEVEL"]["choices"] == ["debug", "info"]
    assert body["remotes"] == [documents.REMOTE]
    assert not Server.objects.exists()


def test_an_import_makes_a_server_and_keeps_where_it_came_from(client: APIClient) -> None:
    server = imported(client, server_name="Search", slug="find")
    assert (server.name, server.slug, server.transport) == ("Search", "find", "stdio")
    assert server.source["name"] == "@example/server-search"
    assert server.environment == {"LOG_LEVEL": "info"}
    assert {s.name: s.reveal() for s in server.secrets.all()} == KEY
    assert server.origin["name"] == "io.github.example/weather"
    assert server.origin["digest"].startswith("sha256:")
    entry = AuditEntry.objects.get(action="catalog.imported")
    assert (entry.actor, entry.via) == ("staff", "api")
    assert "s3cr3t" not in json.dumps([server.origin, entry.after])


def test_an_import_by_name_from_a_registry(client: APIClient, registry_api: RegistryApi) -> None:
    registry_api.publish(SEARCH)
    answer = client.post("/api/catalog/import/", {"name": SEARCH["name"], "answers": KEY, "deploy": False})
    assert answer.status_code == 201, answer.content
    origin = Server.objects.get().origin
    assert origin["registry"] == registry_api.url
    assert origin["url"].endswith("/v0.1/servers/io.github.example%2Fweather/versions/1.2.0")
    assert client.get("/api/catalog/search/?q=weather").json()["results"][0]["packages"] == ["npm"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"document": SEARCH}, "answers.SEARCH_API_KEY"),
        ({"document": SEARCH, "answers": {**KEY, "LOG_LEVEL": "loud"}}, "answers.LOG_LEVEL"),
        ({"document": SEARCH, "answers": {**KEY, "LOG_LEVEL": 7}}, "answers.LOG_LEVEL"),
        ({"document": {"name": "x"}}, "document"),
        ({"document": SEARCH, "package": 5}, "package"),
        ({"document": documents.document(remotes=[documents.REMOTE])}, "package"),
        ({"document": documents.document(documents.package(identifier="No Name"))}, "package"),
        ({"url": "https://127.0.0.1/server.json"}, "url"),
        ({}, ""),
    ],
)
def test_what_is_wrong_is_named(client: APIClient, given: dict[str, Any], field: str) -> None:
    answer = client.post("/api/catalog/import/", given)
    assert answer.status_code == 400, answer.content
    errors = answer.json().get("errors", [])
    assert [e["field"] for e in errors] == ([field] if field else [""])
    assert b"s3cr3t" not in answer.content
    assert not Server.objects.exists()


def test_a_newer_version_keeps_the_old_answers(client: APIClient, registry_api: RegistryApi) -> None:
    registry_api.publish(SEARCH)
    client.post(
        "/api/catalog/import/",
        {"name": SEARCH["name"], "answers": {**KEY, "LOG_LEVEL": "debug"}, "deploy": False},
    )
    server = Server.objects.get()
    Server.objects.update(environment={**server.environment, "MINE": "stays"}, memory_mb=99)
    base = f"/api/catalog/servers/{server.pk}"
    assert client.get(f"{base}/newer/").json()["newer"] is False
    assert client.post(f"{base}/update/", {}).status_code == 400

    registry_api.publish(documents.document({**documents.SEARCH, "version": "2.0.0"}, version="2.0.0"))
    body = client.get(f"{base}/newer/").json()
    assert (body["newer"], body["current"], body["version"]) == (True, "1.2.0", "2.0.0")
    answer = client.post(f"{base}/update/", {})
    assert answer.status_code == 202, answer.content
    server.refresh_from_db()
    assert (server.source["version"], server.origin["version"]) == ("2.0.0", "2.0.0")
    assert server.environment == {"LOG_LEVEL": "debug", "MINE": "stays"}
    assert server.memory_mb == 99
    assert {s.name: s.reveal() for s in server.secrets.all()} == KEY
    assert server.deployments.count() == 1


UVX = documents.package(
    "pypi",
    "example-notes[cli]",
    runtimeHint="uvx",
    runtimeArguments=[
        {"type": "named", "name": "--with", "value": "mcp<2"},
        {"type": "named", "name": "--python", "value": "3.12"},
        {"type": "named", "name": "--exclude-newer", "value": "2026-01-01"},
    ],
)
LEFT_OUT = "--exclude-newer is for uvx and is left out."


def test_what_a_document_says_of_its_launcher_becomes_the_servers_build(client: APIClient) -> None:
    document = documents.document(UVX)
    notes = client.post("/api/catalog/preview/", {"document": document}).json()["packages"][0]["notes"]
    answer = client.post("/api/catalog/import/", {"document": document, "deploy": False})
    assert answer.status_code == 201, answer.content
    assert answer.json()["notes"] == notes
    assert LEFT_OUT in notes
    server = Server.objects.get()
    assert server.source["name"] == "example-notes"
    assert server.build == {"extras": ["cli"], "with": ["mcp<2"], "python": "3.12"}


def test_a_bound_may_be_set_by_hand_at_the_import(client: APIClient) -> None:
    by_hand = {"with": ["pydantic<2.12"], "python": "3.11", "node": "22"}
    given = {"document": documents.document(UVX), "deploy": False, "build": by_hand}
    assert client.post("/api/catalog/import/", given).status_code == 201
    assert Server.objects.get().build == {
        "extras": ["cli"], "with": ["mcp<2", "pydantic<2.12"], "python": "3.11", "node": "22",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("document", "build", "field"),
    [
        (documents.document(UVX), {"with": ["x @ https://e.example.org/x.whl"]}, "build.with"),
        (documents.document(UVX), {"colour": "red"}, "build.colour"),
        (SEARCH, {"python": "3.12"}, "build.python"),
    ],
)
def test_a_build_that_does_not_fit_is_named(
    client: APIClient, document: dict[str, Any], build: dict[str, Any], field: str
) -> None:
    given = {"document": document, "answers": KEY if document is SEARCH else {}, "build": build}
    answer = client.post("/api/catalog/import/", given)
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field])
    assert not Server.objects.exists()


def test_a_newer_version_says_anew_how_it_is_installed_and_spares_what_a_person_set(
    client: APIClient, registry_api: RegistryApi
) -> None:
    registry_api.publish(documents.document(UVX))
    client.post("/api/catalog/import/", {"name": SEARCH["name"], "deploy": False})
    server = Server.objects.get()
    Server.objects.update(build={**server.build, "with": ["mcp<2", "httpx"], "node": "22"})
    words = [{"type": "named", "name": "--with", "value": "mcp<3"}]
    newer = {**UVX, "identifier": "example-notes", "version": "2.0.0", "runtimeArguments": words}
    registry_api.publish(documents.document(newer, version="2.0.0"))
    answer = client.post(f"/api/catalog/servers/{server.pk}/update/", {"deploy": False})
    assert answer.status_code == 202, answer.content
    server.refresh_from_db()
    assert server.source["version"] == "2.0.0"
    assert server.build == {"with": ["mcp<3", "httpx"], "node": "22"}
    assert not any("exclude-newer" in note for note in server.origin["notes"])


def test_a_server_of_no_registry_has_nowhere_to_look(client: APIClient) -> None:
    server = imported(client)
    assert client.get(f"/api/catalog/servers/{server.pk}/newer/").status_code == 409


def test_outsiders_see_nothing_and_viewers_change_nothing(
    api: Api, owner: User, outsider: User, registry_api: RegistryApi
) -> None:
    server = make_server(owner, origin={"name": "a/b", "version": "1", "registry": registry_api.url})
    for method, path in (("get", "newer"), ("post", "update")):
        answer = getattr(api(outsider), method)(f"/api/catalog/servers/{server.pk}/{path}/")
        assert answer.status_code == 404
    for path in ("preview", "import"):
        assert api(outsider).post(f"/api/catalog/{path}/", {"document": SEARCH}).status_code == 403
    assert api(outsider).get("/api/catalog/search/?q=x").status_code == 403
    assert APIClient().post("/api/catalog/preview/", {"document": SEARCH}).status_code == 401
    assert not registry_api.asked


# --- The console


def sealed_of(answer: Any) -> str:
    found = re.search(r'name="sealed" value="([^"]+)"', answer.content.decode())
    assert found, answer.content
    return found[1]


def test_the_console_asks_and_makes(browser: Client) -> None:
    text = json.dumps(documents.document(documents.NUGET, documents.SEARCH))
    page = browser.post("/admin/catalog/", {"text": text})
    shown = page.content.decode()
    assert "not of nuget" in shown
    assert 'name="answer-SEARCH_API_KEY"' in shown

    given = {
        "sealed": sealed_of(page),
        "package": "1",
        "name": "Search",
        "slug": "search",
        "answer-LOG_LEVEL": "info",
    }
    wrong = browser.post("/admin/catalog/", given)
    assert "A value is needed." in wrong.content.decode()
    assert not Server.objects.exists()

    right = browser.post(
        "/admin/catalog/", {**given, "answer-SEARCH_API_KEY": "s3cr3t-value", "deploy": "on"}
    )
    server = Server.objects.get()
    assert right["Location"] == f"/admin/servers/server/{server.pk}/change/"
    assert server.deployments.count() == 1
    shown = browser.get(right["Location"]).content.decode()
    assert "io.github.example/weather" in shown
    assert "s3cr3t" not in shown
    entries = AuditEntry.objects.order_by("id").values_list("action", "actor", "via", "address")
    assert list(entries) == [
        (action, "staff", "admin", "127.0.0.1")
        for action in ("secret.set", "server.created", "deployment.requested", "catalog.imported")
    ]


def test_the_console_tells_what_is_left_out(browser: Client) -> None:
    page = browser.post("/admin/catalog/", {"text": json.dumps(documents.document(UVX))})
    assert LEFT_OUT in page.content.decode()
    given = {"sealed": sealed_of(page), "package": "0", "name": "Notes", "slug": "notes"}
    made = browser.post("/admin/catalog/", given)
    assert LEFT_OUT in browser.get(made["Location"]).content.decode()


def test_what_was_typed_comes_back_but_no_secret(browser: Client) -> None:
    page = browser.post("/admin/catalog/", {"text": json.dumps(SEARCH)})
    given = {"sealed": sealed_of(page), "package": "0", "name": "Kept", "slug": "No Slug",
             "answer-SEARCH_API_KEY": "s3cr3t-value", "answer-LOG_LEVEL": "debug"}  # fmt: skip
    shown = browser.post("/admin/catalog/", given).content.decode()
    assert 'value="Kept"' in shown
    assert "s3cr3t" not in shown


def test_search_and_upload_and_bad_input(browser: Client, registry_api: RegistryApi) -> None:
    registry_api.publish(SEARCH)
    found = browser.get("/admin/catalog/?q=weather").content.decode()
    assert "name=io.github.example%2Fweather&amp;version=1.2.0" in found
    assert (
        "Forecasts by place" in browser.get("/admin/catalog/?name=io.github.example/weather").content.decode()
    )
    assert "404" in browser.get("/admin/catalog/?name=io.github.example/nothing").content.decode()
    file = io.BytesIO(json.dumps(SEARCH).encode())
    assert b"answer-LOG_LEVEL" in browser.post("/admin/catalog/", {"file": file}).content
    bad = browser.post("/admin/catalog/", {"text": "{no"}).content.decode()
    assert "not JSON" in bad
    assert "{no" in bad
    assert b"one of the three" in browser.post("/admin/catalog/", {}).content
    assert browser.post("/admin/catalog/", {"sealed": "forged"}).status_code == 404


def test_a_registry_may_list_what_is_odd(client: APIClient, registry_api: RegistryApi) -> None:
    odd = [
        {"name": "a/b", "packages": {"registryType": "npm"}},
        {"name": "b/c", "packages": [None]},
    ]
    listed = {"servers": [{"server": each, "_meta": []} for each in odd]}
    registry_api.raw["/v0.1/servers"] = (200, {}, json.dumps(listed).encode())
    found = client.get("/api/catalog/search/?q=notes").json()["results"]
    assert [(each["name"], each["packages"]) for each in found] == [("a/b", []), ("b/c", [])]


def test_the_console_updates_with_the_old_answers(browser: Client, registry_api: RegistryApi) -> None:
    registry_api.publish(SEARCH)
    page = browser.get("/admin/catalog/?name=io.github.example/weather")
    answers = {"answer-SEARCH_API_KEY": "s3cr3t-value", "answer-LOG_LEVEL": "debug"}
    browser.post(
        "/admin/catalog/",
        {"sealed": sealed_of(page), "package": "0", "name": "S", "slug": "s", **answers},
    )
    server = Server.objects.get()
    update = f"/admin/catalog/{server.pk}/update/"
    assert browser.get(update).status_code == 302

    registry_api.publish(documents.document({**documents.SEARCH, "version": "2.0.0"}, version="2.0.0"))
    page = browser.get(update)
    assert re.search(r'<option value="debug"\s+selected', page.content.decode())
    browser.post(
        update, {"sealed": sealed_of(page), "answer-LOG_LEVEL": "debug", "answer-SEARCH_API_KEY": ""}
    )
    server.refresh_from_db()
    assert server.origin["version"] == "2.0.0"
    assert {s.name: s.reveal() for s in server.secrets.all()} == KEY
    for action in ("server.changed", "catalog.updated"):
        entry = AuditEntry.objects.get(action=action)
        assert (entry.actor, entry.via, entry.address) == ("staff", "admin", "127.0.0.1")


def test_the_console_keeps_outsiders_out(owner: User, outsider: User, staff: User) -> None:
    outsider.is_staff = True
    outsider.save()
    made = Client()
    made.force_login(outsider, backend="django.contrib.auth.backends.ModelBackend")
    server = make_server(owner, origin={"name": "a/b", "version": "1", "registry": "https://x"})
    assert made.get("/admin/catalog/").status_code == 403
    assert made.get(f"/admin/catalog/{server.pk}/update/").status_code == 404


# --- The command


def run(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_server", *words, stdout=out, **options)
    return out.getvalue()


def test_the_command_takes_answers_and_a_secret_from_stdin(
    staff: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(SEARCH))
    assert run(str(file), "--questions").splitlines()[0].startswith("SEARCH_API_KEY  required  secret")
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cr3t-value\n"))
    words = ("--set", "LOG_LEVEL=debug", "--secret", "SEARCH_API_KEY=-", "--slug", "search", "--no-deploy")
    assert "search was made" in run(str(file), *words)
    server = Server.objects.get(slug="search")
    assert server.environment == {"LOG_LEVEL": "debug"}
    assert {s.name: s.reveal() for s in server.secrets.all()} == KEY


def test_the_command_refuses_in_one_line(staff: User, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(SEARCH))
    for words, said in (
        ((str(file),), "SEARCH_API_KEY: A value is needed."),
        ((str(file), "--secret", "SEARCH_API_KEY=typed"), "NAME=-"),
        (("/nowhere.json",), "no file"),
        ((str(file), "--package", "9"), "no such package"),
    ):
        with pytest.raises(CommandError, match=said):
            run(*words)
    assert not Server.objects.exists()


def test_the_command_bounds_dependencies_and_tells_what_was_read(staff: User, tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps(documents.document(UVX)))
    words = ("--with", "pydantic<2.12", "--python", "3.13", "--slug", "notes", "--no-deploy")
    said = run(str(file), *words)
    assert f"Note: {LEFT_OUT}" in said.splitlines()
    assert Server.objects.get().build == {
        "extras": ["cli"], "with": ["mcp<2", "pydantic<2.12"], "python": "3.13",
    }  # fmt: skip
    told = [json.loads(line) for line in run(str(file), "--no-deploy", json=True).splitlines()]
    assert {"note": LEFT_OUT} in told
