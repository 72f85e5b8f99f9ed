"""What the platform's own work tells channels: real processes that fail, die and come back."""

from __future__ import annotations

import json
from datetime import timedelta

import psutil
import pytest

from access.actor import Actor
from notices import outbox
from servers import channels, services
from servers.deploying.runs import handle_of
from tests.eventually import eventually
from tests.notices.receiver import Receiver
from tests.platform import Platform, hello_files

pytestmark = [pytest.mark.core, pytest.mark.slow]
SECRET = "sk-live-0123456789"
EXITS = {
    "requirements.txt": "",
    "server.py": "import os, sys\nsys.stderr.write('bad key ' + os.environ['API_KEY'])\nsys.exit(3)\n",
}


@pytest.fixture
def told(platform: Platform, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setattr(outbox, "SETTLE", timedelta(0))
    channels.create(by=Actor(platform.owner), fields={"name": "On call", "url": receiver.url()})
    return receiver


def types(receiver: Receiver) -> list[str]:
    return [call.json["type"] for call in receiver.calls]


def test_a_failed_deployment_and_the_good_one_after_it(platform: Platform, told: Receiver) -> None:
    server = platform.server("weather", EXITS)
    services.set_secret(server=server, name="API_KEY", value=SECRET, by=Actor(platform.owner))
    platform.deploy(server)
    platform.deploy(server)
    eventually(lambda: types(told) == ["server.failed"], what="the failure is told once")
    data = told.calls[0].json["data"]
    assert data["headline"] == "Weather: deployment #1 failed"
    assert "bad key ***" in data["reason"]
    assert data["note"] == "Nothing serves: clients get an error."
    platform.upload(server, hello_files())
    platform.deploy(server)
    eventually(lambda: types(told) == ["server.failed", "server.recovered"], what="the recovery is told")
    assert told.calls[1].json["data"]["deployment"]["number"] == 3
    assert SECRET not in json.dumps([call.json for call in told.calls])


def test_a_server_that_dies_and_comes_back(platform: Platform, told: Receiver) -> None:
    server = platform.hello()
    deployment = platform.deploy(server)
    psutil.Process(handle_of(deployment.run).data["pid"]).kill()
    eventually(lambda: types(told) == ["server.failed", "server.recovered"], what="both are told")
    assert "It is being restarted." in told.calls[0].json["data"]["reason"]
    platform.becomes(server, "running")
