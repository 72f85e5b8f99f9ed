"""Numbers, times and texts without bounds, sent to doors that are not in the schema, or by hand.

`/v0.1`, webhooks, probes, live feeds and the console's own pages: what cannot be meant is refused with a
sentence, or leads nowhere. Nothing of it is an error of the platform.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter
from django.utils import timezone
from rest_framework.test import APIClient

from catalog import document
from hooks.models import WebHook
from hosting.errors import Invalid
from servers import secretbox
from servers.models import Server
from servers.plain_json import DEEPEST, flaw_in
from servers.streams import pages
from tests.accounts import make_deployment, make_server
from tests.catalog import documents
from tests.security import fuzzing
from tests.security.fuzzing import Identity

pytestmark = [pytest.mark.core, pytest.mark.django_db]
HUGE = [
    "9" * 19,
    "9" * 20,
    "9" * 5000,
    "00000000199999999999999999999",
    "-1",
    "1e400",
    "NaN",
    "１２",
    "0x10",
    "²",
]
LARGEST_AND_MORE = [str(2**63 - 1), str(2**63), *HUGE]
NO_TIMES = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:60Z",
    "10000-01-01T00:00:00Z",
]
NO_TEXTS = ["%00", "%ED%A0%80", "%FF", "%F0%9F%92%A9" * 500, quote("' OR 1=1 --"), "A" * 5000]
DEEP = b"[" * 1000 + b"]" * 1000


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.create_superuser("administrator", password="administrator-password")


@pytest.fixture
def server(administrator: User) -> Server:
    made = make_server(administrator, slug="listed", listed=True)
    make_deployment(made, serves=True, finished_at=timezone.now())
    return made


@pytest.fixture
def anybody() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def console(administrator: User) -> Client:
    made = Client(raise_request_exception=False)
    made.force_login(administrator, backend="django.contrib.auth.backends.ModelBackend")
    return made


@pytest.fixture
def api(administrator: User) -> APIClient:
    made = APIClient(raise_request_exception=False)
    made.force_authenticate(administrator)
    return made


def refused(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 400, (answer.status_code, answer.content[:300])
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("limit", [*LARGEST_AND_MORE, "0", "101"])
def test_a_limit_of_the_public_catalog_that_is_none(anybody: Client, server: Server, limit: str) -> None:
    assert "limit" in refused(anybody.get("/v0.1/servers", {"limit": limit}))["detail"]


@pytest.mark.parametrize("moment", [*NO_TIMES, "now", "2026-13-01T00:00:00Z", "9" * 5000])
def test_a_time_of_the_public_catalog_that_no_calendar_has(
    anybody: Client, server: Server, moment: str
) -> None:
    assert "updated_since" in refused(anybody.get("/v0.1/servers", {"updated_since": moment}))["detail"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_second_can_be_asked_for(anybody: Client, server: Server, moment: str) -> None:
    answer = anybody.get("/v0.1/servers", {"updated_since": moment})
    assert (answer.status_code, len(answer.json()["servers"])) == (200, int(moment < "2"))


@pytest.mark.parametrize("text", NO_TEXTS)
@pytest.mark.parametrize("name", ["search", "version", "cursor", "limit", "updated_since", "anything"])
def test_texts_of_the_public_catalog(anybody: Client, server: Server, name: str, text: str) -> None:
    assert anybody.get(f"/v0.1/servers?{name}={text}").status_code in (200, 400)


@pytest.mark.parametrize(
    "path",
    [
        "/v0.1/servers/{}/versions",
        "/v0.1/servers/a%2F{}/versions/{}",
        "/hooks/{}/",
        "/mcp/{}/",
        "/{}",
        "/api/{}/",
        "/admin/{}/",
    ],
)
@pytest.mark.parametrize("text", [*NO_TEXTS, "9" * 5000, "..%2F..%2Fetc", "%2e%2e"])
def test_texts_in_addresses(anybody: Client, server: Server, path: str, text: str) -> None:
    assert anybody.get(path.replace("{}", text)).status_code < 500


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[1e400]", b'"\\ud800"', b'{"a": "\\u0000"}', DEEP, b"\xff\xfe"]
)
@pytest.mark.parametrize("kind", WebHook._meta.get_field("kind").choices or [])
def test_bodies_of_webhooks(anybody: Client, server: Server, kind: tuple[str, str], body: bytes) -> None:
    hook = WebHook.objects.create(server=server, kind=kind[0], sealed=secretbox.seal("secret-secret"))
    for headers in (
        {},
        {"X-GitHub-Event": "push", "X-Gitlab-Event": "Push Hook", "webhook-timestamp": "9" * 400},
    ):
        answer = anybody.post(hook.path, body, content_type="application/json", headers=headers)
        assert answer.status_code in (400, 404, 429), answer.content  # 404: a signature of nobody's


@pytest.mark.parametrize("number", LARGEST_AND_MORE)
def test_ids_in_addresses(api: APIClient, console: Client, server: Server, number: str) -> None:
    for door in (
        "servers/{}/",
        "servers/{}/logs/",
        "servers/{}/secrets/",
        "servers/{}/hooks/",
        "deployments/{}/",
        "deployments/{}/compare/",
        "tokens/{}/",
        "teams/{}/",
        "channels/{}/",
        "notices/{}/",
        "hooks/{}/",
        "hooks/{}/deliveries/",
        "catalog/servers/{}/newer/",
    ):
        assert api.get(f"/api/{door.replace('{}', number)}").status_code == 404, door
    assert api.post(f"/api/hooks/{number}/deliveries/{number}/redeliver/").status_code == 404
    for page in (
        "servers/server",
        "servers/deployment",
        "servers/token",
        "access/team",
        "hooks/webhook",
        "auth/user",
    ):
        assert console.get(f"/admin/{page}/{number}/change/").status_code in (302, 403, 404), page
    for page in (
        "servers/server/{}/logs/",
        "servers/deployment/{}/compare/",
        "hooks/webhook/for/{}/",
        "catalog/{}/update/",
    ):
        assert console.get(f"/admin/{page.replace('{}', number)}").status_code in (302, 404), page


@pytest.mark.parametrize("number", LARGEST_AND_MORE)
def test_numbers_in_queries_of_the_console(console: Client, server: Server, number: str) -> None:
    deployment = server.deployments.get()
    for page in (
        "servers/server/?owner__id__exact={}",
        "servers/server/?team__id__exact={}",
        "servers/server/?p={}",
        "servers/server/?o={}",
        "servers/deployment/?server__id__exact={}",
        "servers/deployment/?server={}",
        "servers/logline/?deployment__id__exact={}",
        "servers/logline/?server={}",
        "hooks/delivery/?server={}",
        "hooks/delivery/?hook__id__exact={}",
        "access/auditentry/?server={}",
        "access/auditentry/?by__id__exact={}",
        "metrics/usagemetric/?server={}",
        "metrics/usagemetric/?deployment__id__exact={}",
        "notices/channel/?p={}",
        f"servers/server/{server.pk}/logs/?deployment={{}}",
        f"servers/server/{server.pk}/logs/?line={{}}",
        f"servers/deployment/{deployment.pk}/compare/?with={{}}",
        f"servers/deployment/{deployment.pk}/change/?step={{}}",
    ):
        answer = console.get(f"/admin/{page.replace('{}', number)}")
        assert answer.status_code in (200, 302, 400, 404), (page, answer.status_code)


@pytest.mark.parametrize("moment", [*NO_TIMES, "0001-01-01", "9999-12-31", "x", "9" * 400])
def test_times_in_queries_of_the_console(console: Client, server: Server, moment: str) -> None:
    for page in (
        f"servers/server/{server.pk}/logs/?since={{}}",
        f"servers/server/{server.pk}/logs/?until={{}}",
        "servers/deployment/?created_at__gte={}",
        "servers/deployment/?created_at__day={}",
        "access/auditentry/?at__gte={}",
        "access/auditentry/?at_from={}",
        "metrics/usagemetric/?timestamp__lt={}",
        "servers/deployment/?created_at__year={}",
        "?range={}",
    ):
        answer = console.get(f"/admin/{page.replace('{}', quote(moment))}")
        assert answer.status_code in (200, 302, 400, 404), (page, answer.status_code)


@pytest.mark.parametrize("number", LARGEST_AND_MORE)
def test_positions_of_live_feeds(administrator: User, server: Server, number: str) -> None:
    front = Identity(administrator).through(fuzzing.platform())
    for given in (number, f"server-{server.pk}-logs:{number}", "a:b:c", ":", "%"):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": f"/api/servers/{server.pk}/logs/stream/",
            "QUERY_STRING": "",
            "HTTP_HOST": "localhost",
            "HTTP_LAST_EVENT_ID": given.encode().decode("latin-1"),
        }
        answered: list[str] = []
        with fuzzing.undone():
            list(front(environ, lambda status, headers, into=answered: into.append(status)))
        assert answered[0][:3] in ("200", "400"), (given, answered)


def test_a_position_of_another_feed_is_too_old() -> None:
    assert pages.position_in(f"elsewhere:{2**70}", "here") == -1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": 1e400}', ""),
        (b'{"name": NaN}', ""),
        (b'{"name": "\\ud800"}', ""),
        (b'{"name": "a\\u0000b"}', "name"),
        (b'{"name": "a", "environment": {"A\\u0000": "b"}}', "environment"),
        (b'{"name": "a", "environment": ' + b'{"A":' * 100 + b"1" + b"}" * 100 + b"}", "environment"),
        (b'{"limits": {"memory_mb": 99999999999999999999}}', "limits.memory_mb"),
        (b'{"limits": {"cpu": 1e308}}', "limits.cpu"),
        (b'{"port": 65536}', "port"),
        (b'{"port": -1}', "port"),
        (b'{"calls_per_minute": 9223372036854775808}', "calls_per_minute"),
        (b'{"calls_per_minute": 4294967296}', "calls_per_minute"),
    ],
)
def test_what_json_can_say_and_nothing_can_keep(
    api: APIClient, server: Server, body: bytes, field: str
) -> None:
    answer = api.generic("PATCH", f"/api/servers/{server.pk}/", body, content_type="application/json")
    fields = [error["field"] for error in refused(answer).get("errors", [{"field": ""}])]
    assert fields == [field]


@pytest.mark.parametrize("moment", NO_TIMES)
def test_a_token_that_expires_when_no_calendar_says(api: APIClient, moment: str) -> None:
    answer = api.post("/api/tokens/", {"name": "a", "expires_at": moment})
    assert [error["field"] for error in refused(answer)["errors"]] == ["expires_at"]


@pytest.mark.parametrize("number", [2**31, 2**63 - 1, 2**63, 10**30])
def test_numbers_that_name_a_deployment_or_a_package(api: APIClient, server: Server, number: int) -> None:
    where = f"/api/servers/{server.pk}"
    answers = [
        api.post(f"{where}/rollback/", {"to": number}),
        api.post(f"{where}/redeploy/", {"mode": "rebuild", "push_retries": number}),
        api.get(f"/api/deployments/{server.deployments.get().pk}/compare/?with={number}"),
        api.post("/api/catalog/import/", {"document": documents.document(), "package": number}),
        api.post("/api/tokens/", {"name": "a", "server": number}),
        api.post("/api/channels/", {"name": "a", "url": "https://a.example/", "servers": [number]}),
    ]
    assert [answer.status_code for answer in answers] == [400] * len(answers), [
        a.content[:200] for a in answers
    ]


def test_a_document_that_is_nested_without_end() -> None:
    nested: Any = "end"
    for _ in range(500):
        nested = {"a": nested}
    with pytest.raises(Invalid, match="nested"):
        document.parse(json.dumps({**documents.document(), "_meta": nested}))


def test_a_document_with_nul() -> None:
    with pytest.raises(Invalid, match="NUL"):
        document.parse(json.dumps({**documents.document(), "title": "a\x00b"}))


def test_what_is_plain_is_left_alone() -> None:
    nested: Any = "end"
    for _ in range(DEEPEST):
        nested = [nested]
    assert flaw_in(nested) is None
    assert flaw_in([nested]) is not None


def test_no_address_takes_a_number_without_end() -> None:
    """Django's own `<int:…>` does, and a database then refuses to look."""
    endless = [
        route for route, converter in _converters(get_resolver(), "") if type(converter) is IntConverter
    ]
    assert endless == []


def _converters(resolver: URLResolver, before: str) -> Iterator[tuple[str, object]]:
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        yield from ((route, converter) for converter in entry.pattern.converters.values())
        if isinstance(entry, URLResolver):
            yield from _converters(entry, route)
        assert isinstance(entry, (URLPattern, URLResolver))


@pytest.mark.parametrize(
    "given", ["Bearer " + "9" * 9000, "Bearer \x7f", "Bearer é", "Basic %%%", "Bearer mcph_" + "A" * 4000]
)
def test_names_that_nobody_has(anybody: Client, given: str, server: Server) -> None:
    ask: Callable[..., Any] = anybody.get
    for door in ("/api/servers/", "/v0.1/servers"):
        assert ask(door, HTTP_AUTHORIZATION=given).status_code in (200, 401), door
