"""History that an earlier version wrote, in the newest schema: what was done, what serves, what can be done.

`history/*.json` are rows of version 0020 of `servers`, as real deployments left them: on processes two
builds, two restarts after a crash, a rollback, a failure and a start; on an engine and a registry a push that
failed half way and was resumed twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from access.actor import Actor
from gateway import routes
from metrics.models import UsageMetric
from servers import services
from servers.deploying import retention
from servers.models import Build, Deployment, LogLine, Run, Server
from servers.states import Mode, Trigger
from tests.accounts import OF_BUILDS
from tests.servers.test_migrations import migrate_to, newest

HISTORY = Path(__file__).with_name("history")
WRITTEN_BY = [("servers", "0020_how_a_server_is_built"), ("metrics", "0003_call_totals_and_events_index")]
pytestmark = [pytest.mark.core, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def load(then: Apps, name: str) -> None:
    """With the models of that version: today's have other columns."""
    rows = json.loads((HISTORY / f"{name}.json").read_text())
    late = []
    for row in rows:
        model = then.get_model(row["model"])
        fields = {
            field.attname: value
            for key, value in row["fields"].items()
            if not (field := model._meta.get_field(key)).many_to_many
        }
        if row["model"] == "servers.server":
            late.append((row["pk"], fields.pop("current_deployment_id")))
        made = model(pk=row["pk"], **fields)
        serializers.base.DeserializedObject(made).save()
    for pk, current in late:
        then.get_model("servers.Server").objects.filter(pk=pk).update(current_deployment_id=current)
    count_on([then.get_model(name) for name in {row["model"] for row in rows}])


