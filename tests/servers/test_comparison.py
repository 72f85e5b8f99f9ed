"""Two deployments side by side: as data, over REST and on their page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from servers import comparison
from servers.deploying.starting import configuration_of
from servers.models import Build, Deployment, Server, Step
from tests.accounts import make_deployment

pytestmark = pytest.mark.core
ApiOf = Callable[[User], APIClient]
NOW = timezone.now()


def tool(name: str, *required: str) -> dict[str, Any]:
    properties = {each: {"type": "string"} for each in required}
    return {"name": name, "inputSchema": {"type": "object", "properties": properties, "required": required}}


def took(deployment: Deployment, kind: str, seconds: float, platform: str = "") -> None:
    Step.objects.create(
        deployment=deployment, kind=kind, platform=platform, status="succeeded",
        started_at=NOW, finished_at=NOW + timedelta(seconds=seconds),
    )  # fmt: skip


def configured(server: Server, environment: dict[str, str], secrets: dict[str, str]) -> dict[str, Any]:
    server.environment = environment
    return configuration_of(server, secrets)


@pytest.fixture
def two(server: Server) -> tuple[Deployment, Deployment]:
    """#1 and #4; between them one that failed and one that was superseded."""
    first = make_deployment(
        server,
        revision="a" * 40,
        digest="sha256:" + "1" * 64,
        images={"linux/amd64": {"digest": "sha256:" + "2" * 64}},
        discovery={"tools": [tool("add", "a"), tool("gone"), tool("same")]},
        configuration=configured(server, {"TZ": "UTC", "OLD": "1"}, {"KEY": "secret one", "SAME": "x"}),
        plan={"ecosystem": "python", "tool": "uv", "version": "3.11", "command": ["notes"]},
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=40),
    )
    make_deployment(server, status="failed")
    make_deployment(server, status="superseded")
    server.memory_mb = 1024
    second = make_deployment(
        server,
        revision="b" * 40,
        digest="sha256:" + "3" * 64,
        images={"linux/amd64": {"digest": "sha256:" + "2" * 64}, "linux/arm64": {"digest": "sha256:5"}},
        discovery={"tools": [tool("add", "a", "b"), tool("same"), tool("new")]},
        configuration=configured(server, {"TZ": "Europe/Zurich", "NEW": "1"}, {"KEY": "two", "SAME": "x"}),
        plan={
            "ecosystem": "python",
            "tool": "uv",
            "lock": "uv.lock",
            "version": "3.12",
            "command": ["notes"],
        },
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=70),
    )
    took(first, "build", 20, "linux/amd64")
    took(second, "build", 50, "linux/amd64")
    took(second, "build", 60, "linux/arm64")
    return first, second


def where(deployment: Deployment, number: object = "") -> str:
    return f"/api/deployments/{deployment.pk}/compare/" + (f"?with={number}" if number else "")


def test_everything_that_differs(two: tuple[Deployment, Deployment], api: ApiOf, viewer: User) -> None:
    told = api(viewer).get(where(two[1])).json()
    assert (told["before"], told["after"]) == (1, 4), "the newest earlier one that succeeded"
    facts = {row["name"]: (row["before"], row["after"]) for row in told["facts"]}
    assert facts["revision"] == ("a" * 40, "b" * 40)
    assert facts["digest of linux/amd64"] == ("sha256:" + "2" * 64,) * 2
    assert facts["digest of linux/arm64"] == ("", "sha256:5")
    assert facts["tools"] == ("3", "3")
    durations = {row["step"]: (row["before"], row["after"]) for row in told["durations"]}
    assert durations == {
        "all": (40_000, 70_000),
        "build linux/amd64": (20_000, 50_000),
        "build linux/arm64": (None, 60_000),
    }
    assert told["plan"] == [
        {"name": "python", "before": "3.11", "after": "3.12"},
        {"name": "lock", "before": "", "after": "uv.lock"},
    ]
    assert told["environment"] == {"added": ["NEW"], "removed": ["OLD"], "changed": ["TZ"]}
    assert told["secrets"] == {"added": [], "removed": [], "changed": ["KEY"]}
    assert told["settings"] == [{"name": "memory_mb", "before": "512", "after": "1024"}]
    assert (told["tools"]["added"], told["tools"]["removed"]) == (["new"], ["gone"])
    assert told["tools"]["changed"] == [
        {"name": "add", "breaking": True, "broken": ["b is required now"], "other": []}
    ]


