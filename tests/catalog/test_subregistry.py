"""What is hosted, at /v0.1/servers: who finds what, in the official shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from jsonschema import Draft7Validator
from rest_framework.test import APIClient

from access.actor import PLATFORM
from catalog import document, registry, services
from catalog.subregistry.document import Hosted, namespace, response
from servers.models import Server
from servers.models.server import DesiredState
from servers.models.token import Scope
from servers.services import issue_token
from servers.states import Mode, Trigger
from tests.accounts import make_deployment, make_server, token_of
from tests.catalog import documents

pytestmark = [pytest.mark.core, pytest.mark.django_db]
LIST = "/v0.1/servers"
OFFICIAL = "io.modelcontextprotocol.registry/official"


def hosted(owner: User, slug: str, **fields: Any) -> Server:
    server = make_server(owner, name=slug.title(), slug=slug, **fields)
    facts = {"name": slug, "version": "9.9", "instructions": f"Ask {slug} for things.\nMore."}
    make_deployment(server, serves=True, finished_at=timezone.now(), image=slug, facts=facts)
    return server


def names(client: Client, query: str = "", **headers: str) -> list[str]:
    answer = client.get(LIST + query, headers=headers)
    assert answer.status_code == 200, answer.content
    return [entry["server"]["name"] for entry in answer.json()["servers"]]


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def test_every_answer_fits_the_official_schema(owner: User, settings: Any) -> None:
    settings.PUBLIC_URL = "https://mcp.example.org"
    hosted(owner, "plain", listed=True)
    origin = {"name": "a/b", "version": "1", "description": "x" * 200, "package": documents.SEARCH}
    hosted(owner, "imported", listed=True, origin=origin)
    body = Client().get(LIST).json()
    assert body["metadata"] == {"count": 2}
    validate = Draft7Validator(document.validator().schema)
    for entry in body["servers"]:
        validate.validate(entry["server"])
        assert set(entry) == {"server", "_meta"}
        assert set(entry["_meta"][OFFICIAL]) == {"status", "publishedAt", "updatedAt", "isLatest"}
    plain, imported = (entry["server"] for entry in body["servers"])
    assert plain["name"] == "org.example.mcp/plain"
    assert plain["description"] == "Ask plain for things."
    assert plain["version"] == "1.0.1"
    (remote,) = plain["remotes"]
    assert (remote["type"], remote["url"]) == ("streamable-http", "https://mcp.example.org/mcp/plain")
    assert remote["headers"][0]["isSecret"] is True
    assert imported["packages"] == [documents.SEARCH]


def test_who_finds_what(owner: User, outsider: User, session: Callable[[User], Client]) -> None:
    public, private = hosted(owner, "public", listed=True), hosted(owner, "private")
    assert names(Client()) == ["testserver/public"]
    both = ["testserver/public", "testserver/private"]
    assert names(session(owner)) == both
    for scope in (Scope.API, Scope.MCP):
        assert names(Client(), **bearer(token_of(owner, scope))) == both
        assert names(Client(), **bearer(token_of(outsider, scope))) == []
    _, value = issue_token(owner=owner, by=PLATFORM, name="one", server=private)
    assert names(Client(), **bearer(value)) == ["testserver/private"]
    refused = Client().get(LIST, headers=bearer("mcph_none"))
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, 'Bearer realm="registry"')
    for path in ("versions", "versions/latest", "versions/1.0.1"):
        assert Client().get(f"{LIST}/testserver%2Fprivate/{path}").status_code == 404
        assert Client().get(f"{LIST}/testserver%2Fpublic/{path}").status_code == 200
    assert public.slug == "public"


def test_one_version_by_its_name_and_number(owner: User) -> None:
    hosted(owner, "time", listed=True)
    for name in ("testserver%2Ftime", "testserver/time"):
        entry = Client().get(f"{LIST}/{name}/versions/latest").json()
        assert entry["server"]["version"] == "1.0.1"
        assert Client().get(f"{LIST}/{name}/versions").json()["servers"] == [entry]
    answer = Client().get(f"{LIST}/testserver%2Ftime/versions/7.7.7")
    assert (answer.status_code, answer.json()["error"]) == (404, "Server not found")
    assert Client().get(f"{LIST}/elsewhere%2Ftime/versions/latest").status_code == 404


def test_a_restart_makes_no_new_version_and_a_stop_takes_it_out(owner: User) -> None:
    server = hosted(owner, "time", listed=True)
    build = server.builds.get()
    again = {"mode": Mode.SAME_DIGEST, "trigger": Trigger.RECONCILER, "build": build}
    make_deployment(server, serves=True, finished_at=timezone.now(), **again)
    path = f"{LIST}/testserver%2Ftime/versions/latest"
    assert Client().get(path).json()["server"]["version"] == "1.0.1"
    make_deployment(server, serves=True, finished_at=timezone.now(), image="newer")
    assert Client().get(path).json()["server"]["version"] == "1.0.3"
    Server.objects.update(desired_state=DesiredState.STOPPED)
    assert Client().get(path).status_code == 404


def test_pages_follow_their_cursor(owner: User, django_assert_max_num_queries: Any) -> None:
    slugs = [f"s{n}" for n in range(5)]
    for slug in slugs:
        hosted(owner, slug, listed=True)
    found, cursor = [], ""
    while True:
        with django_assert_max_num_queries(2):
            body = Client().get(f"{LIST}?limit=2&cursor={cursor}").json()
        found += [entry["server"]["name"].rpartition("/")[2] for entry in body["servers"]]
        assert body["metadata"]["count"] == len(body["servers"])
        cursor = body["metadata"].get("nextCursor", "")
        if not cursor:
            break
    assert found == slugs


def test_search_since_and_version(owner: User) -> None:
    for slug in ("weather", "time"):
        hosted(owner, slug, listed=True)
    assert names(Client(), "?search=weath") == ["testserver/weather"]
    assert names(Client(), "?search=TESTSERVER/ti") == ["testserver/time"]
    assert len(names(Client(), "?search=testserver")) == 2
    assert names(Client(), "?version=1.0.2") == []
    assert len(names(Client(), "?version=latest")) == 2
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert names(Client(), f"?updated_since={soon}") == []
    assert len(names(Client(), "?updated_since=2025-08-07T13:15:04.280Z")) == 2


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=!!", "updated_since=yesterday"]
)
def test_a_bad_question_is_refused_in_words(query: str) -> None:
    answer = Client().get(f"{LIST}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]


def test_caches_and_other_origins(owner: User) -> None:
    hosted(owner, "time", listed=True)
    first = Client().get(LIST)
    assert first["Cache-Control"] == "public, max-age=60"
    assert "Authorization" in first["Vary"]
    assert first["Access-Control-Allow-Origin"] == "*"
    again = Client().get(LIST, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert Client().get(LIST, headers=bearer(token_of(owner)))["Cache-Control"] == "private, no-cache"
    asked = Client().options(LIST, headers={"Origin": "https://x", "Access-Control-Request-Method": "GET"})
    assert (asked.status_code, "Authorization" in asked["Access-Control-Allow-Headers"]) == (204, True)
    assert Client().post(LIST).status_code == 405


@pytest.mark.parametrize(
    ("host", "space"),
    [
        ("mcp.example.org", "org.example.mcp"),
        ("localhost:3000", "localhost"),
        ("10.0.0.1:3000", "10.0.0.1"),
        ("[::1]", "--1"),
    ],
)
def test_the_namespace_of_a_host(host: str, space: str) -> None:
    assert namespace(host) == space


def test_a_setting_names_the_namespace(owner: User, settings: Any) -> None:
    settings.CATALOG_NAMESPACE = "com.example"
    hosted(owner, "time", listed=True)
    assert names(Client()) == ["com.example/time"]


def test_a_bare_server_still_fits_the_schema() -> None:
    now = timezone.now()
    bare = response(Hosted("s", "S" * 100, "http://h/mcp/s", 1, now, now), "localhost")
    assert not list(document.validator().iter_errors(bare["server"]))


@pytest.mark.django_db(transaction=True)
def test_another_platform_imports_from_this_one(
    live_server: Any, settings: Any, owner: User, staff: User, api: Callable[[User], APIClient]
) -> None:
    """The catalog's own client reads the subregistry over HTTP: found, previewed, hosted again, updated."""
    settings.CATALOG_REGISTRY_URL, settings.CATALOG_ALLOW_PRIVATE = live_server.url, True
    origin = {"name": "a/b", "version": "1", "description": "Searches", "package": documents.SEARCH}
    first = hosted(owner, "search", listed=True, origin=origin)
    hosted(owner, "hidden")
    assert [(e.name, e.packages) for e in registry.search("sea")] == [("localhost/search", ("npm",))]
    assert registry.search("hidden") == []

    given = {"name": "localhost/search", "answers": {"SEARCH_API_KEY": "k"}, "deploy": False, "slug": "twin"}
    answer = api(staff).post("/api/catalog/import/", given)
    assert answer.status_code == 201, answer.content
    twin = Server.objects.get(slug="twin")
    assert twin.source == {**twin.source, "name": "@example/server-search", "version": "1.2.0"}
    assert services.newer(twin) is None
    make_deployment(first, serves=True, finished_at=timezone.now(), image="newer")
    found = services.newer(twin)
    assert found
    assert found.document["version"] == "1.0.2"
    assert "s3cr3t" not in json.dumps(found.document)