def count_on(tables: Sequence[type[Model]]) -> None:
    """The next rows get numbers of their own."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), tables):
            cursor.execute(statement)


def of_history() -> list[type[Model]]:
    return [
        User,
        *(model for app in ("servers", "metrics") for model in apps.get_app_config(app).get_models()),
    ]


@cache
def upgrade(name: str) -> list[dict[str, Any]]:
    """What the migrations make of it. They take seconds, and each test begins with the same."""
    before = migrate_to(WRITTEN_BY)
    try:
        load(before, name)
    finally:
        migrate_to(newest())
    rows = [row for model in of_history() for row in model._base_manager.order_by("pk")]
    return serializers.serialize("python", rows)  # type: ignore[no-any-return]


@pytest.fixture
def upgraded(request: pytest.FixtureRequest) -> Server:
    rows = upgrade(request.param)
    with transaction.atomic():
        for row in serializers.deserialize("python", rows):
            row.save()
    count_on(of_history())
    return Server.objects.get()


def told(server: Server) -> list[dict[str, Any]]:
    """The deployments as REST tells them, the oldest first."""
    User.objects.update(is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(server.owner, backend="django.contrib.auth.backends.ModelBackend")
    listed = client.get(f"/api/servers/{server.pk}/deployments/").json()["results"]
    return sorted(listed, key=lambda row: row["number"])


def written(name: str) -> list[dict[str, Any]]:
    rows = json.loads((HISTORY / f"{name}.json").read_text())
    found = [row["fields"] for row in rows if row["model"] == "servers.deployment"]
    return sorted(found, key=lambda row: row["number"])


@pytest.mark.parametrize("upgraded", ["processes"], indirect=True)
def test_restarts_and_rollbacks_share_the_build_that_they_started(upgraded: Server) -> None:
    builds = {row.number: row.build.number for row in upgraded.deployments.all()}
    assert builds == {1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 6, 7: 1}
    assert Build.objects.count() == 3
    made = Build.objects.get(number=1)
    assert (made.runtime, made.directory, made.can_start) == ("process", "/data/runs/1/1", True)
    assert not Build.objects.get(number=6).can_start
    assert upgraded.serving
    assert upgraded.serving.build == made


@pytest.mark.parametrize("upgraded", ["processes"], indirect=True)
def test_what_runs_goes_on_and_takes_calls(upgraded: Server) -> None:
    run = Run.objects.get()
    before = written("processes")[-1]
    assert run == upgraded.current_deployment.run  # type: ignore[union-attr]
    assert {"runtime": run.runtime, **run.handle} == before["run"]
    assert (run.endpoint, run.output_cursor, run.is_live) == (
        before["endpoint"],
        before["output_cursor"],
        True,
    )
    assert run.ready_at == upgraded.current_deployment.finished_at  # type: ignore[union-attr]
    assert routes.find(upgraded.slug).endpoint == before["endpoint"]  # type: ignore[union-attr]


@pytest.mark.parametrize("upgraded", ["images"], indirect=True)
def test_what_was_resumed_goes_on_with_what_was_built(upgraded: Server) -> None:
    first, resumed, again = (row.build for row in upgraded.deployments.order_by("number"))
    assert resumed.resumes == first
    assert again == resumed, "the second resume built nothing"
    assert sorted(resumed.images) == ["linux/amd64", "linux/arm64"]
    retention.forget_old_builds(upgraded)
    first.refresh_from_db()
    assert first.platforms, "its tags name what the resumed build took over"


@pytest.mark.parametrize("upgraded", ["processes", "images"], indirect=True)
def test_rest_tells_the_history_as_before(upgraded: Server, request: pytest.FixtureRequest) -> None:
    before = written(request.node.callspec.params["upgraded"])
    same = (
        "number",
        "status",
        "trigger",
        "mode",
        "error",
        "revision",
        "summary",
        "image",
        "digest",
        "images",
    )
    assert [[row[name] for name in same] for row in told(upgraded)] == [
        [row[name] for name in same] for row in before
    ]
    assert UsageMetric.objects.filter(deployment__isnull=False).exists()
    assert LogLine.objects.filter(deployment__isnull=False).exists()


@pytest.mark.parametrize("upgraded", ["processes"], indirect=True)
def test_work_goes_on_where_it_stood(upgraded: Server) -> None:
    owner = upgraded.owner
    back = services.roll_back(server=upgraded, to=upgraded.deployments.get(number=2), by=Actor(owner))
    assert (back.number, back.build.number) == (8, 2)
    Deployment.objects.filter(pk=back.pk).update(status="cancelled")
    made = services.deploy(server=upgraded, by=Actor(owner), trigger=Trigger.API, mode=Mode.LATEST)
    assert (made.number, made.build.number) == (9, 9)


@pytest.mark.parametrize("upgraded", ["processes", "images"], indirect=True)
def test_the_way_back_loses_nothing(upgraded: Server, request: pytest.FixtureRequest) -> None:
    """But how far the output of what has ended was taken, which nobody asks."""
    same = OF_BUILDS - {"resumes"} | {"run", "endpoint", "endpoints", "uses"}
    try:
        before = migrate_to(WRITTEN_BY)
        rows = before.get_model("servers.Deployment").objects.order_by("number").values()
        kept = [{key: row[key] for key in same} for row in rows]
    finally:
        migrate_to(newest())
    given = written(request.node.callspec.params["upgraded"])
    assert kept == [{key: row[key] for key in same} for row in given]


@pytest.mark.parametrize("upgraded", ["processes"], indirect=True)
@pytest.mark.parametrize("comes_up", [False, True])
def test_the_way_back_while_a_restart_is_under_way(upgraded: Server, comes_up: bool) -> None:
    """The version before finds what serves, and starts again what does not."""
    deployment = upgraded.current_deployment
    assert deployment
    Run.objects.update(endpoint="", ended_at=timezone.now(), why="It exited.")
    again = Run.objects.create(deployment=deployment, runtime="process", worker="one")
    deployment.keep(run=again)
    again.steps.create(kind="start")
    handle = {"endpoint": "http://127.0.0.1:9/mcp", "data": {"pid": 9}}
    if comes_up:
        again.keep(handle=handle, endpoint=handle["endpoint"], ready_at=timezone.now(), worker="")
    try:
        before = migrate_to(WRITTEN_BY)
        row = before.get_model("servers.Deployment").objects.get(pk=deployment.pk)
        assert not before.get_model("servers.Step").objects.filter(deployment=None).exists()
    finally:
        migrate_to(newest())
    if comes_up:
        assert (row.run, row.endpoint) == ({"runtime": "process", **handle}, handle["endpoint"])
    else:
        assert (row.run, row.endpoint) == (None, "")
