from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from metrics.models import UsageMetric
from servers.models import Server
from tests.accounts import make_deployment, make_server

Api = Callable[[User], APIClient]
pytestmark = pytest.mark.core
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def client(api: Api, owner: User) -> APIClient:
    return api(owner)


def add(server: Server, minute: int = 0, **fields: Any) -> UsageMetric:
    given = {"event_type": "push_started", "platform": "linux/amd64", **fields}
    return UsageMetric.objects.create(server=server, timestamp=NOON + timedelta(minutes=minute), **given)


def ids(client: APIClient, server: Server, query: str = "") -> list[int]:
    return [row["id"] for row in client.get(f"/api/servers/{server.pk}/metrics/{query}").json()["results"]]


def test_filters(client: APIClient, server: Server, owner: User) -> None:
    deployment = make_deployment(server)
    first = add(server, 0, deployment=deployment).pk
    second = add(server, 1, event_type="push_retry", platform="linux/arm64").pk
    third = add(server, 2, event_type="push_failed").pk
    add(make_server(owner))
    assert ids(client, server) == [third, second, first]
    assert ids(client, server, "?event_type=push_retry&event_type=push_failed") == [third, second]
    assert ids(client, server, "?platform=linux/arm64") == [second]
    assert ids(client, server, f"?deployment={deployment.pk}") == [first]
    assert ids(client, server, "?since=2026-11-22T12:01:00Z&until=2026-11-22T12:02:00Z") == [second]
    assert ids(client, server, "?since=2026-11-22T13:02:00+01:00") == [third]
    assert ids(client, server, "?since=2026-11-22T12:02:00") == [third]


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2026-99-01T00:00:00Z",
        "deployment=x",
        "limit=1001",
        "cursor=AAAA",
        "cursor=é",
    ],
)
def test_filters_that_are_refused(client: APIClient, server: Server, query: str) -> None:
    answer = client.get(f"/api/servers/{server.pk}/metrics/?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_pages_hold_while_more_arrives(client: APIClient, server: Server) -> None:
    # Many at the same moment: the id decides.
    made = [add(server, minute // 4).pk for minute in range(10)]
    seen, address = [], f"/api/servers/{server.pk}/metrics/?limit=3&event_type=push_started"
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
        add(server, 60)
    assert seen == made[::-1]


def test_a_page_of_a_thousand_is_one_query(
    client: APIClient, server: Server, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    UsageMetric.objects.bulk_create(
        UsageMetric(server=server, event_type="x", timestamp=NOON, details={"n": n}) for n in range(1001)
    )
    with django_assert_max_num_queries(4):  # the token, its use, the server, the page
        page = client.get(f"/api/servers/{server.pk}/metrics/?limit=1000").json()
    assert len(page["results"]) == 1000
    assert page["next"]


def test_details_come_back_as_they_went_in(client: APIClient, server: Server) -> None:
    details = {
        "ünïcode": "✓",
        "nested": {"list": [1, 2.5, None, True, "x"]},
        "empty": {},
        "platform": "linux/arm64",
    }
    answer = client.post(
        f"/api/servers/{server.pk}/metrics/", {"event_type": "custom.team_a.job-1", "details": details}
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["details"] == details
    shown = client.get(f"/api/servers/{server.pk}/metrics/?platform=linux/arm64").json()["results"]
    assert shown == [answer.json()]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event_type"),
        ({"event_type": "push_failed"}, "event_type"),
        ({"event_type": "custom."}, "event_type"),
        ({"event_type": "custom.Größe"}, "event_type"),
        ({"event_type": "custom." + "x" * 57}, "event_type"),
        ({"event_type": "custom.x", "details": []}, "details"),
        ({"event_type": "custom.x", "details": {"a": "x" * 16_384}}, "details"),
        ({"event_type": "custom.x", "details": {"a": "\x00"}}, "details.a"),
        ({"event_type": "custom.x", "details": {"platform": "p" * 33}}, "details"),
    ],
)
def test_custom_metrics_that_are_refused(client: APIClient, server: Server, body: object, field: str) -> None:
    answer = client.post(f"/api/servers/{server.pk}/metrics/", body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"] == field
    assert not UsageMetric.objects.exists()
