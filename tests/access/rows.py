"""One server with everything that belongs to one; whatever has a name is called zebra."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.urls import resolve
from django.utils import timezone

import sealing
from access import audit
from access.actor import PLATFORM, Actor
from access.models import Team
from hooks.models import Delivery, WebHook
from metrics.models import UsageMetric
from notices.models import Channel, Notice
from servers import registry_logins, secretbox, services
from servers.models import LogLine
from servers.runbooks.remedies import REMEDIES
from tests.access.doors import Door
from tests.accounts import make_deployment, make_server

# What the parameters of an address stand for: by their names, else by the beginning of the address.
BY_NAME = {
    "secret": "secret",
    "name": "secret_name",
    "public_id": "public_id",
    "delivery": "delivery",
    "remedy": "remedy",
    "action": "remedy",
    "username": "username",
    "notice": "notice",
    "host": "registry_host",
}
BY_ROUTE = {
    "admin/access/auditentry/": "entry",
    "admin/access/team/": "team",
    "admin/auth/user/": "owner",
    "admin/catalog/": "server",
    "admin/hooks/delivery/": "delivery",
    "admin/hooks/webhook/for/": "server",
    "admin/hooks/webhook/": "hook",
    "admin/metrics/usagemetric/": "metric",
    "admin/notices/channel/": "channel",
    "admin/servers/deployment/": "deployment",
    "admin/servers/logline/": "line",
    "admin/servers/server/": "server",
    "admin/servers/token/": "token",
    "api/^channels/": "channel",
    "api/^notices/": "notice",
    "api/^deployments/": "deployment",
    "api/^hooks/": "hook",
    "api/^servers/": "server",
    "api/^teams/": "team",
    "api/^tokens/": "token",
    "api/catalog/servers/": "server",
    "api/hooks/": "hook",
    "api/servers/": "server",
    "api/teams/": "team",
}


def address_of(door: Door, values: dict[str, Any]) -> str:
    """Leads to that door; filled in wrongly, it would be answered by the one for what is not there."""
    address = door.address({name: values[_meaning(door, name)] for name in door.parameters})
    leads_to = resolve(address).route.replace("^", "")
    assert leads_to == door.route.replace("^", ""), f"{address} is not at {door.name}: see {__name__}.BY_NAME"
    return address


def _meaning(door: Door, parameter: str) -> str:
    if parameter in BY_NAME:
        return BY_NAME[parameter]
    meaning = next((kind for beginning, kind in BY_ROUTE.items() if door.route.startswith(beginning)), None)
    assert meaning, f"{door.name}: say in {__name__} what <{parameter}> of {door.route} stands for"
    return meaning


def make() -> dict[str, Any]:
    owner, team = User.objects.create_user("zebra"), Team.objects.create(name="Zebra team")
    server = make_server(owner, name="Zebra", slug="zebra", team=team)
    deployment = make_deployment(server, summary="zebra")
    now = timezone.now()
    hook = WebHook.objects.create(server=server, kind="github", sealed=secretbox.seal("zebra-zebra"))
    channel = Channel(name="zebra", owner=owner, sealed=sealing.seal("zebra-zebra"))
    channel.set_url("https://zebra.example.org/hook")
    channel.save()
    registry_logins.give(team=team, host="zebra.example.org", username="z", password="zebra", by=Actor(owner))
    rows = {
        "channel": channel,
        "notice": Notice.objects.create(channel=channel, event="failed", matter="zebra", payload={}),
        "server": server,
        "owner": owner,
        "team": team,
        "deployment": deployment,
        "secret": services.set_secret(server=server, name="ZEBRA_KEY", value="zebra-zebra", by=Actor(owner)),
        "token": services.issue_token(owner=owner, name="zebra", server=server, by=PLATFORM)[0],
        "line": LogLine.objects.create(server=server, stream="build", at=now, text="zebra"),
        "metric": UsageMetric.objects.create(
            server=server, timestamp=now, event_type="custom.zebra", details={}
        ),
        "hook": hook,
        "delivery": Delivery.objects.create(hook=hook, delivery_id="zebra", outcome="ignored"),
        "entry": audit.record(action="server.zebra", target=server, by=Actor(owner)),
    }
    return {
        "secret_name": "ZEBRA_KEY",
        "username": "zebra",
        "registry_host": "zebra.example.org",
        "remedy": next(iter(REMEDIES)),
        "public_id": hook.public_id,
        **{name: row.pk for name, row in rows.items()},
    }
