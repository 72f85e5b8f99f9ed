"""One platform's rows, of every kind and in many states, with ids that requests find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

import sealing
from access import audit
from access.actor import PLATFORM, Actor
from access.models import Role, Team
from hooks.models import Delivery, WebHook
from metrics.models import UsageMetric
from notices.models import Channel, Notice
from servers import secretbox, services
from servers.models import Deployment, LogLine, Server, Step
from servers.runbooks.remedies import REMEDIES
from servers.states import DeploymentStatus, ServerStatus
from tests.accounts import make_deployment, make_server, with_member

NOWHERE = 999_999_999


@contextmanager
def shared(blocker: Any) -> Iterator[World]:
    """One world for all tests of a file, gone after them. They undo what they do."""
    with blocker.unblock(), transaction.atomic():
        yield World()
        transaction.set_rollback(True)


class World:
    def __init__(self) -> None:
        self.administrator = User.objects.create_user("administrator", is_superuser=True)
        self.owner = User.objects.create_user("owner")
        self.viewer = User.objects.create_user("viewer")
        self.outsider = User.objects.create_user("outsider")
        self.team = Team.objects.create(name="Team")
        with_member(self.team, self.owner, Role.ADMINISTRATOR)
        with_member(self.team, self.viewer, Role.VIEWER)
        self.servers = [self._server(status) for status in ServerStatus]
        self.deployments = [self._deployment(status) for status in DeploymentStatus]
        self.channel = self._channel()
        self.hook = self._hook()
        self._noted()
        self.used: set[int] = set()
        self.token, _ = services.issue_token(owner=self.owner, name="spare", by=PLATFORM)

    def _server(self, status: ServerStatus) -> Server:
        made = make_server(self.owner, team=self.team, status=status, runtime="process")
        make_deployment(made, serves=True, image="registry.example.org/a@sha256:1")
        services.set_secret(server=made, name="API_KEY", value="secret-secret", by=Actor(self.owner))
        return made

    def _deployment(self, status: DeploymentStatus) -> Deployment:
        server = make_server(self.owner, team=self.team, status=ServerStatus.RUNNING)
        earlier = make_deployment(server, serves=True, image="registry.example.org/a@sha256:1")
        made = make_deployment(server, status=status, based_on=earlier, error_kind="build", error="It broke.")
        Step.objects.create(deployment=made, kind="build", status="failed", error_kind="build", error="broke")
        now = timezone.now()
        LogLine.objects.create(server=server, deployment=made, stream="build", at=now, text="error: broke")
        UsageMetric.objects.create(
            server=server, deployment=made, timestamp=now, event_type="push_failed", details={}
        )
        return made

    def _channel(self) -> Channel:
        made = Channel(name="channel", owner=self.owner, sealed=sealing.seal("secret-secret"))
        made.set_url("https://hooks.example.org/x")
        made.save()
        return made

    def _hook(self) -> WebHook:
        made = WebHook.objects.create(
            server=self.servers[0],
            kind="github",
            sealed=secretbox.seal("secret-secret"),
            created_by=self.owner,
        )
        self.delivery = Delivery.objects.create(hook=made, delivery_id="1", outcome="ignored")
        return made

    def _noted(self) -> None:
        about = {"channel": self.channel, "event": "failed", "payload": {}}
        self.notices = [
            Notice.objects.create(matter=f"server-{state}", state=state, **about)
            for state in ("pending", "failed")
        ]
        audit.record(
            action="server.changed",
            target=self.servers[0],
            by=Actor(self.owner),
            before={},
            after={"name": "x"},
        )

    def spare(self, case: Any) -> None:
        """Nobody revokes the token that they came with: the rest of the chain would be one refusal."""
        if case.operation.label == "DELETE /api/tokens/{id}/" and case.path_parameters.get("id") in self.used:
            case.path_parameters["id"] = self.token.pk

    def token_of(self, user: User, scope: str) -> str:
        token, value = services.issue_token(owner=user, name=scope, scope=scope, by=PLATFORM)
        self.used.add(token.pk)
        return value

    def parameters(self, path: str) -> dict[str, list[Any]]:
        """Values for the parameters of a path; the last of the ids belongs to nothing."""
        kinds = {
            "servers": self.servers,
            "deployments": self.deployments,
            "channels": [self.channel],
            "notices": self.notices,
            "hooks": [self.hook],
            "teams": [self.team],
            "tokens": [self.token],
        }
        rows = next((rows for kind, rows in kinds.items() if f"/{kind}/{{id}}/" in path), [])
        every: dict[str, list[Any]] = {
            "id": [*(row.pk for row in rows), NOWHERE],
            "delivery": [self.delivery.pk, NOWHERE],
            "name": ["API_KEY", "NEW_KEY"],
            "username": ["viewer", "outsider", "owner", "nobody"],
            "remedy": list(REMEDIES),
        }
        return {name: values for name, values in every.items() if f"{{{name}}}" in path}
