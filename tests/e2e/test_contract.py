"""The telemetry contract on one real push of two platforms, as each door shows it."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.bench.registry import Registry
from servers.models import Deployment, Server
from tests.e2e.hosting import DockerPlatform, api_headers, call, engine, front_door, skopeo
from tests.eventually import eventually
from tests.metrics import contract
from tests.servers.streams.live import Client, Received

pytestmark = pytest.mark.real

PLATFORMS = ["linux/amd64", "linux/arm64"]
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
ONCE = [
    "deploy_started", "clone_started", "clone_succeeded", "auth_health_reported", "manifest_published",
    "start_started", "start_succeeded", "health_started", "health_succeeded", "discover_started",
    "discover_succeeded", "deploy_succeeded",
]  # fmt: skip
PER_PLATFORM = [
    "build_started", "build_succeeded", "tag_started", "tag_succeeded", "push_started", "push_succeeded",
]  # fmt: skip
LOGGED = {
    "registry auth health reported": {"status"},
    "registry push started": {"platform", "attempt", "retry_limit"},
    "registry push succeeded": {"platform", "attempt", "retry_limit", "digest"},
    "manifest published": {"digest"},
}


class Story:
    """What was heard of one deployment, and where to ask for more."""

    def __init__(self, platform: DockerPlatform, door: str, server: Server, deployment: Deployment) -> None:
        self.platform, self.door, self.server, self.deployment = platform, door, server, deployment
        self.headers = api_headers(server)
        self.live: list[Received] = []
        self.records: list[logging.LogRecord] = []

    def metrics(self, **query: str) -> list[dict[str, Any]]:
        """Over REST, oldest first."""
        address = f"{self.door}/api/servers/{self.server.pk}/metrics/"
        answer = requests.get(address, params={"limit": "1000", **query}, headers=self.headers, timeout=60)
        rows: list[dict[str, Any]] = answer.json()["results"]
        return rows[::-1]

    def feed(self, **headers: str) -> Client:
        return Client(f"{self.door}/api/servers/{self.server.pk}/metrics/stream/", **self.headers, **headers)


@pytest.fixture
def story(
    docker_platform: DockerPlatform, settings: Any, caplog: pytest.LogCaptureFixture
) -> Iterator[Story]:
    """Deploys for two platforms while a client listens."""
    settings.REGISTRY_ARCH_TARGETS = PLATFORMS
    caplog.set_level(logging.INFO, "registry.push")
    server = docker_platform.healthy("story")
    with front_door() as door:
        told = Story(docker_platform, door, server, Deployment())
        with told.feed() as feed:
            feed.take(1, "stream-open")
            told.deployment = docker_platform.request(server)
            listener = threading.Thread(target=_listen, args=(feed, told.live))
            listener.start()
            told.deployment = docker_platform.ended(told.deployment, within=200)
            listener.join(60)
        told.records = [record for record in caplog.records if record.name == "registry.push"]
        yield told


def _listen(feed: Client, heard: list[Received]) -> None:
    for event in feed:
        if event.type == "metric":
            heard.append(event)
            if json.loads(event.data)["event_type"].startswith(("deploy_succ", "deploy_fail")):
                return


def test_a_push_of_two_platforms(story: Story, registry_plain: Registry) -> None:
    """One test for one push: building and pushing it is what takes the time."""
    story.platform.serves(story.server, story.deployment)
    events = story.metrics(deployment=str(story.deployment.pk))
    every_event_as_written_down(events, story.deployment)
    the_feed_sends_the_same(story, events)
    the_log_speaks_to_aggregators(story)
    the_build_log_speaks_to_people(story)
    the_registry_names_both_platforms(story)
    the_images_of_both_run(story)
    assert call(story.door, story.server, "greet", name="Ada")[1] == "Hello, Ada!"


def every_event_as_written_down(events: list[dict[str, Any]], deployment: Deployment) -> None:
    assert contract.violations(events) == []
    assert contract.order_violations(events) == []
    assert [event["event_type"] for event in events if "platform" not in event["details"]] == ONCE
    for platform in PLATFORMS:
        kinds = [each["event_type"] for each in events if each["details"].get("platform") == platform]
        assert kinds == PER_PLATFORM
    published = next(event["details"] for event in events if event["event_type"] == "manifest_published")
    assert (published["digest"], published["architectures"]) == (deployment.build.digest, PLATFORMS)
    pushed = [event["details"] for event in events if event["event_type"] == "push_succeeded"]
    assert {each["platform"]: each["digest"] for each in pushed} == {
        platform: image["digest"] for platform, image in deployment.build.images.items()
    }
    assert {each["registry_endpoint"] for each in pushed} == {published["registry_endpoint"]}


def the_feed_sends_the_same(story: Story, events: list[dict[str, Any]]) -> None:
    heard = [json.loads(event.data) for event in story.live]
    assert contract.order_violations(heard) == []
    # Of two platforms at once, the clock may see another first than the database.
    assert by_id(heard) == by_id(events)
    for seen in (0, len(events) // 2):
        with story.feed(**{"Last-Event-ID": story.live[seen].id}) as feed:
            replayed = feed.take(len(events) - seen - 1, "metric")
        assert replayed == story.live[seen + 1 :]


def by_id(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(events, key=lambda event: event["id"])


def the_log_speaks_to_aggregators(story: Story) -> None:
    assert sorted(record.getMessage() for record in story.records) == sorted(
        [
            "registry auth health reported",
            *["registry push started", "registry push succeeded"] * 2,
            "manifest published",
        ]
    )
    endpoint = story.deployment.build.image.partition("@")[0]
    image = endpoint.partition("/")[2]
    for record in story.records:
        fields = vars(record)
        assert LOGGED[record.getMessage()] <= set(fields)
        assert (fields["server_id"], fields["deployment_id"]) == (story.server.pk, story.deployment.pk)
        assert fields["registry_endpoint"] == endpoint
        assert set(fields["scopes"]) == {f"repository:{image}:push", f"repository:{image}:pull"}


def the_build_log_speaks_to_people(story: Story) -> None:
    eventually(lambda: "serves now." in story.platform.log(story.deployment), what="its log is kept")
    lines = story.platform.log(story.deployment).splitlines()
    endpoint = story.deployment.build.image.partition("@")[0]
    for platform in PLATFORMS:
        assert f"Registry push attempt 1/2 for {endpoint} ({platform})" in lines
        digest = story.deployment.build.images[platform]["digest"]
        assert f"Image pushed to registry with digest {digest}" in lines
    of_registry = [line for line in lines if re.match(r"Registry push|Image pushed|Manifest published", line)]
    assert of_registry[-1] == f"Manifest published with digest {story.deployment.build.digest}"


def the_registry_names_both_platforms(story: Story) -> None:
    reference = f"{story.deployment.build.image.partition('@')[0]}@{story.deployment.build.digest}"
    entries = skopeo(reference, "--raw")["manifests"]
    named = {f"{e['platform']['os']}/{e['platform']['architecture']}": e["digest"] for e in entries}
    assert named == {platform: image["digest"] for platform, image in story.deployment.build.images.items()}


def the_images_of_both_run(story: Story) -> None:
    with engine(story.platform.engine_url) as client:
        for platform, image in story.deployment.build.images.items():
            said = client.containers.run(
                image["reference"], ["uname", "-m"], entrypoint=[], platform=platform, remove=True
            )
            assert said.decode().strip() == MACHINES[platform]