def test_no_value_is_told(two: tuple[Deployment, Deployment], api: ApiOf, owner: User) -> None:
    answer = api(owner).get(where(two[1])).content.decode()
    assert "secret one" not in answer + str(two[0].configuration)
    assert two[0].configuration["secrets"]["SAME"] == two[1].configuration["secrets"]["SAME"]
    assert two[0].configuration["secrets"]["SAME"] not in answer


def test_any_other_can_be_chosen_and_the_older_stands_first(
    two: tuple[Deployment, Deployment], api: ApiOf, owner: User
) -> None:
    told = api(owner).get(where(two[0], 4)).json()
    assert (told["before"], told["after"]) == (1, 4)
    told = api(owner).get(where(two[1], 2)).json()
    assert (told["before"], told["environment"], told["plan"], told["tools"]) == (2, None, None, None)
    for number, said in (
        ("9", "has no other deployment #9."),
        ("4", "has no other deployment #4."),
        ("x", "with: Must be a whole number"),
        ("99999999999999999999", "with: Must be a whole number"),
    ):
        answer = api(owner).get(where(two[1], number))
        assert answer.status_code == 400
        assert said in answer.json()["detail"]


def test_the_first_one_has_nothing_to_be_compared_with(server: Server, api: ApiOf, owner: User) -> None:
    only = make_deployment(server)
    assert comparison.other_of(only) is None
    answer = api(owner).get(where(only))
    assert "#1 has no earlier one" in answer.json()["detail"]


def test_outsiders_see_nothing(
    two: tuple[Deployment, Deployment], api: ApiOf, session: Callable[[User], Client], outsider: User
) -> None:
    assert api(outsider).get(where(two[1])).status_code == 404
    page = reverse("admin:servers_deployment_compare", args=[two[1].pk])
    assert session(outsider).get(page).status_code == 404


def test_the_page(
    two: tuple[Deployment, Deployment], session: Callable[[User], Client], viewer: User
) -> None:
    url = reverse("admin:servers_deployment_compare", args=[two[1].pk])
    page = session(viewer).get(url).text
    for said in (
        "#1 → #4",
        "b is required now",
        "variable added",
        "variable changed",
        "512 → 1024",
        "3.11 → 3.12",
        "50 s",
    ):
        assert said in page, said
    assert "secret one" not in page
    page = session(viewer).get(url, {"with": "9"}).text
    assert "has no other deployment #9." in page
    first = reverse("admin:servers_deployment_compare", args=[two[0].pk])
    assert "#1 → #4" in session(viewer).get(first, {"with": 4}).text


def test_what_begins_alike_is_told_apart_by_its_end(
    two: tuple[Deployment, Deployment], session: Callable[[User], Client], viewer: User
) -> None:
    for deployment, tag in zip(two, ("1-aaaaaaa", "4-bbbbbbb"), strict=True):
        Build.objects.filter(pk=deployment.build_id).update(
            image=f"127.0.0.1:60599/demo/hello:{tag}", revision=f"mcp-server-time==2025.{tag}"
        )
    page = session(viewer).get(reverse("admin:servers_deployment_compare", args=[two[1].pk])).text
    for tag in ("1-aaaaaaa", "4-bbbbbbb"):
        assert f"/hello:{tag}<" in page
        assert f"2025.{tag}<" in page
    assert ">127.0.0.1" not in page


def test_the_page_of_the_only_one(server: Server, session: Callable[[User], Client], owner: User) -> None:
    url = reverse("admin:servers_deployment_compare", args=[make_deployment(server).pk])
    assert "Nothing to compare with" in session(owner).get(url).text
